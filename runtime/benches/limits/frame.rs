//! The core alone: one value of 16 bytes sent, carried, and received, with no system between.

use std::io;

use hatchery_proto::wire::body::POSTCARD;
use hatchery_proto::{
    ActorId, Config, Connection, DialogId, Event, Instant, Kind, Limits, LinkKind, Recv, Role,
    StartWish,
};

use crate::bars::Scale;

const NOW: Instant = Instant::from_micros(1);

/// Two ends of a link, and the bytes between them.
struct Pair {
    opener: Connection,
    callee: Connection,
    bytes: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let end = |role, uuid| {
            let me = ActorId { name: "an end".to_owned(), uuid, pid: 1 };
            let limits = Limits::default();
            Connection::new(Config { kind: LinkKind::Peer, role, me, limits }, NOW)
        };
        Self { opener: end(Role::Even, 1), callee: end(Role::Odd, 2), bytes: Vec::new() }
    }

    /// Carries what the opener has to say, then what the callee has, and forgets all events.
    fn carry(&mut self) {
        while self.opener.poll_event().is_some() {}
        while self.callee.poll_event().is_some() {}
        self.bytes.clear();
        if self.opener.poll_transmit(NOW, &mut self.bytes, 65_536) > 0 {
            self.callee.handle_input(NOW, &self.bytes);
        }
        self.bytes.clear();
        if self.callee.wants_transmit()
            && self.callee.poll_transmit(NOW, &mut self.bytes, 65_536) > 0
        {
            self.opener.handle_input(NOW, &self.bytes);
        }
    }

    /// Opens a context.
    fn open(&mut self) -> Option<DialogId> {
        let wish = StartWish {
            endpoint: "x",
            kind: Kind::Context,
            schema: 0,
            codec: POSTCARD,
            deadline: None,
            trace: None,
        };
        self.carry();
        self.carry();
        let id = self.opener.start(NOW, wish, &[]).ok()?;
        let _ = self.opener.poll_transmit(NOW, &mut self.bytes, 65_536);
        self.callee.handle_input(NOW, &self.bytes);
        while self.callee.poll_event()? != Event::Incoming(id) {}
        let mut callee = self.callee.callee(id)?;
        callee.take_start()?;
        callee.started(&[]).ok()?;
        self.carry();
        self.opener.caller(id)?.take_started().map(|_| id)
    }

    /// Has a value go from the opener to the callee.
    fn pass(&mut self, id: DialogId, value: &mut Vec<u8>) -> Option<()> {
        self.opener.caller(id)?.send(&[7; 16]).ok()?;
        self.carry();
        match self.callee.callee(id)?.recv(value) {
            Recv::Value if value.len() == 16 => Some(()),
            _ => None,
        }
    }
}

/// So many go at once where a stream is busy: about what one read brings.
const RUN: u32 = 64;

/// Has so many values pass, [`RUN`] at a time; what it is worth is how many instructions that took.
pub(crate) fn stream(scale: Scale) -> io::Result<f64> {
    let mut pair = Pair::new();
    let lost = || io::Error::other("the core did not deliver");
    let id = pair.open().ok_or_else(lost)?;
    let mut value = Vec::new();
    let runs = scale.times.div_ceil(RUN);
    for _ in 0..runs {
        for _ in 0..RUN {
            pair.opener.caller(id).ok_or_else(lost)?.send(&[7; 16]).map_err(io::Error::other)?;
        }
        pair.carry();
        let mut callee = pair.callee.callee(id).ok_or_else(lost)?;
        for _ in 0..RUN {
            if callee.recv(&mut value) != Recv::Value || value.len() != 16 {
                return Err(lost());
            }
        }
    }
    Ok(f64::from(runs * RUN))
}

/// Has so many values pass; what it is worth is how many instructions that took.
pub(crate) fn pass(scale: Scale) -> io::Result<f64> {
    let mut pair = Pair::new();
    let lost = || io::Error::other("the core did not deliver");
    let id = pair.open().ok_or_else(lost)?;
    let mut value = Vec::new();
    for _ in 0..scale.times {
        pair.pass(id, &mut value).ok_or_else(lost)?;
    }
    Ok(f64::from(scale.times))
}

//! The core alone, with no system between: a value that is carried, a call, and single frames that
//! come in, honest and hostile.

use std::hint::black_box;
use std::io;

use hatchery_proto::wire::body::{self, Done, POSTCARD};
use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::{Tag, put_frame};
use hatchery_proto::{
    ActorId, Cancelled, Cause, Config, Connection, DialogId, Event, Instant, Kind, Limits,
    LinkKind, Outcome, Recv, Refusal, Role, StartWish, Terminal, Values,
};

use crate::bars::Scale;
use crate::counted;

const NOW: Instant = Instant::from_micros(1);
/// What a value of 16 bytes costs its sender: no bytes are free (P-W1).
const COST: u32 = 16 + Limits::FRAME_COST;

/// Two ends of a link, and the bytes between them.
struct Pair {
    opener: Connection,
    callee: Connection,
    bytes: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { opener: end(1), callee: end(2), bytes: Vec::new() };
        pair.carry();
        pair.carry();
        pair
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
        let id = self.opener.start(NOW, wish(Kind::Context), &[]).ok()?;
        self.carry();
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

    /// Makes a call with 32 bytes each way, all that there is to it.
    fn call(&mut self) -> Option<()> {
        let id = self.opener.start(NOW, wish(Kind::Call), &[7; 32]).ok()?;
        self.carry();
        while self.callee.poll_event()? != Event::Incoming(id) {}
        let mut callee = self.callee.callee(id)?;
        let incoming = callee.take_start()?;
        callee.accept();
        callee.finish(Terminal::Return(incoming.args));
        self.carry();
        let caller = self.opener.caller(id)?;
        let returned =
            matches!(caller.outcome(), Some(Outcome::Returned(value)) if value.len() == 32);
        caller.release(NOW, released());
        returned.then_some(())
    }
}

fn end(uuid: u128) -> Connection {
    let role = if uuid == 1 { Role::Even } else { Role::Odd };
    let me = ActorId { name: "an end".to_owned(), uuid, pid: 1 };
    // So much that a peer which behaves badly for the whole run is not cut off.
    let limits = Limits { misbehaviour_budget: u32::MAX, ..Limits::default() };
    Connection::new(Config { kind: LinkKind::Peer, role, me, limits }, NOW)
}

fn wish(kind: Kind) -> StartWish<'static> {
    StartWish { endpoint: "x", kind, schema: 0, codec: POSTCARD, deadline: None, trace: None }
}

fn released() -> Cancelled {
    let canceller = ActorId { name: String::new(), uuid: 1, pid: 1 };
    Cancelled { canceller, cause: Cause::Dropped }
}

/// Does one piece of work so many times.
fn times(scale: Scale, mut once: impl FnMut() -> Option<()>) -> io::Result<f64> {
    for _ in 0..scale.times {
        once().ok_or_else(|| io::Error::other("the core did not do what it has to"))?;
    }
    Ok(f64::from(scale.times))
}

fn opened() -> io::Result<(Pair, DialogId)> {
    let mut pair = Pair::new();
    let id = pair.open().ok_or_else(|| io::Error::other("the core opened no context"))?;
    Ok((pair, id))
}

/// So many go at once where a stream is busy: about what one read brings.
const RUN: u32 = 64;

/// Has so many values pass, [`RUN`] at a time; what it is worth is how many instructions that took.
pub(crate) fn stream(scale: Scale) -> io::Result<f64> {
    let (mut pair, id) = opened()?;
    let mut values = Values::default();
    let runs = scale.times.div_ceil(RUN);
    times(Scale { times: runs, ..scale }, || {
        for _ in 0..RUN {
            pair.opener.caller(id)?.send(&[7; 16]).ok()?;
        }
        pair.carry();
        let mut whole = 0;
        // As the runtime takes them.
        while whole < RUN && pair.callee.callee(id)?.recv_run(&mut values) == Recv::Value {
            while values.next_value().is_some_and(|value| value.len() == 16) {
                whole += 1;
            }
        }
        (whole == RUN).then_some(())
    })?;
    Ok(f64::from(runs * RUN))
}

/// Makes so many calls, [`RUN`] at a time, as where many tasks call.
pub(crate) fn calls(scale: Scale) -> io::Result<f64> {
    let (mut pair, mut ids) = (Pair::new(), Vec::new());
    let runs = scale.times.div_ceil(RUN);
    times(Scale { times: runs, ..scale }, || {
        for _ in 0..RUN {
            ids.push(pair.opener.start(NOW, wish(Kind::Call), &[7; 32]).ok()?);
        }
        pair.carry();
        while let Some(event) = pair.callee.poll_event() {
            let Event::Incoming(id) = event else { continue };
            let mut callee = pair.callee.callee(id)?;
            let incoming = callee.take_start()?;
            callee.accept();
            callee.finish(Terminal::Return(incoming.args));
        }
        pair.carry();
        let returned = |id| {
            let caller = pair.opener.caller(id)?;
            let value =
                matches!(caller.outcome(), Some(Outcome::Returned(value)) if value.len() == 32);
            caller.release(NOW, released());
            value.then_some(())
        };
        ids.drain(..).try_for_each(returned)
    })?;
    Ok(f64::from(runs * RUN))
}

/// Has so many values pass; what it is worth is how many instructions that took.
pub(crate) fn pass(scale: Scale) -> io::Result<f64> {
    let (mut pair, id) = opened()?;
    let mut value = Vec::new();
    times(scale, || pair.pass(id, &mut value))
}

/// A frame of 32 bytes written and cut off again, so often.
pub(crate) fn wire(scale: Scale) -> io::Result<f64> {
    let (mut deframer, mut bytes, id) = (Deframer::new(65_536), Vec::new(), DialogId::new(300));
    times(scale, || {
        bytes.clear();
        put_frame(&mut bytes, Tag::Yield, id, 0, |out| out.extend_from_slice(black_box(&[7; 32])));
        let frame = deframer.next(&mut bytes.as_slice()).ok()??;
        (frame.body.len() == 32).then_some(())
    })
}

/// The bodies of a `Start` and of a `Credit`, encoded and decoded as the core does it.
pub(crate) fn bodies(scale: Scale) -> io::Result<f64> {
    let mut bytes = Vec::new();
    times(scale, || {
        bytes.clear();
        let start = body::Start {
            endpoint: black_box("an::endpoint"),
            kind: Kind::Call,
            schema: 0x1234_5678_9abc_def0,
            codec: POSTCARD,
            credit: 262_144,
            deadline: None,
            trace: None,
        };
        bytes = postcard::to_extend(&start, std::mem::take(&mut bytes)).ok()?;
        let read: body::Start<'_> = postcard::from_bytes(black_box(&bytes)).ok()?;
        let same = read.schema == start.schema;
        bytes.clear();
        let credit = body::Credit { bytes: black_box(131_072), done: Done::No };
        bytes = postcard::to_extend(&credit, std::mem::take(&mut bytes)).ok()?;
        let read: body::Credit = postcard::from_bytes(black_box(&bytes)).ok()?;
        (same && read.bytes == credit.bytes).then_some(())
    })
}

/// Calls from the wish to the released handle.
pub(crate) fn call(scale: Scale) -> io::Result<f64> {
    let mut pair = Pair::new();
    times(scale, || pair.call())
}

/// Allocations of a call in both ends of the core.
pub(crate) fn call_allocations(scale: Scale) -> io::Result<f64> {
    let mut pair = Pair::new();
    times(scale, || pair.call())?;
    let before = counted::allocated().0;
    times(scale, || pair.call())?;
    Ok((counted::allocated().0 - before) as f64 / f64::from(scale.times))
}

/// Allocations of a value in both ends of the core.
pub(crate) fn pass_allocations(scale: Scale) -> io::Result<f64> {
    let (mut pair, id) = opened()?;
    let mut value = Vec::new();
    times(scale, || pair.pass(id, &mut value))?;
    let before = counted::allocated().0;
    times(scale, || pair.pass(id, &mut value))?;
    Ok((counted::allocated().0 - before) as f64 / f64::from(scale.times))
}

/// A `Start` that comes in and is refused.
pub(crate) fn start(scale: Scale) -> io::Result<f64> {
    let mut pair = Pair::new();
    times(scale, || {
        let id = pair.opener.start(NOW, wish(Kind::Call), &[7; 32]).ok()?;
        pair.carry();
        while pair.callee.poll_event()? != Event::Incoming(id) {}
        pair.callee.callee(id)?.refuse(Refusal::Unknown, String::new());
        pair.carry();
        let caller = pair.opener.caller(id)?;
        let refused = matches!(caller.outcome(), Some(Outcome::Refused(..)));
        caller.release(NOW, released());
        refused.then_some(())
    })
}

/// A value that goes out, and a `Credit` for it that comes in.
pub(crate) fn credit(scale: Scale) -> io::Result<f64> {
    let (mut pair, id) = opened()?;
    let mut credit = Vec::new();
    let granted = body::Credit { bytes: COST, done: Done::No };
    let granted = postcard::to_allocvec(&granted).map_err(io::Error::other)?;
    put_frame(&mut credit, Tag::Credit, id, 0, |out| out.extend(granted));
    times(scale, || {
        pair.opener.caller(id)?.send(&[7; 16]).ok()?;
        pair.bytes.clear();
        let _ = pair.opener.poll_transmit(NOW, &mut pair.bytes, 65_536);
        pair.opener.handle_input(NOW, &credit);
        while pair.opener.poll_event().is_some() {}
        (!pair.opener.is_closed()).then_some(())
    })
}

/// A value for a dialog that is over, which its sender is charged for (P-A4).
pub(crate) fn late(scale: Scale) -> io::Result<f64> {
    let mut pair = Pair::new();
    pair.call().ok_or_else(|| io::Error::other("the core made no call"))?;
    while pair.callee.poll_event().is_some() {}
    let mut late = Vec::new();
    // The first that the opener has opened.
    let id = DialogId::new(2);
    put_frame(&mut late, Tag::Yield, id, 0, |out| out.extend_from_slice(&[7; 16]));
    times(scale, || {
        pair.callee.handle_input(NOW, &late);
        (!pair.callee.is_closed() && pair.callee.poll_event().is_none()).then_some(())
    })
}

/// A link that is greeted and broken by its peer, from its first byte to its `Goodbye`.
pub(crate) fn broken(scale: Scale) -> io::Result<f64> {
    let (mut hello, mut out) = (Vec::new(), Vec::new());
    let _ = end(1).poll_transmit(NOW, &mut hello, 65_536);
    // A value for a dialog that nobody has opened.
    put_frame(&mut hello, Tag::Yield, DialogId::new(77), 0, |out| out.extend_from_slice(&[7; 16]));
    times(scale, || {
        let mut end = end(2);
        out.clear();
        end.handle_input(NOW, &hello);
        let mut broken = false;
        while let Some(event) = end.poll_event() {
            broken |= matches!(event, Event::Broken(_));
        }
        let _ = end.poll_transmit(NOW, &mut out, 65_536);
        (broken && !out.is_empty()).then_some(())
    })
}

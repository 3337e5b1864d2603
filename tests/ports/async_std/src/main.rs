//! A child actor on async-std: one future that polls for bytes, for room and for the time, and tells
//! the core which of them came.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::os::{fd::AsFd, unix::net};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::{env, mem, process, time};

use async_std::io::{self, Read, ReadExt, Write};
use async_std::{fs::File, os::unix::net::UnixStream, task};
use hatchery_proto::{
    ActorId, Callee, Config, Connection, DialogId, Event, GoodbyeReason, Incoming, Instant, Kind,
    Limits, LinkKind, Recv, Refusal, Role, SendError, Terminal,
};
use postcard::{from_bytes, to_allocvec};

/// An echo under way: what it could not send yet, and how many values came.
type Echo = (Option<Vec<u8>>, u64);

/// The actor and its tasks: what they do about what has happened.
fn handle(core: &mut Connection, echoes: &mut BTreeMap<DialogId, Echo>, event: Event) {
    match event {
        Event::Incoming(id) => {
            let Some(mut callee) = core.callee(id) else { return };
            let Some(Incoming { endpoint, kind, args, .. }) = callee.take_start() else { return };
            let (one, two) = (from_bytes::<u64>(&args), from_bytes::<(u64, u64)>(&args));
            match (&*endpoint, kind, one, two) {
                (_, Kind::Actor, ..) => callee.started(&[]).unwrap_or_default(),
                ("ports::add", Kind::Call, _, Ok((a, b))) => {
                    callee.finish(returned(a.wrapping_add(b)))
                }
                ("ports::echo", Kind::Context, Ok(first), _) => {
                    callee.started(&to_allocvec(&(first + 1)).unwrap()).unwrap_or_default();
                    echoes.insert(id, Echo::default());
                }
                _ => callee.refuse(Refusal::Unknown, "not known here".into()),
            }
        }
        Event::CancelAsked(DialogId::ACTOR) => {
            let asked = core.callee(DialogId::ACTOR).and_then(|it| it.cancel_request().cloned());
            // Its tasks end before it does (P-C7).
            for id in mem::take(echoes).into_keys().chain([DialogId::ACTOR]) {
                if let (Some(callee), Some(asked)) = (core.callee(id), asked.clone()) {
                    callee.finish(Terminal::Cancelled(asked.by));
                }
            }
            core.goodbye(Instant::default(), GoodbyeReason::Leaving);
        }
        Event::Readable(id) | Event::Writable(id) | Event::CancelAsked(id) => {
            let (Some(echo), Some(mut callee)) = (echoes.get_mut(&id), core.callee(id)) else {
                return;
            };
            if let Some(terminal) = turn(&mut callee, echo) {
                callee.finish(terminal);
                echoes.remove(&id);
            }
        }
        _ => {}
    }
}

/// Goes on with an echo as far as it can.
fn turn(callee: &mut Callee<'_>, (held, count): &mut Echo) -> Option<Terminal> {
    if let Some(request) = callee.cancel_request() {
        return Some(Terminal::Cancelled(request.by.clone()));
    }
    loop {
        if let Some(value) = held.take()
            && callee.send(&value) == Err(SendError::Full)
        {
            *held = Some(value);
            return None;
        }
        let mut value = Vec::new();
        match callee.recv(&mut value) {
            Recv::Value => (*held, *count) = (Some(value), *count + 1),
            Recv::Empty => return None,
            _ => return Some(returned(*count)),
        }
    }
}

fn returned(value: u64) -> Terminal {
    Terminal::Return(to_allocvec(&value).unwrap())
}

async fn live() -> io::Result<()> {
    let link = net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut socket = UnixStream::from(link);
    // It brings the real standard streams along; read like this, the kernel closes them.
    socket.read_exact(&mut [0]).await?;
    let mut uuid = [0; 16];
    File::open("/dev/urandom").await?.read_exact(&mut uuid).await?;
    let (name, uuid) = (env::var("HATCHERY_NAME").unwrap_or_default(), u128::from_le_bytes(uuid));
    let me = ActorId { name, uuid, pid: process::id() };
    let config = Config { kind: LinkKind::Child, role: Role::Odd, me, limits: Limits::default() };
    let began = time::Instant::now();
    let now = || Instant::from_micros(began.elapsed().as_micros() as u64);
    let (mut core, mut echoes) = (Connection::new(config, now()), BTreeMap::new());
    let (mut input, mut output) = (vec![0; 16 * 1024], Vec::new());
    loop {
        while let Some(event) = core.poll_event() {
            handle(&mut core, &mut echoes, event);
        }
        let idle = output.is_empty() && core.poll_transmit(now(), &mut output, 16 * 1024) == 0;
        if idle && core.is_closed() {
            return Ok(());
        }
        let left = core.poll_timeout().map_or(time::Duration::MAX, |(at, _)| at.since(now()));
        let mut due = pin!(task::sleep(left));
        poll_fn(|cx| {
            if !core.is_closed()
                && let Poll::Ready(read) = Pin::new(&mut socket).poll_read(cx, &mut input)
            {
                match read {
                    Ok(count @ 1..) => core.handle_input(now(), &input[..count]),
                    _ => core.handle_eof(now()),
                }
                return Poll::Ready(());
            }
            if !output.is_empty()
                && let Poll::Ready(written) = Pin::new(&mut socket).poll_write(cx, &output)
            {
                if written.is_err() {
                    core.handle_write_closed();
                }
                output.drain(..written.unwrap_or(output.len()));
                return Poll::Ready(());
            }
            due.as_mut().poll(cx).map(|()| core.handle_timeout(now()))
        })
        .await;
    }
}

fn main() -> io::Result<()> {
    task::block_on(live())
}

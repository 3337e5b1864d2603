//! A child actor on tokio: one loop that waits for bytes, for room and for the time at once, and
//! tells the core which of them came.

use std::collections::BTreeMap;
use std::os::{fd::AsFd, unix::net};
use std::{env, io, mem, process};

use hatchery_proto::{
    ActorId, Callee, Config, Connection, DialogId, Event, GoodbyeReason, Incoming, Instant, Kind,
    Limits, LinkKind, Recv, Refusal, Role, SendError, Terminal,
};
use postcard::{from_bytes, to_allocvec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::{fs::File, net::UnixStream, time};

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
    let socket = net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut reader, mut writer) = UnixStream::from_std(socket)?.into_split();
    // It brings the real standard streams along; read like this, the kernel closes them.
    reader.read_u8().await?;
    let uuid = File::open("/dev/urandom").await?.read_u128().await?;
    let me =
        ActorId { name: env::var("HATCHERY_NAME").unwrap_or_default(), uuid, pid: process::id() };
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
        let due = core.poll_timeout().map(|(at, _)| at.since(now()));
        tokio::select! {
            read = reader.read(&mut input), if !core.is_closed() => match read {
                Ok(count @ 1..) => core.handle_input(now(), &input[..count]),
                _ => core.handle_eof(now()),
            },
            written = writer.write(&output), if !output.is_empty() => match written {
                Ok(count) => drop(output.drain(..count)),
                Err(_) => {
                    output.clear();
                    core.handle_write_closed();
                }
            },
            () = time::sleep(due.unwrap_or_default()), if due.is_some() => core.handle_timeout(now()),
        }
    }
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(live())
}

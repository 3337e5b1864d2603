//! A child actor on blocking threads: one for each way of the link, one for the clock, one for each
//! task. `proto/PORTING.md` walks through it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::{fd::AsFd, unix::net::UnixStream};
use std::sync::{Condvar, Mutex};
use std::{env, process, thread, time};

use hatchery_proto::Recv::{Empty, Value};
use hatchery_proto::{
    ActorId, Callee, Cancelled, Config, Connection, DialogId, Event, GoodbyeReason, Instant, Kind,
    Limits, LinkKind, Refusal, Role, SendError, Terminal,
};
use postcard::{from_bytes, to_allocvec};

/// The core, and the bell that rings when it may have changed.
struct Link {
    core: Mutex<Connection>,
    changed: Condvar,
    began: time::Instant,
}

impl Link {
    fn now(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as u64)
    }

    /// Asks the core, and again after every change, until it has an answer.
    fn until<T>(&self, mut ask: impl FnMut(&mut Connection, Instant) -> Option<T>) -> T {
        let mut core = self.core.lock().unwrap();
        loop {
            if let Some(answer) = ask(&mut core, self.now()) {
                self.changed.notify_all();
                return answer;
            }
            core = self.changed.wait(core).unwrap();
        }
    }

    /// Takes what comes, and has a thread serve what is asked for in it.
    fn read(&'static self, mut socket: &UnixStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            self.until(|core, now| Some(core.handle_input(now, &buffer[..count])));
            while let Some(event) = self.until(|core, _| Some(core.poll_event())) {
                if let Event::Incoming(id) = event {
                    thread::spawn(move || self.serve(id));
                }
            }
        }
        self.until(|core, now| Some(core.handle_eof(now)));
    }

    /// Returns when the link has ended and all is written.
    fn write(&self, mut socket: &UnixStream) {
        let mut bytes = Vec::new();
        while self.until(|core, now| {
            let some = core.poll_transmit(now, &mut bytes, 16 * 1024) > 0;
            (some || core.is_closed()).then_some(some)
        }) {
            if socket.write_all(&bytes).is_err() {
                self.until(|core, _| Some(core.handle_write_closed()));
            }
            bytes.clear();
        }
    }

    /// Tells the core the time when it wants to be told, and whenever something has changed.
    fn keep_time(&self) {
        let mut core = self.core.lock().unwrap();
        loop {
            let left =
                core.poll_timeout().map_or(time::Duration::MAX, |(at, _)| at.since(self.now()));
            core = self.changed.wait_timeout(core, left).unwrap().0;
            core.handle_timeout(self.now());
            self.changed.notify_all();
        }
    }

    /// Runs what the parent asks for. The task's end is the dialog's, the actor's end the link's.
    fn serve(&self, id: DialogId) {
        let start = self.until(|core, _| core.callee(id)?.take_start());
        let sum = |(a, b): (u64, u64)| to_allocvec(&a.wrapping_add(b));
        let value = match (&*start.endpoint, start.kind) {
            (_, Kind::Actor) => self.ask(id, |it| it.started(&[]).ok()).and(self.ask(id, |_| None)),
            ("ports::add", Kind::Call) => from_bytes(&start.args).and_then(sum).ok(),
            ("ports::echo", Kind::Context) => self.echo(id, &start.args),
            _ => None,
        };
        // The actor ends after its tasks (P-C7).
        self.until(|core, _| (!id.is_actor() || core.live_dialogs() == 1).then_some(()));
        let mut core = self.core.lock().unwrap();
        let cancelled = cancelled(&mut core, id);
        match (core.callee(id), cancelled, value) {
            (Some(callee), Some(by), _) => callee.finish(Terminal::Cancelled(by)),
            (Some(callee), _, Some(value)) => callee.finish(Terminal::Return(value)),
            (Some(callee), _, None) => callee.refuse(Refusal::Unknown, "not known here".into()),
            (None, ..) => {}
        }
        if id.is_actor() {
            core.goodbye(self.now(), GoodbyeReason::Leaving);
        }
        self.changed.notify_all();
    }

    /// Starts with one more than it was given, sends back what comes, and returns how many came.
    fn echo(&self, id: DialogId, args: &[u8]) -> Option<Vec<u8>> {
        let first = to_allocvec(&(from_bytes::<u64>(args).ok()? + 1)).ok()?;
        self.ask(id, |it| it.started(&first).ok())?;
        let (mut value, mut count) = (Vec::new(), 0_u64);
        while self.ask(id, |it| Some(it.recv(&mut value)).filter(|it| *it != Empty))? == Value {
            self.ask(id, |it| (it.send(&value) != Err(SendError::Full)).then_some(()))?;
            count += 1;
        }
        to_allocvec(&count).ok()
    }

    /// Waits for the dialog's answer; there is none where the task is to end.
    fn ask<T>(&self, id: DialogId, mut f: impl FnMut(&mut Callee<'_>) -> Option<T>) -> Option<T> {
        self.until(|core, _| match cancelled(core, id) {
            Some(_) => Some(None),
            None => f(&mut core.callee(id)?).map(Some),
        })
    }
}

/// Who asked this task to end, or the whole actor.
fn cancelled(core: &mut Connection, id: DialogId) -> Option<Cancelled> {
    let mut ids = [id, DialogId::ACTOR].into_iter();
    ids.find_map(|id| Some(core.callee(id)?.cancel_request()?.by.clone()))
}

fn main() {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    socket.set_nonblocking(false).unwrap();
    // It brings the real standard streams along; read like this, the kernel closes them.
    socket.read_exact(&mut [0]).unwrap();
    let mut uuid = [0; 16];
    File::open("/dev/urandom").unwrap().read_exact(&mut uuid).unwrap();
    let (name, uuid) = (env::var("HATCHERY_NAME").unwrap_or_default(), u128::from_le_bytes(uuid));
    let me = ActorId { name, uuid, pid: process::id() };
    let config = Config { kind: LinkKind::Child, role: Role::Odd, me, limits: Limits::default() };
    let core = Mutex::new(Connection::new(config, Instant::default()));
    let link = Link { core, changed: Condvar::new(), began: time::Instant::now() };
    let (link, socket): (&Link, &UnixStream) = (Box::leak(link.into()), Box::leak(socket.into()));
    thread::spawn(|| link.read(socket));
    thread::spawn(|| link.keep_time());
    link.write(socket);
}

//! An actor that is nothing but the core on a blocking socket: it serves the client in Python, and
//! asks it for the same. Decides nothing about the protocol; every wait has an end.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant as Clock};

use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Code, Config, Connection, DialogId, Event, Failure,
    GoodbyeReason, Incoming, Instant, Kind, Limits, LinkKind, Outcome, Recv, Refusal, Report, Role,
    SendError, StartWish, Terminal,
};

use super::{LONG, WINDOW};

/// A task of this side, as far as it has come.
enum Task {
    AddEach { count: u64, waiting: VecDeque<u64> },
    Waits,
    Stalls { size: u64 },
    Floods { number: u64, count: u64, size: u64 },
}

pub(crate) struct Server {
    core: Connection,
    socket: UnixStream,
    client: Child,
    began: Clock,
    tasks: BTreeMap<DialogId, Task>,
    go: bool,
    sent: u64,
    broken: Option<String>,
}

fn me() -> ActorId {
    ActorId { name: "server".into(), uuid: 77, pid: std::process::id() }
}

fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap()
}

fn value<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> T {
    postcard::from_bytes(bytes).unwrap()
}

impl Server {
    /// The client's link is its descriptor 0.
    pub(crate) fn with_client(program: &Path, arguments: &[&str]) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let client = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()
            .expect("a client");
        let config = Config {
            kind: LinkKind::Peer,
            role: Role::Odd,
            me: me(),
            limits: Limits { handshake_timeout: LONG, ..Limits::default() },
        };
        Self {
            core: Connection::new(config, Instant::from_micros(0)),
            socket,
            client,
            began: Clock::now(),
            tasks: BTreeMap::new(),
            go: false,
            sent: 0,
            broken: None,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as u64)
    }

    /// Writes what waits, reads once, and does what follows.
    fn step(&mut self) {
        assert!(self.began.elapsed() < LONG, "the conversation takes too long");
        self.act();
        let mut out = Vec::new();
        while self.core.poll_transmit(self.now(), &mut out, usize::MAX) > 0 {}
        if self.socket.write_all(&out).is_err() {
            self.core.handle_write_closed();
        }
        if self.core.is_closed() {
            return;
        }
        let due = self.core.poll_timeout().map_or(LONG, |(at, _)| at.since(self.now()));
        let wait = due.clamp(Duration::from_millis(1), Duration::from_secs(5));
        self.socket.set_read_timeout(Some(wait)).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.core.handle_eof(self.now()),
            Ok(count) => self.core.handle_input(self.now(), &buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.core.handle_eof(self.now()),
        }
        self.core.handle_timeout(self.now());
        self.act();
    }

    pub(crate) fn serve_to_the_end(&mut self) {
        while !self.core.is_closed() {
            self.step();
        }
        // What was said last is still on its way.
        self.step();
    }

    pub(crate) fn leave(&mut self) {
        let now = self.now();
        self.core.goodbye(now, GoodbyeReason::LinkOnly);
    }

    pub(crate) fn violation(&self) -> String {
        self.broken.clone().unwrap_or_default()
    }

    /// Waits for the client's end, and gives what it complained of.
    pub(crate) fn end(&mut self) -> String {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let mut text = String::new();
        self.client.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.client.wait().unwrap();
        assert_eq!(status.success(), text.is_empty(), "{status}: {text}");
        text
    }

    // Serving.

    fn act(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Incoming(id) => self.begin(id),
                Event::Readable(id) | Event::Writable(id) => self.go_on(id),
                Event::CancelAsked(id) => {
                    let callee = self.core.callee(id).unwrap();
                    let by = callee.cancel_request().unwrap().by.clone();
                    callee.finish(Terminal::Cancelled(by));
                    self.tasks.remove(&id);
                }
                Event::Broken(violation) => self.broken = Some(violation.to_string()),
                _ => {}
            }
        }
    }

    fn begin(&mut self, id: DialogId) {
        let mut callee = self.core.callee(id).unwrap();
        let Incoming { endpoint, args, kind, .. } = callee.take_start().unwrap();
        let task = match endpoint.as_str() {
            "rust::add_each" => Task::AddEach { count: 0, waiting: VecDeque::new() },
            "rust::waits" => Task::Waits,
            "rust::stalls" => Task::Stalls { size: 0 },
            "rust::floods" => {
                let (count, size) = value(&args);
                self.sent = 0;
                Task::Floods { number: 0, count, size }
            }
            "rust::fails" => {
                let word: String = value(&args);
                let message = format!("failed with {word}");
                let report = Box::new(Report::new((77, 1), Code::Error, me(), message));
                return callee.finish(Terminal::Failed { report, payload: bytes(&word) });
            }
            "rust::reverse" => {
                let mut data: Vec<u8> = value(&args);
                data.reverse();
                return callee.finish(Terminal::Return(bytes(&data)));
            }
            "rust::sent" => return callee.finish(Terminal::Return(bytes(&self.sent))),
            "rust::go" => {
                callee.finish(Terminal::Return(Vec::new()));
                self.go = true;
                let all: Vec<_> = self.tasks.keys().copied().collect();
                return all.into_iter().for_each(|id| self.go_on(id));
            }
            _ => return callee.refuse(Refusal::Unknown, "there is none".into()),
        };
        assert_eq!(kind, Kind::Context);
        callee.accept();
        let first = if let Task::AddEach { .. } = task { value::<u64>(&args) + 1 } else { 0 };
        callee.started(&bytes(&first)).unwrap();
        self.tasks.insert(id, task);
        self.go_on(id);
    }

    fn go_on(&mut self, id: DialogId) {
        let (Some(task), Some(mut callee)) = (self.tasks.get_mut(&id), self.core.callee(id)) else {
            return;
        };
        let mut buffer = Vec::new();
        let result = match task {
            Task::Waits => return,
            Task::AddEach { count, waiting } => loop {
                let end = callee.recv(&mut buffer);
                if end == Recv::Value {
                    waiting.push_back(value::<u64>(&buffer) + 1);
                    *count += 1;
                }
                while waiting.front().is_some_and(|next| callee.send(&bytes(next)).is_ok()) {
                    waiting.pop_front();
                }
                match end {
                    Recv::Value => {}
                    Recv::End if waiting.is_empty() => break *count,
                    _ => return,
                }
            },
            Task::Stalls { .. } if !self.go => return,
            Task::Stalls { size } => loop {
                match callee.recv(&mut buffer) {
                    Recv::Value => *size += value::<Vec<u8>>(&buffer).len() as u64,
                    Recv::End => break *size,
                    _ => return,
                }
            },
            Task::Floods { number, count, size } => {
                while number < count {
                    let data = vec![(*number % 251) as u8; *size as usize];
                    if callee.send(&bytes(&data)).is_err() {
                        return;
                    }
                    *number += 1;
                    self.sent += 1;
                }
                *count
            }
        };
        callee.stop().unwrap();
        callee.finish(Terminal::Return(bytes(&result)));
        self.tasks.remove(&id);
    }

    // Asking.

    fn open(&mut self, name: &str, kind: Kind, args: &[u8]) -> DialogId {
        let endpoint = &format!("python::{name}");
        let wish = StartWish {
            endpoint,
            kind,
            schema: 0,
            codec: 0,
            deadline: None,
            trace: Some(b"trace"),
        };
        let now = self.now();
        self.core.start(now, wish, args).expect("a dialog")
    }

    fn outcome(&mut self, id: DialogId) -> Outcome {
        loop {
            if let Some(outcome) = self.core.caller(id).and_then(|one| one.outcome().cloned()) {
                return outcome;
            }
            self.step();
        }
    }

    fn call(&mut self, name: &str, args: &[u8]) -> Outcome {
        let id = self.open(name, Kind::Call, args);
        self.outcome(id)
    }

    /// Opens a context and waits for its first value.
    fn context(&mut self, name: &str, args: &[u8]) -> (DialogId, u64) {
        let id = self.open(name, Kind::Context, args);
        loop {
            if let Some(first) = self.core.caller(id).unwrap().take_started() {
                return (id, value(&first));
            }
            self.step();
        }
    }

    fn recv(&mut self, id: DialogId) -> Option<Vec<u8>> {
        let mut buffer = Vec::new();
        loop {
            match self.core.caller(id).unwrap().recv(&mut buffer) {
                Recv::Value => return Some(buffer),
                Recv::Empty => self.step(),
                Recv::End => return None,
                Recv::Overrun | Recv::Ended => panic!("{:?}", self.outcome(id)),
            }
        }
    }

    pub(crate) fn asks_in_every_way(&mut self) {
        self.asks_for_a_stream();
        self.cancels();
        self.asks_for_an_error();
        let data: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let Outcome::Returned(back) = self.call("reverse", &bytes(&data)) else { panic!() };
        assert!(value::<Vec<u8>>(&back).into_iter().rev().eq(data));
        self.is_held_up();
        self.is_flooded();
    }

    fn asks_for_a_stream(&mut self) {
        let (id, first) = self.context("add_each", &bytes(&5_u64));
        assert_eq!(first, 6);
        // A kind of a later version, for this dialog: skipped (P-F1).
        self.socket.write_all(&[3, 0, 0, 0, 0x80, id.number() as u8, 7]).unwrap();
        for number in 0..100_u64 {
            self.core.caller(id).unwrap().send(&bytes(&number)).unwrap();
            assert_eq!(self.recv(id).map(|got| value::<u64>(&got)), Some(number + 1));
        }
        self.core.caller(id).unwrap().stop().unwrap();
        assert_eq!(self.recv(id), None);
        assert_eq!(self.outcome(id), Outcome::Returned(bytes(&100_u64)));
    }

    fn cancels(&mut self) {
        let (id, _) = self.context("waits", &[]);
        let by = Cancelled { canceller: me(), cause: Cause::Asked };
        let request = CancelRequest { by: by.clone(), grace: Duration::from_secs(2) };
        let now = self.now();
        self.core.caller(id).unwrap().cancel(now, request);
        assert_eq!(self.outcome(id), Outcome::Cancelled(by));
    }

    fn asks_for_an_error(&mut self) {
        let Outcome::Failed { report, payload } = self.call("fails", &bytes(&"salt")) else {
            panic!("no failure")
        };
        assert_eq!((report.message.as_str(), payload), ("failed with salt", bytes(&"salt")));
        let refused = Failure::Refused(Refusal::Unknown, "`python::none` is not known here".into());
        let Outcome::Refused(refusal, text) = self.call("none", &[]) else { panic!("served") };
        assert_eq!(Failure::Refused(refusal, text), refused);
    }

    fn is_held_up(&mut self) {
        let (id, _) = self.context("stalls", &[]);
        let value = bytes(&vec![0_u8; 1000]);
        let mut count = 0;
        while self.core.caller(id).unwrap().send(&value).is_ok() {
            count += 1;
        }
        assert_eq!(count, WINDOW.div_ceil(value.len() + 16));
        assert_eq!(self.core.caller(id).unwrap().send(&value), Err(SendError::Full));
        assert_eq!(self.call("go", &[]), Outcome::Returned(Vec::new()));
        while self.core.caller(id).unwrap().send(&value).is_err() {
            self.step();
        }
        self.core.caller(id).unwrap().stop().unwrap();
        assert_eq!(self.outcome(id), Outcome::Returned(bytes(&(1000 * (count as u64 + 1)))));
    }

    fn is_flooded(&mut self) {
        let (id, _) = self.context("floods", &bytes(&(400_u64, 4000_u64)));
        let most = (WINDOW - 17).div_ceil(4002 + 16) as u64;
        let mut told = 0;
        while told < most {
            let Outcome::Returned(sent) = self.call("sent", &[]) else { panic!() };
            told = value(&sent);
            assert!(told <= most, "{told} of {most}");
        }
        for number in 0..400_u32 {
            let got = self.recv(id).map(|got| value::<Vec<u8>>(&got));
            assert_eq!(got, Some(vec![(number % 251) as u8; 4000]));
        }
        assert_eq!(self.recv(id), None);
        assert_eq!(self.outcome(id), Outcome::Returned(bytes(&400_u64)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

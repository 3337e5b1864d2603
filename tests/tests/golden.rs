//! The bytes of version 1, frozen: what this build writes is what `tests/golden/` says, and what is
//! said there is what this build reads. No byte may change within a version (P-F1).
//!
//! A line of a file is hex, blanks for reading; what it is stands above it after `#`.

use std::fmt::Debug;
use std::fs;
use std::time::Duration;

use hatchery_proto::report::{ExitReport, ExitStatus, Rung, Usage};
use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::hello::{Announced, Hello, VERSIONS};
use hatchery_proto::wire::{CONTINUED, MORE, Tag, body, put_frame};
use hatchery_proto::{
    ActorId, Also, CancelRequest, Cancelled, Cause, Code, DialogId, Failure, GoodbyeReason, Hop,
    Kind, Limits, Location, Refusal, Report, Role, Terminal,
};
use hatchery_tests::build::workspace;
use hatchery_tests::pair::{Pair, actor, asked_by, cancel_by, wish};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a file of vectors holds: each with what it is.
fn golden(name: &str) -> Vec<(String, Vec<u8>)> {
    let path = workspace().join("tests/golden").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let (mut vectors, mut what) = (Vec::new(), String::new());
    for line in text.lines() {
        match line.strip_prefix('#') {
            Some(head) => what = head.trim().to_owned(),
            None if line.trim().is_empty() => {}
            None => vectors.push((what.clone(), unhex(line))),
        }
    }
    vectors
}

fn unhex(line: &str) -> Vec<u8> {
    let digits: String = line.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// Hex with the length, the kind and the dialog set off.
fn hex(frame: &[u8]) -> String {
    let text: Vec<_> = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {} {}", text[..4].concat(), text[4], text[5..].join(""))
}

/// Compares all vectors of a file with what this build makes; says how they differ.
fn compare(name: &str, made: &[(String, Vec<u8>)]) {
    let kept = golden(name);
    for (kept, made) in kept.iter().zip(made) {
        let hint = format!("# {}\n{}", made.0, hex(&made.1));
        assert_eq!(kept, made, "{name}: the bytes have changed; this build writes\n{hint}");
    }
    let all: Vec<_> =
        made.iter().map(|(what, bytes)| format!("# {what}\n{}", hex(bytes))).collect();
    assert_eq!(kept.len(), made.len(), "{name} should be\n{}", all.join("\n"));
}

/// Vectors in the making.
#[derive(Default)]
struct Vectors(Vec<(String, Vec<u8>)>);

impl Vectors {
    fn add(&mut self, what: &str, tag: Tag, dialog: u64, flags: u8, content: &[u8]) {
        let mut out = Vec::new();
        put_frame(&mut out, tag, DialogId::new(dialog), flags, |out| {
            out.extend_from_slice(content);
        });
        let mut input = &out[..];
        let mut deframer = Deframer::new(1 << 16);
        let frame = deframer.next(&mut input).unwrap().expect("a frame");
        assert_eq!((frame.tag, frame.dialog.number(), frame.flags), (Some(tag), dialog, flags));
        assert_eq!((frame.body, input), (content, &[][..]), "{what}");
        self.0.push((format!("{}: {what}", tag.name()), out));
    }

    /// A frame whose body is one value, which reads back as itself.
    fn body<T>(&mut self, what: &str, tag: Tag, value: &T, payload: &[u8])
    where
        T: Serialize + DeserializeOwned + Debug,
    {
        let mut content = postcard::to_allocvec(value).unwrap();
        let back: T = postcard::from_bytes(&content).unwrap();
        assert_eq!(format!("{back:?}"), format!("{value:?}"));
        content.extend_from_slice(payload);
        let dialog = if tag == Tag::Goodbye { 0 } else { 300 };
        self.add(what, tag, dialog, 0, &content);
    }
}

fn id() -> ActorId {
    ActorId { name: "wörker".into(), uuid: u128::MAX - 1, pid: 4711 }
}

fn report() -> Report {
    let status = ExitStatus::Signal { number: 9, core: true };
    let mut exit = ExitReport::new(id(), Some(status), Rung::Killed);
    exit.rungs = vec![(Rung::Asked, Duration::from_millis(1500)), (Rung::Killed, Duration::ZERO)];
    exit.asked_by = Some(actor(4));
    exit.link_lost = true;
    exit.under_way = vec!["call".into()];
    exit.last_message = "last".into();
    exit.panics = "ouch".into();
    exit.stderr_tail = "oh".into();
    exit.out_of_memory = true;
    exit.usage = Some(Usage { user: Duration::from_secs(2), system: Duration::from_nanos(7) });
    Report {
        id: (7, 300),
        code: Code::Died,
        message: "gone".into(),
        sources: vec!["one".into(), "two".into()],
        type_name: "a::B".into(),
        location: Some(Location { file: "a.rs".into(), line: 300, column: 5 }),
        backtrace: Some("0: main".into()),
        origin: id(),
        hops: vec![Hop { actor: actor(1), task: "task".into() }],
        canceller: Some(actor(2)),
        exit: Some(Box::new(exit)),
        also: vec![Also { origin: actor(3), type_name: String::new(), message: "too".into() }],
        truncated: true,
    }
}

fn plain_report() -> Report {
    Report::new((1, 2), Code::Error, actor(1), "no".into())
}

fn start(kind: Kind, deadline: Option<Duration>, trace: Option<&[u8]>) -> Vec<u8> {
    let start = body::Start {
        endpoint: "a::b",
        kind,
        schema: u64::MAX,
        codec: 0,
        credit: 1024,
        deadline,
        trace,
    };
    postcard::to_allocvec(&start).unwrap()
}

#[test]
fn p_f1_every_kind_of_frame_keeps_its_bytes() {
    let mut all = Vectors::default();
    for (role, tree) in [(Role::Even, None), (Role::Odd, None), (Role::Odd, Some(300))] {
        let announced = Announced::of(&Limits::default());
        let mut content = Vec::new();
        Hello { versions: VERSIONS, id: id(), role, announced, tree, descriptors: 0 }
            .put(&mut content);
        let back = Hello::parse(&content).unwrap();
        assert_eq!((back.versions, &back.id.name, back.role), (VERSIONS, &id().name, role));
        assert_eq!(back.tree, tree);
        let of = if tree.is_some() { " of a tree" } else { "" };
        all.add(&format!("{role:?}{of}"), Tag::Hello, 0, 0, &content);
    }
    for kind in [Kind::Call, Kind::Stream, Kind::Context] {
        all.add(&format!("{kind:?}"), Tag::Start, 2, 0, &start(kind, None, None));
    }
    all.add("Actor", Tag::Start, 0, 0, &start(Kind::Actor, None, None));
    let half = Some(Duration::from_millis(1500));
    let mut first = start(Kind::Call, half, Some(b"tr"));
    first.extend_from_slice(b"begun");
    all.add("1.5 s, a trace, arguments that go on", Tag::Start, u64::MAX - 1, MORE, &first);
    all.add("the last of them", Tag::Start, u64::MAX - 1, CONTINUED, b"ended");
    for kind in [Kind::Call, Kind::Stream, Kind::Context, Kind::Actor] {
        let ack = body::StartAck { kind, credit: 262_144 };
        all.body(&format!("{kind:?}"), Tag::StartAck, &ack, b"");
    }
    for tag in [Tag::Started, Tag::Yield, Tag::Return] {
        all.add("empty", tag, 128, 0, b"");
        all.add("first of three", tag, 128, MORE, b"one");
        all.add("second", tag, 128, MORE | CONTINUED, b"two");
        all.add("last", tag, 128, CONTINUED, b"three");
    }
    for tag in [Tag::Stop, Tag::CancelAck] {
        all.add("of dialog 5", tag, 5, 0, b"");
    }
    failures(&mut all);
    for (grace, cause) in [(0, Cause::Dropped), (4600, Cause::SiblingFailed)] {
        let by = Cancelled { canceller: id(), cause };
        let request = CancelRequest { by, grace: Duration::from_millis(grace) };
        all.body(&format!("{grace} ms"), Tag::Cancel, &request, b"");
    }
    all.body("65536", Tag::Credit, &body::Credit { bytes: 65_536, done: body::Done::No }, b"");
    all.body("done", Tag::Credit, &body::Credit { bytes: 0, done: body::Done::Gone }, b"");
    all.body("overrun", Tag::Credit, &body::Credit { bytes: 0, done: body::Done::Overrun }, b"");
    all.add("alone", Tag::Ping, 0, 0, b"");
    all.add("alone", Tag::Pong, 0, 0, b"");
    let said = GoodbyeReason::Protocol("why".into());
    use GoodbyeReason::{Leaving, LinkOnly, NotAllowed};
    for reason in [Leaving, LinkOnly, NotAllowed, said] {
        all.body(&format!("{reason:?}"), Tag::Goodbye, &reason, b"");
    }
    compare("frames-v1.txt", &all.0);
}

/// Every refusal, every cause, and a report with everything in it.
fn failures(all: &mut Vectors) {
    use Refusal::{
        BadArguments, NotExposed, SchemaMismatch, ShuttingDown, TooManyDialogs, Unknown, WrongKind,
    };
    for refusal in
        [Unknown, NotExposed, WrongKind, SchemaMismatch, BadArguments, TooManyDialogs, ShuttingDown]
    {
        let failure = Failure::Refused(refusal, "no".into());
        all.body(&format!("{refusal:?}"), Tag::Error, &failure, b"");
    }
    for cause in [
        Cause::Asked,
        Cause::Deadline,
        Cause::Dropped,
        Cause::OpenerFailed(Box::new(plain_report())),
        Cause::SiblingFailed,
        Cause::ScopeEnding,
        Cause::LinkLost,
        Cause::ParentEnding,
        Cause::Signal(15),
        Cause::Signal(-1),
    ] {
        let what = format!("cancelled, {cause}");
        let failure = Failure::Cancelled(Cancelled { canceller: actor(1), cause });
        all.body(&what, Tag::Error, &failure, b"");
    }
    let failure = Failure::Failed(Box::new(plain_report()));
    all.body("a plain report and a typed error", Tag::Error, &failure, b"typed");
    all.body("a full report", Tag::Error, &Failure::Failed(Box::new(report())), b"");
    let codes = [
        Code::Error,
        Code::Panic,
        Code::Several,
        Code::Refused,
        Code::Died,
        Code::Lost,
        Code::Spawn,
        Code::Cancelled,
        Code::Misuse,
        Code::Protocol,
        Code::Os,
        Code::Overrun,
    ];
    for code in codes {
        let mut report = plain_report();
        report.code = code;
        let failure = Failure::Failed(Box::new(report));
        all.body(&format!("code {code:?}"), Tag::Error, &failure, b"");
    }
    use Rung::{Asked, Killed, Terminated, Unasked, Unkillable};
    for rung in [Unasked, Asked, Terminated, Killed, Unkillable] {
        let mut report = plain_report();
        let status = (rung != Unkillable).then_some(ExitStatus::Code(-3));
        report.exit = Some(Box::new(ExitReport::new(actor(1), status, rung)));
        let failure = Failure::Failed(Box::new(report));
        all.body(&format!("rung {rung:?}"), Tag::Error, &failure, b"");
    }
}

/// Two cores, and every frame that went between them.
struct Talk {
    pair: Pair,
    said: Vec<(String, Vec<u8>)>,
}

impl Talk {
    /// Carries what both have to say, one frame at a time, the parent's first.
    fn go_on(&mut self) {
        loop {
            let before = self.said.len();
            for parent in [true, false] {
                let now = self.pair.now;
                let (from, to, who) = match parent {
                    true => (&mut self.pair.a, &mut self.pair.b, "parent"),
                    false => (&mut self.pair.b, &mut self.pair.a, "child"),
                };
                let mut bytes = from.bytes(now);
                to.core.handle_input(now, &bytes);
                while !bytes.is_empty() {
                    let len = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
                    let rest = bytes.split_off(4 + len);
                    let kind = Tag::of(bytes[4]).unwrap().name();
                    self.said.push((format!("{who} {kind}"), bytes));
                    bytes = rest;
                }
            }
            if self.said.len() == before {
                return;
            }
        }
    }
}

#[test]
fn p_f1_a_whole_conversation_keeps_its_bytes() {
    let mut talk = Talk { pair: Pair::family(&Limits::default()), said: Vec::new() };
    let now = talk.pair.now;
    talk.pair.a.core.start_actor(now, b"specification").unwrap();
    talk.go_on();
    let actor = talk.pair.b.incoming();
    let mut callee = talk.pair.b.core.callee(actor).unwrap();
    drop(callee.take_start());
    callee.accept();
    callee.started(b"").unwrap();
    talk.go_on();

    let id = talk.pair.start(Kind::Context, b"args");
    talk.go_on();
    let incoming = talk.pair.b.incoming();
    let mut callee = talk.pair.b.core.callee(incoming).unwrap();
    drop(callee.take_start());
    callee.accept();
    callee.started(b"up").unwrap();
    callee.send(b"value").unwrap();
    talk.go_on();
    let mut caller = talk.pair.a.core.caller(id).unwrap();
    caller.send(b"other").unwrap();
    caller.stop().unwrap();
    talk.go_on();
    let mut callee = talk.pair.b.core.callee(id).unwrap();
    callee.stop().unwrap();
    callee.finish(Terminal::Return(b"end".to_vec()));
    talk.go_on();

    let id = talk.pair.start(Kind::Call, b"");
    talk.go_on();
    let callee = talk.pair.b.core.callee(id).unwrap();
    callee.refuse(Refusal::Unknown, "there is none".into());
    talk.go_on();

    // The child asks too: its numbers are odd.
    let id = talk.pair.b.core.start(now, wish(Kind::Call), b"1").unwrap();
    talk.go_on();
    let mut callee = talk.pair.a.core.callee(id).unwrap();
    drop(callee.take_start());
    let report = Box::new(plain_report());
    callee.finish(Terminal::Failed { report, payload: b"typed".to_vec() });
    talk.go_on();

    let request = cancel_by(1, Duration::from_millis(1500));
    talk.pair.a.core.caller(actor).unwrap().cancel(now, request);
    talk.go_on();
    talk.pair.finish(actor, Terminal::Cancelled(asked_by(1)));
    talk.pair.b.core.goodbye(now, GoodbyeReason::Leaving);
    talk.go_on();
    assert!(talk.pair.b.core.is_closed(), "the child may go");
    assert_eq!((talk.pair.a.broken(), talk.pair.b.broken()), (None, None));
    compare("conversation-v1.txt", &talk.said);
}

#[test]
fn p_f4_every_vector_ends_a_link_or_is_read_however_it_is_cut() {
    for (what, frame) in golden("frames-v1.txt") {
        for size in [1, 2, 7] {
            let mut deframer = Deframer::new(1 << 16);
            let mut found = 0;
            for mut piece in frame.chunks(size) {
                while let Some(cut) = deframer.next(&mut piece).unwrap() {
                    assert_eq!(cut.tag.map(|tag| tag as u8), Some(frame[4]), "{what}");
                    found += 1;
                }
            }
            assert_eq!(found, 1, "{what} in pieces of {size}");
        }
    }
}

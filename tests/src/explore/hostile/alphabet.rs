//! All that a hostile peer can say: every kind of frame to every kind of number, with bodies that are
//! right, cut short, followed by something, unknown, or longer than canonical, and what is no frame.
//!
//! Everything is said in every state. Only what leads somewhere new is also followed, so that the
//! world stays finite: two values of different sizes show what two hundred would.

use std::fmt::{self, Write as _};
use std::time::Duration;

use hatchery_proto::wire::body::Done;
use hatchery_proto::wire::hello::{Announced, Hello, VERSIONS};
use hatchery_proto::wire::{CONTINUED, MORE, Tag, body, put_varint};
use hatchery_proto::{
    CancelRequest, Cancelled, Cause, Code, DialogId, Failure, GoodbyeReason, Kind, Limits,
    LinkKind, Refusal, Report, Role,
};
use serde::Serialize;

use super::super::pair::{asked_by, who};

/// The largest message of the worlds.
pub(super) const MAX_MESSAGE: usize = 1100;
/// Sizes of payloads: nothing and next to it, a fragment that is not small, what takes the window to
/// nothing, a byte more than the window, and what no message may have.
const SIZES: [usize; 6] = [0, 1, 512, 1008, 1025, MAX_MESSAGE + 1];

/// What is followed of what is said of credit.
const CREDITS: [&str; 3] = ["1024 bytes", "0 bytes, done", "0 bytes, overrun"];

/// Which number a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    /// Dialog 0.
    Zero,
    /// A dialog that the core has opened and that has not ended: the older one, and the younger.
    Own,
    Own2,
    /// The same of the peer's.
    Theirs,
    Theirs2,
    /// One of each that has ended.
    EndedOwn,
    EndedTheirs,
    /// The peer's to open, passed over by it.
    Skipped,
    /// Never opened: the peer's next, the last of all numbers, and one that is the core's to open.
    Fresh,
    Last,
    FreshOwn,
}

impl Target {
    pub(super) const ALL: [Self; 11] = [
        Self::Zero,
        Self::Own,
        Self::Own2,
        Self::Theirs,
        Self::Theirs2,
        Self::EndedOwn,
        Self::EndedTheirs,
        Self::Skipped,
        Self::Fresh,
        Self::Last,
        Self::FreshOwn,
    ];

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Zero => "dialog 0",
            Self::Own => "a dialog of the core",
            Self::Own2 => "another dialog of the core",
            Self::Theirs => "a dialog of the peer",
            Self::Theirs2 => "another dialog of the peer",
            Self::EndedOwn => "an ended dialog of the core",
            Self::EndedTheirs => "an ended dialog of the peer",
            Self::Skipped => "a number that the peer passed over",
            Self::Fresh => "a number that the peer may open",
            Self::Last => "the last number of all",
            Self::FreshOwn => "a number that the core may open",
        }
    }

    /// Whether every shape is said to it, and not only one of each sort.
    const fn is_wide(self, kind: LinkKind) -> bool {
        match self {
            Self::Zero => !matches!(kind, LinkKind::Peer),
            _ => matches!(self, Self::Own | Self::Theirs),
        }
    }
}

/// What a frame is but for its number.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// What it is, where it is known.
    pub(super) tag: Option<Tag>,
    kind: u8,
    /// What stands behind the number.
    content: Vec<u8>,
    pub(super) words: String,
    /// Whether the world goes on behind it.
    pub(super) follow: bool,
    /// Of a new dialog.
    pub(super) opens: Option<Kind>,
    /// Whether it stands for its sort.
    brief: bool,
}

/// A frame to a number, or bytes that are none.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Frame(Target, Shape),
    Raw(&'static str, Vec<u8>),
    /// Half a frame, and then the end.
    Half,
}

impl Message {
    pub(super) const fn target(&self) -> Option<Target> {
        match self {
            Self::Frame(target, _) => Some(*target),
            _ => None,
        }
    }

    pub(super) const fn tag(&self) -> Option<Tag> {
        match self {
            Self::Frame(_, shape) => shape.tag,
            _ => None,
        }
    }

    /// Whether it is one of those of which only so many are followed.
    pub(super) fn moves(&self) -> bool {
        match self {
            Self::Frame(_, shape) => match shape.tag {
                Some(Tag::Credit) => true,
                Some(Tag::Yield) => {
                    shape.content.first().is_none_or(|flags| flags & CONTINUED == 0)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether more of it is to follow.
    pub(super) fn begins(&self) -> bool {
        match self {
            Self::Frame(_, shape) if shape.tag.is_some_and(Tag::has_flags) => {
                shape.content.first().is_some_and(|flags| flags & MORE != 0)
            }
            _ => false,
        }
    }

    /// What it is called in the table: its kind, and the rest.
    pub(super) fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Frame(_, shape) => (shape.tag.map_or("other kinds", Tag::name), &shape.words),
            Self::Raw(words, _) => ("no frame", words),
            Self::Half => ("no frame", "half of one, and the end"),
        }
    }

    /// Its bytes, where its number is this.
    pub(super) fn bytes(&self, id: DialogId) -> Vec<u8> {
        match self {
            Self::Frame(_, shape) => shape.bytes(id),
            Self::Raw(_, bytes) => bytes.clone(),
            Self::Half => vec![9, 0, 0, 0, Tag::Yield as u8, 1, 0],
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, words) = self.name();
        write!(f, "{kind}, {words}")?;
        self.target().map_or(Ok(()), |target| write!(f, ", for {}", target.words()))
    }
}

impl Shape {
    fn bytes(&self, id: DialogId) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.content.len() + 15);
        out.extend_from_slice(&[0; 4]);
        out.push(self.kind);
        put_varint(&mut out, id.number());
        out.extend_from_slice(&self.content);
        let size = u32::try_from(out.len() - 4).expect("a small frame");
        out[..4].copy_from_slice(&size.to_le_bytes());
        out
    }

    fn new(tag: Tag, words: &str, content: Vec<u8>) -> Self {
        let words = words.to_owned();
        Self {
            tag: Some(tag),
            kind: tag as u8,
            content,
            words,
            follow: false,
            opens: None,
            brief: false,
        }
    }

    const fn followed(mut self) -> Self {
        self.follow = true;
        self
    }

    const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }
}

/// Every message of the peer of this end of a link.
pub(super) fn all(kind: LinkKind) -> Vec<Message> {
    let mut all = Vec::new();
    let shapes = of_dialogs();
    for target in Target::ALL {
        for shape in &shapes {
            let opening = target == Target::Fresh && shape.tag == Some(Tag::Start);
            if target.is_wide(kind) || shape.brief || opening {
                all.push(Message::Frame(target, shape.clone()));
            }
        }
    }
    let role = if kind == LinkKind::Child { Role::Even } else { Role::Odd };
    for shape in of_links(role) {
        for target in [Target::Zero, Target::Fresh] {
            if target == Target::Zero || shape.brief {
                all.push(Message::Frame(target, shape.clone()));
            }
        }
    }
    all.extend(no_frames());
    all.push(Message::Half);
    all
}

fn of_dialogs() -> Vec<Shape> {
    let mut shapes = starts();
    for tag in [Tag::Started, Tag::Yield, Tag::Return] {
        shapes.extend(payloads(tag));
    }
    shapes.extend(controls(Tag::StartAck, start_acks(), &["a context", "a call", "a stream"]));
    shapes.extend(controls(Tag::Error, errors(), &["refused", "failed"]));
    shapes.extend(controls(Tag::Cancel, cancels(), &["4 s", "2 s"]));
    shapes.extend(controls(Tag::Credit, credits(), &CREDITS));
    for tag in [Tag::Stop, Tag::CancelAck] {
        shapes.push(Shape::new(tag, "right", Vec::new()).followed().brief());
        shapes.push(Shape::new(tag, "trailing bytes", vec![0]).brief());
    }
    shapes
}

fn flags_words(flags: u8) -> &'static str {
    match flags {
        0 => "",
        MORE => ", more follows",
        CONTINUED => ", continued",
        3 => ", continued, more follows",
        _ => ", unknown flags",
    }
}

fn payloads(tag: Tag) -> Vec<Shape> {
    let mut shapes = vec![Shape::new(tag, "without flags", Vec::new()).brief()];
    for flags in [0, MORE, CONTINUED, MORE | CONTINUED] {
        for size in SIZES {
            let words = format!("{size} bytes{}", flags_words(flags));
            let mut content = vec![7; size + 1];
            content[0] = flags;
            let mut shape = Shape::new(tag, &words, content);
            // What takes the window to nothing is of interest where that is shared.
            let spends = tag == Tag::Yield && (flags, size) == (0, 1008);
            shape.follow = spends || matches!((flags, size), (0, 0) | (MORE, 512) | (CONTINUED, 1));
            shape.brief = matches!(size, 1 | 1101);
            shapes.push(shape);
        }
    }
    for flags in [4, 0x80] {
        shapes.push(Shape::new(tag, &format!("flags {flags:#x}"), vec![flags, 7]).brief());
    }
    shapes
}

fn starts() -> Vec<Shape> {
    let right = body::Start {
        endpoint: "x",
        kind: Kind::Context,
        schema: 0,
        codec: body::POSTCARD,
        credit: Limits::FLOOR,
        deadline: None,
        trace: None,
    };
    let shape = |words: &str, flags: u8, head: &[u8], args: usize| {
        let mut content = vec![flags];
        content.extend_from_slice(head);
        content.resize(content.len() + args, 7);
        Shape::new(Tag::Start, words, content)
    };
    let of_kind = |kind| encoded(&body::Start { kind, ..right.clone() });
    let mut shapes = Vec::new();
    for (words, kind) in [
        ("a call", Kind::Call),
        ("a stream", Kind::Stream),
        ("a context", Kind::Context),
        ("an actor", Kind::Actor),
    ] {
        let mut whole = shape(words, 0, &of_kind(kind), 0).followed().brief();
        whole.opens = Some(kind);
        shapes.push(whole);
    }
    let context = of_kind(Kind::Context);
    for size in SIZES {
        shapes.push(shape(&format!("a context, {size} bytes"), 0, &context, size));
        let words = format!("a context, {size} bytes, more follows");
        let mut begun = shape(&words, MORE, &context, size);
        begun.follow = size == 512;
        begun.opens = (size == 512).then_some(Kind::Context);
        shapes.push(begun);
        for flags in [CONTINUED, MORE | CONTINUED] {
            let words = format!("{size} bytes{}", flags_words(flags));
            let mut rest = shape(&words, flags, b"", size);
            rest.follow = (flags, size) == (CONTINUED, 1);
            rest.brief = size == 1;
            shapes.push(rest);
        }
    }
    let odd = [
        ("a window below the floor", body::Start { credit: Limits::FLOOR - 1, ..right.clone() }),
        ("the largest window", body::Start { credit: u32::MAX, ..right.clone() }),
        ("an unknown codec", body::Start { codec: 9, ..right.clone() }),
        ("a deadline of nothing", body::Start { deadline: Some(Duration::ZERO), ..right.clone() }),
    ];
    for (words, start) in odd {
        shapes.push(shape(words, 0, &encoded(&start), 0));
    }
    let name = "n".repeat(256);
    let long = body::Start { endpoint: &name, ..right };
    shapes.push(shape("a name that is too long", 0, &encoded(&long), 0));
    let cut = &context[..context.len() - 1];
    shapes.push(shape("cut short", 0, cut, 0).brief());
    shapes.push(shape("an unknown kind", 0, &[1, b'x', 4, 0, 0, 128, 8, 0, 0], 0));
    shapes.push(shape("longer than canonical", 0, &longer(&context), 0));
    shapes.push(shape("a name that is no text", 0, &[1, 0xff, 2, 0, 0, 128, 8, 0, 0], 0));
    shapes.push(shape("flags 0x4", 4, &context, 0).brief());
    shapes
}

/// A control frame's bodies: the right ones as they are, and the first of them made wrong.
fn controls(tag: Tag, bodies: Vec<(&'static str, Vec<u8>)>, followed: &[&str]) -> Vec<Shape> {
    let right = bodies.first().map(|(_, right)| right.clone()).unwrap_or_default();
    let mut shapes: Vec<_> = bodies
        .into_iter()
        .map(|(words, content)| {
            let mut shape = Shape::new(tag, words, content);
            shape.follow = followed.contains(&words);
            shape.brief = followed.contains(&words);
            shape
        })
        .collect();
    shapes.push(Shape::new(tag, "cut short", right[..right.len() - 1].to_vec()).brief());
    shapes.push(Shape::new(tag, "empty", Vec::new()));
    let trailing = [&right[..], &[0]].concat();
    // Behind a failure a payload may stand.
    let words = if tag == Tag::Error { "refused, with a payload" } else { "trailing bytes" };
    shapes.push(Shape::new(tag, words, trailing));
    shapes.push(Shape::new(tag, "longer than canonical", longer(&right)).brief());
    shapes
}

fn start_acks() -> Vec<(&'static str, Vec<u8>)> {
    let ack = |kind, credit| encoded(&body::StartAck { kind, credit });
    vec![
        ("a context", ack(Kind::Context, Limits::FLOOR)),
        ("a call", ack(Kind::Call, Limits::FLOOR)),
        ("a stream", ack(Kind::Stream, Limits::FLOOR)),
        ("an actor", ack(Kind::Actor, Limits::FLOOR)),
        ("a window below the floor", ack(Kind::Context, Limits::FLOOR - 1)),
        ("the largest window", ack(Kind::Context, u32::MAX)),
        ("an unknown kind", vec![4, 128, 8]),
    ]
}

fn errors() -> Vec<(&'static str, Vec<u8>)> {
    let report = || Box::new(Report::new((2, 1), Code::Error, who(2), "why".into()));
    let failed = encoded(&Failure::Failed(report()));
    vec![
        ("refused", encoded(&Failure::Refused(Refusal::Unknown, String::new()))),
        ("cancelled", encoded(&Failure::Cancelled(asked_by(2)))),
        ("failed", failed.clone()),
        ("failed, with a payload", [failed, vec![7; 100]].concat()),
        ("an unknown failure", vec![3]),
        ("an unknown refusal", vec![0, 200, 1, 0]),
        ("a refusal that is no text", vec![0, 0, 1, 0xff]),
    ]
}

fn cancels() -> Vec<(&'static str, Vec<u8>)> {
    let of = |cause, grace| {
        let by = Cancelled { canceller: who(2), cause };
        encoded(&CancelRequest { by, grace })
    };
    let asked = |seconds| of(Cause::Asked, Duration::from_secs(seconds));
    let report = Report::new((2, 1), Code::Error, who(2), "why".into());
    vec![
        ("4 s", asked(4)),
        ("2 s", asked(2)),
        ("8 s", asked(8)),
        ("no time", asked(0)),
        ("for ever", asked(u64::MAX)),
        ("its opener failed", of(Cause::OpenerFailed(Box::new(report)), Duration::from_secs(4))),
        ("an unknown cause", vec![0, 2, 2, 9, 4, 0]),
        ("nanoseconds beyond a second", vec![0, 2, 2, 0, 4, 128, 148, 235, 220, 3]),
    ]
}

fn credits() -> Vec<(&'static str, Vec<u8>)> {
    let of = |bytes, done| encoded(&body::Credit { bytes, done });
    vec![
        ("1 byte", of(1, Done::No)),
        ("0 bytes", of(0, Done::No)),
        ("1024 bytes", of(1024, Done::No)),
        ("1025 bytes", of(1025, Done::No)),
        ("the most", of(u32::MAX, Done::No)),
        ("0 bytes, done", of(0, Done::Gone)),
        ("1 byte, done", of(1, Done::Gone)),
        ("0 bytes, overrun", of(0, Done::Overrun)),
        ("1 byte, overrun", of(1, Done::Overrun)),
        ("neither done nor not", vec![1, 3]),
        ("beyond 32 bits", vec![255, 255, 255, 255, 127, 0]),
    ]
}

fn of_links(role: Role) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for tag in [Tag::Ping, Tag::Pong] {
        shapes.push(Shape::new(tag, "right", Vec::new()).followed().brief());
        shapes.push(Shape::new(tag, "trailing bytes", vec![0]));
    }
    shapes.extend(greetings(role));
    for (words, reason) in [
        ("leaving", GoodbyeReason::Leaving),
        ("link only", GoodbyeReason::LinkOnly),
        ("not allowed", GoodbyeReason::NotAllowed),
        ("with an error", GoodbyeReason::Protocol("P-A1".into())),
    ] {
        let mut shape = Shape::new(Tag::Goodbye, words, encoded(&reason)).brief();
        shape.follow = words == "link only";
        shapes.push(shape);
    }
    for (words, content) in [
        ("cut short", vec![]),
        ("trailing bytes", vec![1, 0]),
        ("an unknown reason", vec![4]),
        ("longer than canonical", vec![0x81, 0]),
        ("an error that is no text", vec![3, 1, 0xff]),
    ] {
        shapes.push(Shape::new(Tag::Goodbye, words, content));
    }
    for (kind, content) in [(0, 0), (15, 0), (0x7f, 1), (0x80, 0), (0xff, 16)] {
        let mut words = String::new();
        let _ = write!(words, "kind {kind:#x}, {content} bytes");
        let mut shape = Shape::new(Tag::Hello, &words, vec![7; content]).brief();
        (shape.tag, shape.kind, shape.follow) = (None, kind, kind == 0x80);
        shapes.push(shape);
    }
    shapes
}

/// Greetings of a peer that has this role.
fn greetings(role: Role) -> Vec<Shape> {
    let announced = Announced { max_frame: 2048, max_message: 1100, max_dialogs: 2 };
    let right =
        Hello { versions: VERSIONS, id: who(2), role, announced, tree: None, descriptors: 0 };
    let shape = |words: &str, hello: &Hello| {
        let mut content = Vec::new();
        hello.put(&mut content);
        Shape::new(Tag::Hello, words, content)
    };
    let small = Announced { max_frame: Limits::FLOOR - 1, ..announced };
    let mut shapes = vec![
        shape("right", &right).followed().brief(),
        shape("of the same role", &Hello { role: role.other(), ..right.clone() }),
        shape("frames below the floor", &Hello { announced: small, ..right.clone() }),
        shape("later versions", &Hello { versions: (2, 9), ..right.clone() }),
        Shape::new(Tag::Hello, "empty", Vec::new()),
        Shape::new(Tag::Hello, "another protocol's magic", b"HTTP\x01\0\x01\0".to_vec()),
        Shape::new(Tag::Hello, "without fields", b"HTCH\x01\0\x01\0".to_vec()),
    ];
    let right = shapes[0].content.clone();
    shapes.push(Shape::new(Tag::Hello, "cut short", right[..right.len() - 1].to_vec()));
    let unknown = [&right[..], &[99, 1, 0, 7]].concat();
    shapes.push(Shape::new(Tag::Hello, "with an unknown field", unknown));
    shapes.push(Shape::new(Tag::Hello, "over 512 bytes", vec![0; 520]));
    shapes
}

fn no_frames() -> Vec<Message> {
    let frame = |content: &[u8]| {
        let size = u32::try_from(content.len()).expect("small").to_le_bytes();
        [&size[..], content].concat()
    };
    let number = [&[Tag::Yield as u8][..], &[0xff; 9], &[2, 0]].concat();
    vec![
        Message::Raw("length 0", vec![0; 4]),
        Message::Raw("a length beyond the largest frame", 2049_u32.to_le_bytes().to_vec()),
        Message::Raw("the largest length", u32::MAX.to_le_bytes().to_vec()),
        Message::Raw("a length of 64 bits", u64::MAX.to_le_bytes().to_vec()),
        Message::Raw("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        Message::Raw("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        Message::Raw("a frame without a number", frame(&[Tag::Yield as u8])),
        Message::Raw("a number that is cut short", frame(&[Tag::Yield as u8, 0x81])),
        Message::Raw("a number longer than canonical", frame(&[Tag::Yield as u8, 0x81, 0, 0])),
        Message::Raw("a number beyond 64 bits", frame(&number)),
    ]
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data")
}

/// The same with its first varint, which has one byte, in two.
fn longer(body: &[u8]) -> Vec<u8> {
    let (first, rest) = body.split_first().expect("a body with something in it");
    [&[first | 0x80, 0][..], rest].concat()
}

//! The same conversation over every carrier comes to the same.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_executor::{Executor, Task};
use event_listener::{Event as Signal, listener};
use futures_lite::{FutureExt, future};
use hatchery_proto::dialog::Kind;
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Config, Connection, DialogId, Event, GoodbyeReason,
    Limits, LinkKind, LostCause, Outcome, Recv, Role, SendError, StartWish, Terminal,
};

use super::memory::{Trying, pair};
use crate::driver::link::{Handler, Link, Loops, Runs, lock};
use crate::driver::readiness;
use crate::driver::transport::carrier::Carrier;
#[cfg(feature = "tls")]
use crate::driver::transport::duplex::Duplex;

/// Longer than any of these takes, on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

/// What an end announces that nothing else is said of.
const WINDOW: u32 = 8 * 1024;

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    eof: Mutex<bool>,
    news: Signal,
}

struct Ear(Arc<Heard>);

impl Handler for Ear {
    fn handle(&self, _link: &Arc<Link>, event: Event) {
        lock(&self.0.events).push(event);
        self.0.news.notify(usize::MAX);
    }

    fn handle_eof(&self, _link: &Arc<Link>) {
        *lock(&self.0.eof) = true;
        self.0.news.notify(usize::MAX);
    }
}

impl Runs for Executor<'static> {
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        self.spawn(task)
    }

    fn run_direct(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        self.spawn(task)
    }
}

struct End {
    link: Arc<Link>,
    loops: Loops,
    heard: Arc<Heard>,
}

fn me(number: u32) -> ActorId {
    ActorId { name: format!("actor {number}"), uuid: number.into(), pid: number }
}

impl End {
    fn open(carrier: Carrier, number: u32, window: u32, executor: &Executor<'static>) -> Self {
        let role = if number == 1 { Role::Even } else { Role::Odd };
        let limits = Limits { window, ..Limits::default() };
        let config = Config { kind: LinkKind::Peer, role, me: me(number), limits };
        let connection = Connection::new(config, crate::driver::clock::now());
        let heard = Arc::new(Heard::default());
        let (link, loops) =
            Link::open(connection, carrier, executor, Box::new(Ear(heard.clone()))).unwrap();
        Self { link, loops, heard }
    }

    /// Waits until `look` finds something, which something that happens to the link may have brought.
    async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            listener!(self.heard.news => news);
            if let Some(found) = look() {
                return found;
            }
            news.await;
        }
    }

    async fn saw(&self, event: impl Fn(&Event) -> bool) -> Event {
        self.until(|| lock(&self.heard.events).iter().find(|known| event(known)).cloned()).await
    }

    /// All that does not depend on how many bytes came at a time.
    fn story(&self) -> Vec<Event> {
        let events = lock(&self.heard.events).clone();
        let told = |event: &Event| !matches!(event, Event::Readable(_) | Event::Writable(_));
        events.into_iter().filter(told).collect()
    }

    async fn send(&self, id: DialogId, caller: bool, number: u32) {
        let bytes = value(number);
        self.until(|| {
            let sent = self.link.with(|core, _| match caller {
                true => core.caller(id).unwrap().send(&bytes),
                false => core.callee(id).unwrap().send(&bytes),
            });
            match sent {
                Ok(()) => Some(()),
                Err(SendError::Full) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
    }

    /// The next value; nothing at the end.
    async fn recv(&self, id: DialogId, caller: bool) -> Option<Vec<u8>> {
        self.until(|| {
            let mut out = Vec::new();
            let got = self.link.with(|core, _| match caller {
                true => core.caller(id).unwrap().recv(&mut out),
                false => core.callee(id).unwrap().recv(&mut out),
            });
            match got {
                Recv::Value => Some(Some(out)),
                Recv::End => Some(None),
                Recv::Empty => None,
                other => panic!("{other:?}"),
            }
        })
        .await
    }

    /// Sends so many values and the end of them, and receives as many.
    async fn talk(&self, id: DialogId, caller: bool, values: u32) {
        let sending = async {
            for number in 0..values {
                self.send(id, caller, number).await;
            }
            let stopped = self.link.with(|core, _| match caller {
                true => core.caller(id).unwrap().stop(),
                false => core.callee(id).unwrap().stop(),
            });
            stopped.unwrap();
        };
        let receiving = async {
            for number in 0..values {
                assert_eq!(self.recv(id, caller).await, Some(value(number)), "value {number}");
            }
            assert_eq!(self.recv(id, caller).await, None);
        };
        future::zip(sending, receiving).await;
    }

    fn outcome(&self, id: DialogId) -> Option<Outcome> {
        self.link.with(|core, _| core.caller(id).and_then(|caller| caller.outcome().cloned()))
    }
}

/// Sizes that are read to their place, those behind them that are not, and one of several frames.
const LARGE: [usize; 7] = [20_000, 65_536, 17_408, 1_014, 70_000, 4, 33_333];

/// Every now and then one that is worth several writes, and once some behind each other.
fn value(number: u32) -> Vec<u8> {
    let size = match number as usize % 1000 {
        999 => 20_000,
        row @ 500..530 => LARGE[row % LARGE.len()],
        _ => 4 + number as usize % 13,
    };
    let mut value = vec![number as u8; size];
    value[..4].copy_from_slice(&number.to_le_bytes());
    value
}

fn asked() -> Cancelled {
    Cancelled { canceller: me(1), cause: Cause::Asked }
}

/// Opens a context at the first end and has it started at the second.
async fn context(a: &End, b: &End) -> DialogId {
    let wish = StartWish {
        endpoint: "tests::endpoint",
        kind: Kind::Context,
        schema: 7,
        codec: 0,
        deadline: None,
        trace: None,
    };
    let id = a.link.with(|core, now| core.start(now, wish, b"args")).unwrap();
    b.saw(|event| *event == Event::Incoming(id)).await;
    b.link.with(|core, _| {
        let mut callee = core.callee(id).unwrap();
        assert_eq!(callee.take_start().unwrap().args, b"args");
        callee.accept();
        callee.started(b"first").unwrap();
    });
    a.saw(|event| *event == Event::Started(id)).await;
    id
}

/// Runs a conversation; longer than [`LONG`] it hangs.
fn converse<F: Future>(carriers: [Carrier; 2], talk: impl FnOnce(End, End) -> F) -> F::Output {
    converse_within([WINDOW; 2], carriers, talk)
}

/// The same of ends that announce these windows.
fn converse_within<F: Future>(
    windows: [u32; 2],
    carriers: [Carrier; 2],
    talk: impl FnOnce(End, End) -> F,
) -> F::Output {
    let executor = Executor::new();
    let ([one, other], [first, second]) = (carriers, windows);
    readiness::block_on(executor.run(async {
        let ends = (End::open(one, 1, first, &executor), End::open(other, 2, second, &executor));
        let late = async {
            readiness::until(crate::driver::clock::now() + LONG).await;
            panic!("the conversation hangs")
        };
        talk(ends.0, ends.1).or(late).await
    }))
}

/// Greets, streams both ways, cancels, leaves. What either end was told.
fn whole(carriers: [Carrier; 2], values: u32) -> [Vec<Event>; 2] {
    converse(carriers, async |mut a, mut b| {
        future::zip(a.saw(|event| *event == Event::Up), b.saw(|event| *event == Event::Up)).await;
        let id = context(&a, &b).await;
        future::zip(a.talk(id, true, values), b.talk(id, false, values)).await;
        b.link.with(|core, _| {
            core.callee(id).unwrap().finish(Terminal::Return(b"done".to_vec()));
        });
        a.saw(|event| *event == Event::Finished(id)).await;
        assert_eq!(a.outcome(id), Some(Outcome::Returned(b"done".to_vec())));
        let id = context(&a, &b).await;
        a.link.with(|core, now| {
            let request = CancelRequest { by: asked(), grace: Duration::from_secs(30) };
            core.caller(id).unwrap().cancel(now, request);
        });
        b.saw(|event| *event == Event::CancelAsked(id)).await;
        b.link.with(|core, _| core.callee(id).unwrap().finish(Terminal::Cancelled(asked())));
        a.saw(|event| *event == Event::Finished(id)).await;
        assert_eq!(a.outcome(id), Some(Outcome::Cancelled(asked())));
        a.link.with(|core, now| core.goodbye(now, GoodbyeReason::Leaving));
        future::zip(a.link.closed(), b.link.closed()).await;
        future::zip(a.loops.ended(), b.loops.ended()).await;
        [a.story(), b.story()]
    })
}

/// One end is cut while both send: the other one hears of it, and every dialog ends once.
fn cut(carriers: [Carrier; 2]) {
    converse(carriers, async |a, mut b| {
        let id = context(&a, &b).await;
        for number in 0..50 {
            a.send(id, true, number).await;
        }
        assert_eq!(b.recv(id, false).await, Some(value(0)));
        let End { link, loops, .. } = a;
        loops.stop().await;
        let lost = link.with(|core, _| core.caller(id).unwrap().outcome().cloned());
        assert_eq!(lost, Some(Outcome::Lost(LostCause::LinkEnded)));
        b.saw(|event| *event == Event::Closed).await;
        b.loops.ended().await;
        assert!(*lock(&b.heard.eof));
        let count = |of: &Event| b.story().iter().filter(|event| *event == of).count();
        assert_eq!((count(&Event::Finished(id)), count(&Event::Closed)), (1, 1));
    });
}

fn unix() -> [Carrier; 2] {
    let (one, other) = UnixStream::pair().unwrap();
    [one.into(), other.into()]
}

fn tcp() -> [Carrier; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    [one.into(), listener.accept().unwrap().0.into()]
}

fn pipes() -> [Carrier; 2] {
    let (one_reads, other_writes) = std::io::pipe().unwrap();
    let (other_reads, one_writes) = std::io::pipe().unwrap();
    [
        Carrier::Pipes { read: one_reads.into(), write: one_writes.into() },
        Carrier::Pipes { read: other_reads.into(), write: other_writes.into() },
    ]
}

/// One socket as both of a launcher's streams.
fn sockets_as_pipes() -> [Carrier; 2] {
    let (one, other) = UnixStream::pair().unwrap();
    [one, other].map(|socket| Carrier::Pipes {
        read: socket.try_clone().unwrap().into(),
        write: socket.into(),
    })
}

fn streams() -> [Carrier; 2] {
    pair(64 * 1024).map(Carrier::stream)
}

fn as_streams(carriers: [Carrier; 2]) -> [Carrier; 2] {
    carriers.map(|carrier| Carrier::Stream(carrier.into_stream().unwrap()))
}

type Named = (&'static str, fn() -> [Carrier; 2]);

pub(super) const CARRIERS: [Named; 9] = [
    ("unix", unix),
    ("tcp", tcp),
    ("pipes", pipes),
    ("sockets as pipes", sockets_as_pipes),
    ("streams", streams),
    ("unix as a stream", || as_streams(unix())),
    ("tcp as a stream", || as_streams(tcp())),
    ("pipes as a stream", || as_streams(pipes())),
    ("sockets as pipes as a stream", || as_streams(sockets_as_pipes())),
];

/// A sender whose own window is far smaller waits for its line alone, since a peer whose window is not
/// nearly used up gives no credit back: what the line has taken is to wake it (P-F5).
#[test]
fn who_waits_for_its_own_line_is_woken_by_it_and_needs_no_word_of_the_peer() {
    const VALUES: u32 = 100;
    let carriers = pair(1024).map(Carrier::stream);
    converse_within([WINDOW, 64 * WINDOW], carriers, async |a: End, b: End| {
        let id = context(&a, &b).await;
        for _ in 0..VALUES {
            let bytes = [7; 1024];
            a.until(|| match a.link.with(|core, _| core.caller(id).unwrap().send(&bytes)) {
                Ok(()) => Some(()),
                Err(SendError::Full) => None,
                Err(error) => panic!("{error}"),
            })
            .await;
        }
        for _ in 0..VALUES {
            assert_eq!(b.recv(id, false).await, Some(vec![7; 1024]));
        }
        future::zip(a.loops.stop(), b.loops.stop()).await;
    });
}

#[test]
fn a_conversation_comes_to_the_same_over_every_carrier() {
    let expected = whole(unix(), 10_000);
    for (name, carriers) in CARRIERS {
        eprintln!("{name}");
        assert_eq!(whole(carriers(), 10_000), expected, "{name}");
    }
}

#[test]
fn a_link_that_is_cut_ends_over_every_carrier() {
    for (name, carriers) in CARRIERS {
        eprintln!("{name}");
        cut(carriers());
    }
}

#[test]
fn ipc_06_a_stream_in_pieces_that_waits_whenever_it_likes_is_no_other_link() {
    let expected = whole(unix(), 300);
    for seed in 0..60 {
        let most = [1, 3, 1000][seed as usize % 3];
        let room = [1, 50, 10_000][seed as usize / 3 % 3];
        let [one, other] = pair(room);
        let carriers = [
            Carrier::stream(Trying::new(one, most, seed)),
            Carrier::stream(Trying::new(other, most, seed + 1000)),
        ];
        assert_eq!(whole(carriers, 300), expected, "seed {seed}");
    }
}

/// With TLS on each of them.
#[cfg(feature = "tls")]
fn secured(streams: [Box<dyn Duplex>; 2]) -> [Carrier; 2] {
    let authority = crate::driver::transport::tls::Authority::new().unwrap();
    let [one, other] = [1, 2].map(|number| authority.issue(&me(number)).unwrap());
    let [near, far] = streams;
    let both = future::zip(one.dial(near, Some(2), "there"), other.accept(far, "here"));
    let (dialed, accepted) = readiness::block_on(both);
    [Carrier::stream(dialed.unwrap().0), Carrier::stream(accepted.unwrap().0)]
}

#[cfg(feature = "tls")]
#[test]
fn a_conversation_comes_to_the_same_with_tls_on_it() {
    let expected = whole(unix(), 2000);
    for carriers in [unix, tcp, pipes] {
        let streams = || carriers().map(|carrier| carrier.into_stream().unwrap());
        assert_eq!(whole(secured(streams()), 2000), expected);
        cut(secured(streams()));
    }
    for seed in 0..20 {
        let streams = |room| -> [Box<dyn Duplex>; 2] {
            let [one, other] = pair(room);
            [
                Box::new(Trying::unbuffered(one, 1000, seed)),
                Box::new(Trying::unbuffered(other, 1000, seed + 1000)),
            ]
        };
        assert_eq!(whole(secured(streams(100)), 2000), expected, "seed {seed}");
        cut(secured(streams(5000)));
    }
}

#[test]
fn a_trying_stream_that_is_cut_ends() {
    for seed in 0..60 {
        let [one, other] = pair([1, 50, 10_000][seed as usize % 3]);
        cut([
            Carrier::stream(Trying::new(one, 3, seed)),
            Carrier::stream(Trying::new(other, 3, seed + 1000)),
        ]);
    }
}

#[test]
fn garbage_ends_a_link_and_nothing_else() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01", &[0; 64]] {
        let (one, mut other) = UnixStream::pair().unwrap();
        other.write_all(garbage).unwrap();
        let executor = Executor::new();
        readiness::block_on(executor.run(async {
            let mut end = End::open(one.into(), 1, WINDOW, &executor);
            end.saw(|event| matches!(event, Event::Broken(_))).await;
            end.saw(|event| *event == Event::Closed).await;
            end.loops.ended().await;
        }));
    }
}

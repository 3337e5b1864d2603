//! The specification is enough to write a peer in another language: `tests/ports/peer.py`, as the
//! child of an actor and as the client of one, in every conversation, asked and asking.

use std::fmt;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use async_io::Timer;
use event_listener::Event;
use futures_lite::FutureExt as _;
use futures_lite::future::{self, poll_once};
use hatchery::{
    CallError, CancelStatus, Cause, Context, Error, ErrorKind, Limits, LostCause, Never, Nursery,
    Options, Portal, Receives, Refusal, Result, Sends, Starts, open_nursery,
};
use hatchery_tests::build::workspace;
use hatchery_tests::procfs::{self, Process};
use serde::{Deserialize, Serialize};

#[path = "python_peer/server.rs"]
mod server;

use server::Server;

/// Far beyond what any conversation takes, an interpreter's start included.
const LONG: Duration = Duration::from_secs(40);
const WINDOW: usize = 256 * 1024;

/// The program, or a message that says what is missing.
fn talk() -> PathBuf {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let new_enough = "import sys; assert sys.version_info >= (3, 9)";
        let asked = Command::new("python3").args(["-c", new_enough]).status();
        asked.is_ok_and(|status| status.success())
    });
    assert!(found, "these tests need `python3`, 3.9 or later, in PATH: install it");
    workspace().join("tests/ports/talk.py")
}

// What the actor serves, and what the one in Python does under the names that begin with `python`.

static GO: AtomicBool = AtomicBool::new(false);
static GOES: Event = Event::new();
static SENT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Serialize, Deserialize)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed with {}", self.0)
    }
}

impl std::error::Error for Broken {}

#[hatchery::context(name = "rust::add_each")]
async fn add_each(cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>, first: u64) -> Result<u64> {
    let mut stream = cx.started(first + 1).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value + 1).await?;
        count += 1;
    }
    Ok(count)
}

#[hatchery::context(name = "rust::waits")]
async fn waits(cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let _started = cx.started(0).await?;
    future::pending().await
}

#[hatchery::endpoint(name = "rust::fails")]
async fn fails(word: String) -> Result<(), Broken> {
    Err(Broken(word))
}

#[hatchery::endpoint(name = "rust::reverse")]
async fn reverse(data: Vec<u8>) -> Vec<u8> {
    data.into_iter().rev().collect()
}

#[hatchery::context(name = "rust::stalls")]
async fn stalls(cx: Context<Starts<u64>, Sends<Never>, Receives<Vec<u8>>>) -> Result<u64> {
    let mut stream = cx.started(0).await?.open_stream();
    loop {
        let goes = GOES.listen();
        if GO.load(Ordering::Acquire) {
            break;
        }
        goes.await;
    }
    let mut size = 0;
    while let Some(value) = stream.recv().await? {
        size += value.len() as u64;
    }
    Ok(size)
}

#[hatchery::context(name = "rust::floods")]
async fn floods(cx: Context<Starts<u64>, Sends<Vec<u8>>>, count: u64, size: u64) -> Result<u64> {
    SENT.store(0, Ordering::Release);
    let stream = cx.started(0).await?.open_stream();
    for number in 0..count {
        stream.send(vec![(number % 251) as u8; size as usize]).await?;
        SENT.fetch_add(1, Ordering::AcqRel);
    }
    Ok(count)
}

#[hatchery::endpoint(name = "rust::sent")]
async fn sent() -> u64 {
    SENT.load(Ordering::Acquire)
}

#[hatchery::endpoint(name = "rust::go")]
async fn go() {
    GO.store(true, Ordering::Release);
    GOES.notify(usize::MAX);
}

/// The child, for the one endpoint that calls back.
static CHILD: Mutex<Option<Portal>> = Mutex::new(None);

#[hatchery::endpoint(name = "rust::asks_back")]
async fn asks_back() -> Result<u64> {
    let child = CHILD.lock().unwrap().clone().expect("a child");
    child.run(python::left()).await
}

/// The same in Python; what runs here is never reached.
mod python {
    use super::*;

    fn elsewhere<T>() -> Result<T> {
        Err(Error::message("this one is served by the peer in Python"))
    }

    #[hatchery::context(name = "python::add_each")]
    pub(crate) async fn add_each(
        _cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>,
        _first: u64,
    ) -> Result<u64> {
        elsewhere()
    }

    #[hatchery::context(name = "python::waits")]
    pub(crate) async fn waits(_cx: Context<Starts<u64>>) -> Result<u64> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::fails")]
    pub(crate) async fn fails(word: String) -> Result<(), Broken> {
        Err(Broken(word))
    }

    #[hatchery::endpoint(name = "python::reverse")]
    pub(crate) async fn reverse(_data: Vec<u8>) -> Result<Vec<u8>> {
        elsewhere()
    }

    #[hatchery::context(name = "python::stalls")]
    pub(crate) async fn stalls(
        _cx: Context<Starts<u64>, Sends<Never>, Receives<Vec<u8>>>,
    ) -> Result<u64> {
        elsewhere()
    }

    #[hatchery::context(name = "python::floods")]
    pub(crate) async fn floods(
        _cx: Context<Starts<u64>, Sends<Vec<u8>>>,
        _count: u64,
        _size: u64,
    ) -> Result<u64> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::sent")]
    pub(crate) async fn sent() -> Result<u64> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::go")]
    pub(crate) async fn go() -> Result<()> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::no_such")]
    pub(crate) async fn no_such() -> Result<()> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::why")]
    pub(crate) async fn why() -> Result<String> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::misbehaves")]
    pub(crate) async fn misbehaves() -> Result<()> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::left")]
    pub(crate) async fn left() -> Result<u64> {
        elsewhere()
    }

    #[hatchery::endpoint(name = "python::play")]
    pub(crate) async fn play(_scenario: String) -> Result<()> {
        elsewhere()
    }
}

/// An interpreter on a busy machine may take its time to say `Hello`.
fn roomy() -> Options {
    Options::new().limits(Limits { handshake_timeout: LONG, ..Limits::default() })
}

/// What a child may call in this actor.
fn exposing() -> Options {
    roomy()
        .expose::<add_each>()
        .expose::<waits>()
        .expose::<fails>()
        .expose::<reverse>()
        .expose::<stalls>()
        .expose::<floods>()
        .expose::<sent>()
        .expose::<go>()
        .expose::<asks_back>()
}

/// Runs `body` with a child in Python, within [`LONG`], and ends the child in peace.
async fn with_child(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    let conversation = open_nursery(async |nursery: Nursery| {
        let child = nursery.actor("python").program(talk()).start().await?;
        body(&child).await?;
        child.cancel().await
    });
    let late = async {
        Timer::after(LONG).await;
        Err(Error::message("the conversation takes too long"))
    };
    conversation.or(late).await
}

/// The child plays a scenario: it asks, and this actor serves.
async fn plays(scenario: &str) -> Result<()> {
    GO.store(false, Ordering::Release);
    let played = with_child(async |child| {
        *CHILD.lock().unwrap() = Some(child.clone());
        child.run(python::play(scenario.to_owned())).await
    });
    let played = played.await;
    *CHILD.lock().unwrap() = None;
    played
}

// As a child: it serves.

#[hatchery::test(options = roomy())]
async fn a_child_in_python_serves_a_stream_both_ways() -> Result<()> {
    with_child(async |child| {
        let (mut context, first) = child.open_context(python::add_each(5)).await?;
        assert_eq!(first, 6);
        let mut stream = context.open_stream()?;
        for value in 0..100 {
            stream.send(value).await?;
            assert_eq!(stream.recv().await?, Some(value + 1));
        }
        stream.close().await?;
        assert_eq!(stream.recv().await?, None);
        assert_eq!(context.result().await?, 100);
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn a_child_in_python_is_cancelled_in_one_context() -> Result<()> {
    with_child(async |child| {
        let (context, _) = child.open_context(python::waits()).await?;
        assert_eq!(context.cancel().await, CancelStatus::Done);
        let error = context.result().await.unwrap_err();
        let ErrorKind::Cancelled(by) = error.kind() else { panic!("{error:?}") };
        assert_eq!(by.cause, Cause::Asked);
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn a_child_in_python_fails_with_a_typed_error() -> Result<()> {
    with_child(async |child| {
        let error = child.run(python::fails("salt".to_owned())).await.unwrap_err();
        let CallError::Endpoint { error, report } = error else { panic!("{error}") };
        assert_eq!((error.0.as_str(), report.message.as_str()), ("salt", "failed with salt"));
        assert_eq!(report.origin.name, "python");
        let refused = child.run(python::no_such()).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Refused(Refusal::Unknown)), "{refused}");
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn a_child_in_python_takes_and_sends_messages_of_many_frames() -> Result<()> {
    with_child(async |child| {
        let data: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let mut back = child.run(python::reverse(data.clone())).await?;
        back.reverse();
        assert!(back == data);
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn a_child_in_python_that_reads_nothing_holds_its_sender_up() -> Result<()> {
    with_child(async |child| {
        let (mut context, _) = child.open_context(python::stalls()).await?;
        let stream = context.open_stream()?;
        let mut count = 0;
        while poll_once(stream.send(vec![0; 1000])).await.transpose()?.is_some() {
            count += 1;
        }
        assert_eq!(count, WINDOW.div_ceil(1002 + 16));
        // P-W3: the link goes on.
        child.run(python::go()).await?;
        stream.send(vec![0; 1000]).await?;
        stream.close().await?;
        drop(stream);
        assert_eq!(context.result().await?, (count as u64 + 1) * 1000);
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn a_child_in_python_sends_no_more_than_its_credit() -> Result<()> {
    with_child(async |child| {
        let (mut context, _) = child.open_context(python::floods(400, 4000)).await?;
        let mut stream = context.open_stream()?;
        let most = (WINDOW - 17).div_ceil(4002 + 16) as u64;
        let mut told = 0;
        while told < most {
            told = child.run(python::sent()).await?;
            assert!(told <= most, "{told} of {most}");
        }
        for number in 0..400_u32 {
            assert_eq!(stream.recv().await?, Some(vec![(number % 251) as u8; 4000]));
        }
        assert_eq!(stream.recv().await?, None);
        assert_eq!(context.result().await?, 400);
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn p_l1_a_child_of_another_version_is_refused_with_both_ranges() -> Result<()> {
    let started = open_nursery(async |nursery: Nursery| {
        let child = nursery.actor("python").program(talk()).arg("--versions").arg("2").arg("9");
        child.start().await.map(drop)
    });
    let error = started.await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("we speak 1 to 1, the peer 2 to 9"), "what this end says: {text}");
    Ok(())
}

#[hatchery::test(options = roomy())]
async fn p_c5_the_far_task_is_told_what_the_opener_failed_with() -> Result<()> {
    with_child(async |child| {
        let body = async |_context, _first| Err(Error::message("the opener's own"));
        let failed: Result<()> = child.with_context(python::waits(), body).await;
        assert_eq!(failed.unwrap_err().report().message, "the opener's own");
        assert_eq!(child.run(python::why()).await?, "the opener's own");
        Ok(())
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn p_a7_a_child_that_breaks_the_protocol_is_torn_down_and_nobody_else() -> Result<()> {
    with_child(async |good| {
        let (context, _) = good.open_context(python::waits()).await?;
        let broken: Result<()> = open_nursery(async |nursery: Nursery| {
            let bad = nursery.actor("bad").program(talk()).start().await?;
            bad.run(python::misbehaves()).await
        })
        .await;
        let error = broken.unwrap_err();
        let ErrorKind::Lost(LostCause::Protocol(why)) = error.kind() else { panic!("{error:?}") };
        assert!(why.contains("P-F2"), "{why}");
        assert_eq!(good.run(python::sent()).await?, 0);
        assert_eq!(context.cancel().await, CancelStatus::Done);
        Ok(())
    })
    .await
}

/// Starts a child in Python of its own, says its pid, and waits.
#[hatchery::context]
async fn holds_a_child(cx: Context<Starts<u32>>) -> Result<()> {
    open_nursery(async move |nursery: Nursery| {
        let child = nursery.actor("below").program(talk()).start().await?;
        let _started = cx.started(child.id().pid).await?;
        future::pending().await
    })
    .await
}

#[hatchery::test(options = roomy())]
async fn p_t4_a_child_in_python_ends_when_its_parent_is_killed() -> Result<()> {
    let mut gone = false;
    let ended = open_nursery(async |nursery: Nursery| {
        let parent = nursery.start_actor("parent").await?;
        let (_context, pid) = parent.open_context(holds_a_child()).await?;
        let below = Process::of(pid as i32).expect("the child of the child");
        let handle = below.pidfd().expect("it lives");
        assert!(Process::of(parent.id().pid as i32).expect("the child").kill());
        // A second, and some more for a busy machine.
        gone = procfs::wait_for_readable([handle.as_fd()], Duration::from_secs(2));
        Ok::<_, Error>(())
    });
    // What became of the child itself is not the question here.
    let ended = ended.await;
    assert!(gone, "it lives on, or never did: {ended:?}");
    Ok(())
}

// As a child: it asks, and this actor serves.

#[hatchery::test(options = exposing())]
async fn a_child_in_python_opens_a_stream_both_ways() -> Result<()> {
    plays("stream").await
}

#[hatchery::test(options = exposing())]
async fn a_child_in_python_cancels_what_it_opened() -> Result<()> {
    plays("cancel").await
}

#[hatchery::test(options = exposing())]
async fn p_c8_a_deadline_in_a_start_ends_the_task() -> Result<()> {
    plays("deadline").await
}

#[hatchery::test(options = exposing())]
async fn p_c8_what_a_task_opens_has_what_is_left_of_its_own_deadline() -> Result<()> {
    plays("nested_deadline").await
}

#[hatchery::test(options = exposing())]
async fn a_child_in_python_gets_errors_typed_and_refusals() -> Result<()> {
    plays("error").await
}

#[hatchery::test(options = exposing())]
async fn a_child_in_python_sends_and_takes_messages_of_many_frames() -> Result<()> {
    plays("fragments").await
}

#[hatchery::test(options = exposing())]
async fn a_child_in_python_waits_for_credit() -> Result<()> {
    plays("credit").await
}

#[hatchery::test(options = exposing())]
async fn a_child_in_python_gets_no_more_than_it_credited() -> Result<()> {
    plays("flood").await
}

// As a client: it dials a peer that is nothing but the core and blocking `std`.

#[hatchery::test(options = roomy())]
async fn a_client_in_python_asks_in_every_way() -> Result<()> {
    for scenario in ["stream", "cancel", "error", "fragments", "credit", "flood"] {
        let mut server = Server::with_client(&talk(), &[scenario]);
        server.serve_to_the_end();
        assert_eq!(server.end(), "", "{scenario}");
    }
    Ok(())
}

#[hatchery::test(options = roomy())]
async fn a_client_in_python_serves_in_every_way() -> Result<()> {
    let mut server = Server::with_client(&talk(), &["serve"]);
    server.asks_in_every_way();
    server.leave();
    server.serve_to_the_end();
    assert_eq!(server.end(), "");
    Ok(())
}

#[hatchery::test(options = roomy())]
async fn p_l1_a_client_of_another_version_is_refused_with_both_ranges() -> Result<()> {
    let mut server = Server::with_client(&talk(), &["--versions", "2", "9", "serve"]);
    server.serve_to_the_end();
    let ours = server.violation();
    assert!(ours.contains("we speak 1 to 1, the peer 2 to 9"), "{ours}");
    let theirs = server.end();
    assert!(theirs.contains("we speak 2 to 9, the peer 1 to 1"), "{theirs}");
    Ok(())
}

#[hatchery::test]
async fn p_f1_the_frozen_frames_are_read_and_written_alike_in_python() -> Result<()> {
    for name in ["frames-v1.txt", "conversation-v1.txt", "specification-v1.txt"] {
        let file = workspace().join("tests/golden").join(name);
        let ended = Command::new(talk()).arg("golden").arg(&file).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let lines = std::fs::read_to_string(file).unwrap();
        let frames = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), frames.count().to_string());
    }
    Ok(())
}

#[hatchery::test]
async fn the_peer_is_small_and_needs_nothing_but_the_standard_library() -> Result<()> {
    let text = std::fs::read_to_string(talk().with_file_name("peer.py")).unwrap();
    assert!(text.lines().count() <= 400, "{} lines", text.lines().count());
    let imports: Vec<_> = text.lines().filter(|line| line.contains("import ")).collect();
    assert_eq!(imports, ["import asyncio, collections, io, os, signal, socket, struct, sys"]);
    Ok(())
}

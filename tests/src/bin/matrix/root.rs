//! The root of one cell: raises the actor, brings it to the phase, and looks at what came of it.
//!
//! Says on its output where it is: `begin`, `hit` where it is hit itself, `ended`, and the verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use async_io::Async;
use futures_lite::future;
use hatchery::{Error, Limits, Nursery, OpenContext, Options, Portal, Result, open_nursery};
use hatchery_tests::leaks::Baseline;
use hatchery_tests::procfs::{self, Process};
use hatchery_tests::programs::Signal;
use hatchery_tests::strike::{
    Action, Phase, argument, close_new_sockets, record, record_hit, strike_self,
};

use crate::actors::{converse, double, goes_on, hold_here, talk, work};
use crate::cells::{Cell, Shape, Side};
use crate::expect::{self, Came};
use crate::place::{News, release_own};

/// What the actor is called.
pub(crate) const NAME: &str = "victim";
/// Names the folder in which files that are left would be.
pub(crate) const FILES: &str = "MATRIX_FILES";
/// How long what is left of a tree may take to be seen gone (Z).
const SETTLE: Duration = Duration::from_secs(3);
/// The whole teardown, where force is part of what is to be seen: SIGTERM after 210 ms, SIGKILL
/// after 230 ms, or 62 ms sooner where the request is not answered.
const SHORT: Duration = Duration::from_millis(250);
/// Where it is not: what is healthy is not ended by force because a machine is busy.
const LONG: Duration = Duration::from_secs(4);

/// What this process had before its tree.
static BEFORE: OnceLock<Vec<(i32, String)>> = OnceLock::new();

/// Hits this process, as the parent of the cell.
pub(crate) fn strike_root(cell: Cell) {
    println!("hit");
    match cell.action {
        Action::Close => {
            record_hit(cell.hit(), procfs::own_pid());
            close_new_sockets(BEFORE.get().map_or(&[], Vec::as_slice));
        }
        _ => strike_self(cell.hit()),
    }
}

/// Runs the cell and says what came of it.
pub(crate) fn run(cell: Cell) -> ExitCode {
    // What it leaves stopped before its entry is ended by the kernel only where whoever adopts it is
    // of another session (F-10).
    rustix::process::setsid().expect("a session of its own");
    let news = News::open();
    // What the library keeps for the life of a process is not left behind by a tree.
    let warm = hatchery::open_root_actor(options(cell), |_root| {
        open_nursery(async |nursery| nursery.start_actor("warm").await?.cancel().await)
    });
    if let Err(error) = async_io::block_on(warm) {
        println!("red a tree that nobody hits has failed: {error:?}");
        return ExitCode::FAILURE;
    }
    // Opens what stays open.
    record("a root");
    let files = std::env::var_os(FILES).unwrap_or_else(|| ".".into());
    BEFORE.get_or_init(procfs::descriptors);
    let baseline = Baseline::process_wide().only_in(files);
    println!("begin");
    let life = hatchery::open_root_actor(options(cell), |_root| {
        let news = &news;
        open_nursery(async move |nursery| body(cell, news, nursery).await)
    });
    let came = match catch_unwind(AssertUnwindSafe(|| async_io::block_on(life))) {
        Ok(Ok(())) => Came::Fine,
        Ok(Err(error)) => Came::Failed(error),
        Err(payload) => Came::Panicked(
            payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "no text".to_owned()),
        ),
    };
    println!("ended");
    let mut wrong = expect::judge(cell, &came).err();
    let hits = news.hits();
    if hits != 1 {
        wrong = Some(format!("was hit {hits} times; {wrong:?}"));
    }
    if let Err(left) = baseline.check(SETTLE) {
        left.end();
        wrong = Some(format!("{left}; {}", wrong.unwrap_or_default()));
    }
    match wrong {
        None => println!("green {}", came.in_short()),
        Some(why) => println!("red {}", why.replace('\n', " | ")),
    }
    ExitCode::SUCCESS
}

fn options(cell: Cell) -> Options {
    let teardown = if cell.is_forced() { SHORT } else { LONG };
    // Ten times the default, for a machine on which an exit status takes its time.
    let limits = Limits { hold_back: Duration::from_millis(2500), ..Limits::default() };
    Options::new().name("root").teardown(teardown).limits(limits).signals(true)
}

async fn body(cell: Cell, news: &News, nursery: Nursery) -> Result<()> {
    let hear = |line: &str| match cell.side {
        Side::Parent if line == "stands" && !cell.is_hit_in_turn() => strike_root(cell),
        // It is no failure until somebody wants it to end.
        Side::Child if line.starts_with("hit") && hangs(cell.action) => nursery.cancel(),
        _ => {}
    };
    future::or(news.listen(hear), play(cell, news, &nursery)).await
}

fn hangs(action: Action) -> bool {
    matches!(action, Action::Stop | Action::Spin)
}

impl Cell {
    /// Whether the parent hits itself at an await of its own, not when it hears of the child.
    fn is_hit_in_turn(self) -> bool {
        matches!(self.phase, Phase::StartSent | Phase::CancelSent)
    }

    /// Whether the end of a child has to be forced.
    pub(crate) fn is_forced(self) -> bool {
        use Phase::*;
        match self.side {
            Side::Child => hangs(self.action),
            // The child does not look at its link there.
            Side::Parent => {
                matches!(self.phase, Spawned | Connected | StartSent | CancelSent | ShuttingDown)
            }
        }
    }
}

/// Brings both sides to the phase, and goes on as if nothing were to happen there.
async fn play(cell: Cell, news: &News, nursery: &Nursery) -> Result<()> {
    let mut builder = nursery.actor(NAME);
    if cell.phase <= Phase::Up || cell.phase == Phase::ShuttingDown {
        builder = builder.arg(argument(cell.hit()));
    }
    if cell.phase == Phase::Connected {
        // With a filter of its own, being told what to be is an event.
        builder = builder.log("off");
    }
    let portal = match cell.shape {
        Shape::Call if cell.phase <= Phase::Connected => builder.run(work()).await?,
        _ => builder.start().await?,
    };
    let used = match cell.phase {
        Phase::Spawned | Phase::Connected => Ok(()),
        Phase::Up => {
            hit_idle(cell, news, &portal).await;
            ask(cell, &portal).await
        }
        Phase::StartSent => {
            held(cell, news, &portal, async {
                let mut asked = pin!(ask(cell, &portal));
                assert!(future::poll_once(asked.as_mut()).await.is_none(), "it has been asked");
                strike_in_turn(cell);
                asked.await
            })
            .await
        }
        Phase::CancelSent | Phase::Acked => cancelled(cell, news, &portal).await,
        Phase::ShuttingDown => shut_down(cell, news, &portal).await,
        _ => ask(cell, &portal).await,
    };
    if cell.side == Side::Parent {
        // What was done to this process decides how this ends.
        return future::pending().await;
    }
    used?;
    if cell.phase == Phase::Acked && !goes_on(cell.action) {
        return future::pending().await;
    }
    portal.cancel().await
}

/// Hits a child that nothing is asked of, from outside where it cannot do it itself.
async fn hit_idle(cell: Cell, news: &News, portal: &Portal) {
    if cell.side == Side::Parent {
        return strike_root(cell);
    }
    let child = Process::of(portal.id().pid.cast_signed()).expect("a child that is not reaped");
    let signal = match cell.action {
        Action::Kill => Signal::KILL,
        Action::Stop => Signal::STOP,
        Action::Abort => Signal::ABORT,
        Action::Term => Signal::TERM,
        Action::Int => Signal::INT,
        _ => {
            // By a thread of its own, beside which it would go on for a moment.
            let exit = child.pidfd().expect("a child that is not reaped");
            release_own();
            news.until("hit").await;
            Async::new(exit).expect("a descriptor").readable().await.expect("its end");
            return;
        }
    };
    assert!(child.signal(signal), "a child that can be signalled");
    record_hit(cell.hit(), child.pid);
}

/// Asks the actor for what the shape says, and waits for the end of it.
async fn ask(cell: Cell, portal: &Portal) -> Result<()> {
    let (up, down) = cell.ways();
    match cell.shape {
        Shape::Daemon => Ok(()),
        Shape::Call => portal.run(work()).await.map(drop).map_err(Error::from),
        Shape::OneWay | Shape::TwoWay => {
            portal
                .with_context(talk(up, down), async |mut cx: OpenContext<talk>, _first| {
                    let mut stream = cx.open_stream()?;
                    converse(&mut stream, down, up, || future::ready(())).await?;
                    stream.close().await?;
                    cx.result().await.map(drop).map_err(Error::from)
                })
                .await
        }
    }
}

impl Cell {
    /// Whether the child sends, and whether the parent does.
    fn ways(self) -> (bool, bool) {
        match (self.shape, self.phase) {
            (Shape::TwoWay, _) => (true, true),
            (_, Phase::StreamingDown) => (false, true),
            _ => (true, false),
        }
    }
}

/// Does `inner` while the actor does not read its link.
async fn held(
    cell: Cell,
    news: &News,
    portal: &Portal,
    inner: impl Future<Output = Result<()>>,
) -> Result<()> {
    let inner = async {
        news.until("stands").await;
        inner.await
    };
    future::try_zip(portal.run(hold_here(cell.phase as u64)), inner).await.map(drop)
}

/// With something on its way to a child that waits at the gate.
fn strike_in_turn(cell: Cell) {
    match cell.side {
        Side::Child => release_own(),
        Side::Parent => strike_root(cell),
    }
}

/// Cancels what the shape says, and strikes before or after the child has said that it heard.
async fn cancelled(cell: Cell, news: &News, portal: &Portal) -> Result<()> {
    let (up, down) = cell.ways();
    match cell.shape {
        Shape::Daemon => cut(cell, news, portal, async { drop(portal.cancel().await) }).await,
        Shape::Call => {
            let mut call = Box::pin(portal.run(work()));
            let begun = async {
                news.until("begun").await;
                Ok(())
            };
            future::or(begun, async { call.as_mut().await.map(drop).map_err(Error::from) }).await?;
            // Dropped, it asks for the end of the task.
            cut(cell, news, portal, async { drop(call) }).await
        }
        Shape::OneWay | Shape::TwoWay => {
            portal
                .with_context(talk(up, down), async |cx: OpenContext<talk>, _first| {
                    news.until("begun").await;
                    cut(cell, news, portal, async {
                        let _ = cx.cancel().await;
                    })
                    .await
                })
                .await
        }
    }
}

/// Polls `cancel` once, which sends the request; then hits, and waits for its end.
async fn cut(
    cell: Cell,
    news: &News,
    portal: &Portal,
    cancel: impl Future<Output = ()>,
) -> Result<()> {
    let mut cancel = pin!(cancel);
    if cell.phase == Phase::CancelSent {
        return held(cell, news, portal, async {
            let done = future::poll_once(cancel.as_mut()).await.is_some();
            strike_in_turn(cell);
            if !done {
                cancel.await;
            }
            Ok(())
        })
        .await;
    }
    let done = future::poll_once(cancel.as_mut()).await.is_some();
    // What comes after the request is answered after it.
    portal.run(double(1)).await?;
    news.until("cleaning").await;
    strike_in_turn(cell);
    if cell.side == Side::Child {
        news.until("hit").await;
    }
    if !done {
        cancel.await;
    }
    Ok(())
}

/// Ends the actor, in the middle of what the shape says.
async fn shut_down(cell: Cell, news: &News, portal: &Portal) -> Result<()> {
    if cell.shape == Shape::Daemon {
        return portal.cancel().await;
    }
    let end = async {
        news.until("begun").await;
        portal.cancel().await
    };
    let (asked, ended) = future::zip(ask(cell, portal), end).await;
    assert!(asked.is_err(), "what was under way has been told of the end");
    ended
}

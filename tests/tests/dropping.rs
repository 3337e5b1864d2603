//! Every public future, dropped at every await (F-41): what its documentation says of that holds,
//! what it was made of is of use afterwards, and nothing is left.
//!
//! The list of these functions is read off the sources, and one without a case fails. Children are
//! this program, hence a `main` of our own.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_io::{Timer, block_on};
use cases::CASES;
use futures_lite::future::pending;
use hatchery::{Context, Nursery, Portal, Receives, Result, Sends, Starts, open_nursery};
use hatchery_tests::build::workspace;
use hatchery_tests::dropping::{Polled, at_every_await, poll_times, public_futures};
use hatchery_tests::leaks::{Baseline, exclusive};
use hatchery_tests::procfs::{self, Process};
use hatchery_tests::tidy;
use hatchery_tests::worker::{HELD, Held, held};
use libtest_mimic::{Arguments, Trial};

#[path = "dropping/cases.rs"]
mod cases;
#[path = "dropping/discovery.rs"]
mod discovery;
#[path = "dropping/linked.rs"]
mod linked;
#[path = "dropping/looks.rs"]
mod looks;
#[path = "dropping/many.rs"]
mod many;
#[path = "dropping/oneself.rs"]
mod oneself;
#[path = "dropping/parents.rs"]
mod parents;
#[path = "dropping/sources.rs"]
mod sources;
#[path = "dropping/streams.rs"]
mod streams;
#[path = "dropping/terminal.rs"]
mod terminal;
#[path = "dropping/topics.rs"]
mod topics;

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// How one function is shown to keep its word.
enum Case {
    /// In a program that is no actor yet.
    Alone(fn()),
    /// In a root.
    InRoot(fn() -> Result<()>),
    /// Not called by users, or shown by another case.
    Not(&'static str),
}

fn main() -> ExitCode {
    hatchery::init();
    let mut tests = vec![Trial::test("f_41_every_public_future_has_a_case", || {
        listed();
        Ok(())
    })];
    for (name, case) in CASES {
        let shown = match case {
            Case::Alone(shown) => *shown,
            Case::InRoot(_) => || {},
            Case::Not(why) => {
                assert!(!why.is_empty(), "{name}");
                continue;
            }
        };
        let in_root = match case {
            Case::InRoot(shown) => Some(*shown),
            _ => None,
        };
        let name = format!("f_41_{name}_dropped_at_every_await");
        tests.push(Trial::test(name, move || {
            let _one = exclusive();
            warm();
            let baseline = Baseline::process_wide();
            shown();
            if let Some(shown) = in_root {
                shown().map_err(|error| format!("{error:?}"))?;
            }
            baseline.check(LONG).map_err(|left| left.to_string())?;
            Ok(())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// Each function has one case, and each case is a function's.
fn listed() {
    let is_library = |path: &str| path.starts_with("runtime/src/") && path.ends_with(".rs");
    let mut library = tidy::sources(&workspace());
    library.retain(|source| is_library(&source.path));
    let there = public_futures(&library);
    let known: BTreeSet<_> = CASES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(known.len(), CASES.len(), "a case stands twice");
    let without: Vec<_> = there.difference(&known).collect();
    let gone: Vec<_> = known.difference(&there).collect();
    assert!(without.is_empty() && gone.is_empty(), "without a case: {without:?}; gone: {gone:?}");
}

/// Starts what the library and its dependencies start once and keep.
fn warm() {
    let warm =
        open_nursery(async |nursery: Nursery| nursery.start_actor("warm").await?.cancel().await);
    hatchery::run(warm).unwrap();
}

// What the cases have in common.

#[hatchery::endpoint]
async fn double(n: u64) -> u64 {
    2 * n
}

/// Takes a moment, so that a caller has to wait.
#[hatchery::endpoint]
async fn double_late(n: u64) -> u64 {
    let _held = Held::new();
    Timer::after(Duration::from_millis(3)).await;
    2 * n
}

type Talk = Context<Starts<u64>, Sends<u64>, Receives<u64>>;

/// Sends each value back; returns how many came.
#[hatchery::context]
async fn echo(cx: Talk) -> Result<u64> {
    let _held = Held::new();
    let mut stream = cx.started(1).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
        count += 1;
    }
    Ok(count)
}

/// Starts after a moment, and never ends by itself.
#[hatchery::context]
async fn starts_late(cx: Talk) -> Result<u64> {
    let _held = Held::new();
    Timer::after(Duration::from_millis(3)).await;
    let _stream = cx.started(1).await?.open_stream();
    pending().await
}

/// Waits until it is so.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !is_so().await? {
        assert!(begin.elapsed() < LONG, "{what}: it does not come to that");
        Timer::after(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The actor serves, and no task runs in it that nobody waits for.
async fn is_at_rest(worker: &Portal) -> Result<()> {
    assert_eq!(worker.run(double(1)).await?, 2);
    eventually("tasks that nobody waits for end", async || Ok(worker.run(held()).await? == 0)).await
}

/// No process that this one started is left.
async fn no_children() -> Result<()> {
    let own = procfs::own_pid();
    eventually("children end", async || Ok(Process::all().iter().all(|one| one.parent != own)))
        .await
}

/// Runs `body` in a root with one actor, which is at rest at the end.
fn with_worker(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    hatchery::run(open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        body(&worker).await?;
        is_at_rest(&worker).await?;
        worker.cancel().await
    }))
}

//! A small program that uses the whole library: calls, a context with a stream both ways, an error,
//! a cancel, an actor below an actor, one that is ended by force. The subject of the sweep, which makes its system calls fail.
//!
//! It runs everything twice, once to have started what the library keeps, and then looks for what the
//! second time left in this process. It prints `fine`, or `KIND: MESSAGE` and exits with 3, or
//! `left: …` and exits with 4.

use std::env;
use std::fmt::Display;
use std::fs;
use std::future::{pending, poll_fn};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_lite::FutureExt as _;
use hatchery::{
    CancelStatus, Context, Error, Nursery, Options, Portal, Receives, Result, Sends, Starts,
    open_nursery,
};
use hatchery_tests::strike;
use hatchery_tests::sweep::{DEPTH_VARIABLE, TRACED_VARIABLE};

#[hatchery::endpoint]
async fn double(n: u64) -> u64 {
    2 * n
}

#[hatchery::endpoint]
async fn refuse() -> Result<u64> {
    Err(Error::message("no"))
}

/// Asks an actor of its own.
#[hatchery::endpoint]
async fn double_below(n: u64) -> Result<u64> {
    drop_one().await?;
    open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let doubled = leaf.run(double(n)).await?;
        leaf.cancel().await?;
        Ok(doubled)
    })
    .await
}

/// Sends each value back with one added; returns how many came.
#[hatchery::context]
async fn adder(cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>, first: u64) -> Result<u64> {
    let mut stream = cx.started(first + 1).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value + 1).await?;
        count += 1;
    }
    Ok(count)
}

#[hatchery::context]
async fn waits(cx: Context<Starts<()>>) -> Result<()> {
    let _started = cx.started(()).await?;
    pending().await
}

/// Every kind of dialog with one actor.
async fn use_all(worker: &Portal, deep: bool) -> Result<()> {
    same(worker.run(double(3)).await?, 6)?;
    let added = worker
        .with_context(adder(1), async |mut cx, first| {
            same(first, 2)?;
            let mut stream = cx.open_stream()?;
            for value in 0..5 {
                stream.send(value).await?;
                same(stream.recv().await?, Some(value + 1))?;
            }
            stream.close().await?;
            same(stream.recv().await?, None)?;
            cx.result().await
        })
        .await?;
    same(added, 5)?;
    match worker.run(refuse()).await {
        Err(error) if error.report().message == "no" => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(Error::message("an endpoint that fails has returned")),
    }
    let (waiting, ()) = worker.open_context(waits()).await?;
    match waiting.cancel().await {
        CancelStatus::Done | CancelStatus::Gone => {}
        CancelStatus::TimedOut | CancelStatus::NotAllowed => {
            return Err(Error::message("a cancel was not heard"));
        }
    }
    drop(waiting);
    if deep {
        same(worker.run(double_below(4)).await?, 8)?;
    } else {
        drop_one().await?;
    }
    worker.cancel().await
}

/// Drops a nursery with an actor in it, which is ended by force then.
async fn drop_one() -> Result<()> {
    let up = AtomicBool::new(false);
    let dropped = open_nursery(async |nursery: Nursery| {
        nursery.start_actor("dropped").await?;
        up.store(true, Ordering::Release);
        pending::<Result<()>>().await
    });
    let is_up =
        poll_fn(|_| if up.load(Ordering::Acquire) { Poll::Ready(Ok(())) } else { Poll::Pending });
    dropped.or(is_up).await
}

fn same<T: PartialEq + std::fmt::Debug>(is: T, wanted: T) -> Result<()> {
    if is == wanted {
        return Ok(());
    }
    Err(Error::message(format!("{is:?} came, where {wanted:?} was to come")))
}

fn once(traced: bool, deep: bool) -> Result<()> {
    let options = Options::new().teardown(Duration::from_millis(800));
    let body = open_nursery(async |nursery: Nursery| {
        let worker = match env::var(TRACED_VARIABLE) {
            Ok(line) if traced => {
                let mut words = line.split('\n');
                let actor = nursery.actor("worker").program(words.next().unwrap_or_default());
                words.fold(actor, |actor, word| actor.arg(word)).start().await?
            }
            _ => nursery.start_actor("worker").await?,
        };
        use_all(&worker, deep).await
    });
    hatchery::run_with(options, body)
}

/// Says it, whichever single write fails.
fn say(what: &dyn Display) {
    let line = format!("{what}\n");
    let mut out = std::io::stdout();
    let _ = out.write_all(line.as_bytes()).or_else(|_| out.write_all(line.as_bytes()));
}

fn failed(error: &Error) -> ExitCode {
    let kind = format!("{:?}", error.kind());
    let kind = kind.split(['(', ' ', '{']).next().unwrap_or_default();
    say(&format!("{kind}: {error}"));
    ExitCode::from(3)
}

/// What this process has that could be left over: descriptors by kind, threads, children.
///
/// Looks at its own folder only, since every look is swept, too.
fn have() -> Vec<String> {
    let list = |folder: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for descriptor in list("/proc/self/fd") {
        let target = fs::read_link(descriptor).unwrap_or_default().display().to_string();
        // The descriptor that lists them is gone, or names this folder.
        if !target.is_empty() && !target.ends_with("/fd") {
            found.push(target.split('[').next().unwrap_or_default().to_owned());
        }
    }
    for thread in list("/proc/self/task") {
        // Not by name: a thread gives itself one only once it runs.
        found.push("thread".to_owned());
        let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
        found.extend(children.split_ascii_whitespace().map(|pid| format!("child {pid}")));
    }
    found.sort();
    found
}

/// What this process has, once two looks agree: one that a fault met sees less.
fn steady() -> Vec<String> {
    let mut last = have();
    loop {
        let now = have();
        if now == last {
            return now;
        }
        last = now;
    }
}

/// What there is that was not there before, given a second to go away.
fn left_since(before: &[String]) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(1);
    loop {
        let mut left = have();
        for known in before {
            if let Some(at) = left.iter().position(|one| one == known) {
                left.swap_remove(at);
            }
        }
        if left.is_empty() {
            return None;
        }
        if Instant::now() > until {
            return Some(left.join(", "));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn main() -> ExitCode {
    strike::tell_last_steps_when_asked();
    hatchery::init();
    let deep = env::var(DEPTH_VARIABLE).is_ok();
    if let Err(error) = once(false, false) {
        return failed(&error);
    }
    let baseline = steady();
    let ended = once(true, deep);
    if let Some(left) = left_since(&baseline) {
        say(&format!("left: {left}"));
        return ExitCode::from(4);
    }
    match ended {
        Ok(()) => {
            say(&"fine");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

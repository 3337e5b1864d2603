//! A root whose actor `far` is started by the command line that its second argument begins, with one
//! below it. Its first argument says what becomes of them:
//! - `serves`: calls, streams, a cancel and typed errors, then an end; prints `ok`.
//! - `holds`: prints `ready FAR BELOW`, their process ids, then `tick` and a number with each answer that
//!   it gets from both, until one fails, which it prints behind `lost: `.
//! - `stuck`: prints the same once far's thread is blocked, with more on its way than it has read; waits.
//! - `flows`: prints the same, and streams values there and back until that fails.
//!
//! `PATIENCE`, in milliseconds, is that with a silence, and its period.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::env;
use std::time::Duration;

use futures_lite::FutureExt as _;
use futures_lite::future::zip;
use hatchery::{
    CallError, CancelStatus, CommandLine, Context, Error, Limits, Nursery, Options, Portal,
    Receives, Result, Sends, Starts, open_nursery,
};
use hatchery_tests::worker::{alive, echo};
use serde::{Deserialize, Serialize};

const MANY: u64 = 10_000;

#[hatchery::endpoint]
async fn pid() -> u32 {
    std::process::id()
}

/// What far's actor has below it while it is there.
#[hatchery::context]
async fn keeps_one(cx: Context<Starts<u32>, Sends<u64>, Receives<u64>>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let below = nursery.start_actor("below").await?;
        let mut stream = cx.started(below.run(pid()).await?).await?.open_stream();
        while let Some(tick) = stream.recv().await? {
            assert!(below.run(alive()).await?);
            stream.send(tick).await?;
        }
        below.cancel().await
    })
    .await
}

/// Blocks its thread, behind which nothing more is read.
#[hatchery::context]
async fn blocks(cx: Context<Starts<()>, Sends<()>, Receives<Vec<u8>>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    stream.recv().await?;
    loop {
        std::thread::park();
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

#[hatchery::endpoint]
async fn refuses(why: String) -> std::result::Result<(), Wrong> {
    Err(Wrong(why))
}

async fn serves(far: &Portal) -> Result<()> {
    let refused = far.run(refuses("on purpose".to_owned())).await;
    assert!(matches!(refused, Err(CallError::Endpoint { error, .. }) if error.0 == "on purpose"));
    let count = far
        .with_context(echo(), async |mut cx, ()| {
            let (send, mut recv) = cx.open_stream()?.split();
            let sends = async {
                for n in 0..MANY {
                    send.send(n).await?;
                }
                send.close().await
            };
            let receives = async {
                for n in 0..MANY {
                    assert_eq!(recv.recv().await?, Some(n));
                }
                Ok::<_, Error>(())
            };
            let (sent, received) = zip(sends, receives).await;
            sent?;
            received?;
            cx.result().await
        })
        .await?;
    assert_eq!(count, MANY);
    let (context, ()) = far.open_context(echo()).await?;
    assert_eq!(context.cancel().await, CancelStatus::Done);
    Ok(())
}

/// Asks both again and again.
async fn holds(far: &Portal) -> Result<()> {
    let (mut context, below) = far.open_context(keeps_one()).await?;
    let mut stream = context.open_stream()?;
    let far = far.run(pid()).await?;
    println!("ready {far} {below}");
    for tick in 0.. {
        stream.send(tick).await?;
        if stream.recv().await? != Some(tick) {
            return Err(Error::message("it ended"));
        }
        println!("tick {tick}");
        async_io::Timer::after(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn stuck(far: &Portal) -> Result<()> {
    let (_kept, below) = far.open_context(keeps_one()).await?;
    let (mut blocks, ()) = far.open_context(blocks()).await?;
    let pid = far.run(pid()).await?;
    let stream = blocks.open_stream()?;
    // One for it to be blocked by; the others fill what is between the two, as far as its window goes.
    while stream.try_send(vec![0; 60_000]).is_ok() {}
    stream.flush().await?;
    println!("ready {pid} {below}");
    loop {
        stream.send(vec![0; 60_000]).await?;
    }
}

async fn flows(far: &Portal) -> Result<()> {
    let (_kept, below) = far.open_context(keeps_one()).await?;
    let (mut context, ()) = far.open_context(echo()).await?;
    let pid = far.run(pid()).await?;
    let (send, mut recv) = context.open_stream()?.split();
    let sends = async {
        for n in 0.. {
            send.send(n).await?;
        }
        Ok(())
    };
    let receives = async {
        for n in 0.. {
            if recv.recv().await? != Some(n) {
                return Err(Error::message("it ended"));
            }
            if n == 1000 {
                println!("ready {pid} {below}");
            }
        }
        Ok(())
    };
    sends.or(receives).await
}

fn options() -> Options {
    let patience = env::var("PATIENCE").ok().and_then(|millis| millis.parse().ok());
    let liveness = patience.map(Duration::from_millis).map(|patience| (patience, patience));
    Options::new().limits(Limits { liveness, ..Limits::default() })
}

fn main() -> std::process::ExitCode {
    hatchery::init();
    let mut words = env::args_os().skip(1);
    let what = words.next().unwrap_or_default();
    let launcher = CommandLine::new(words.next().unwrap_or_default()).args(words);
    let launcher =
        if env::var_os("QUOTED").is_some() { launcher.through_a_shell() } else { launcher };
    let body = open_nursery(async move |nursery: Nursery| {
        let far = nursery.actor("far").launcher(launcher).start().await?;
        match what.to_str() {
            Some("holds") => holds(&far).await,
            Some("stuck") => stuck(&far).await,
            Some("flows") => flows(&far).await,
            _ => serves(&far).await,
        }?;
        far.cancel().await
    });
    match hatchery::run_with(options(), body) {
        Ok(()) => println!("ok"),
        Err(error) => {
            println!("lost: {error:?}");
            return std::process::ExitCode::FAILURE;
        }
    }
    std::process::ExitCode::SUCCESS
}

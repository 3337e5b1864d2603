//! Roots that log, by the name of a scene; what they and their actors log stands on standard error.
//! `FILTER` is the root's filter, where there is one; `CHILD` that of its child.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::future::pending;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

use hatchery::{
    CommandLine, Error, LocalPortal, Nursery, Options, Result, Stderr, Trace, cancel_scope,
    open_nursery, run_with, set_log_filter, with_trace,
};
use hatchery_tests::worker::echo;

fn main() -> ExitCode {
    hatchery::init();
    let scene = std::env::args().nth(1).unwrap_or_default();
    let mut options = Options::new();
    if let Ok(filter) = std::env::var("FILTER") {
        options = options.log(filter);
    }
    let ended = run_with(options, play(&scene)).and_then(|()| match scene.as_str() {
        "second" => further_roots(),
        _ => Ok(()),
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn play(scene: &str) -> Result<()> {
    match scene {
        "says" => says_and_asks(2).await,
        "traced" => {
            let user = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            with_trace(Trace::new(user)?, async { says_and_asks(2).await }).await
        }
        "quiet-middle" => asks_through_a_quiet_one().await,
        "itself" => asks_itself().await,
        "stream" => streams().await,
        "changes" => changes().await,
        "second" => {
            tracing::info!("the first speaks");
            Ok(())
        }
        "cancelled" => cancelled().await,
        "absorbed" => absorbed().await,
        "failed" => failed().await,
        stderr => writes(stderr).await,
    }
}

/// Says something at each level, and has as many actors below it do so.
#[hatchery::endpoint]
async fn says_and_asks(below: u32) -> Result<()> {
    tracing::info!(below, "speaks of it");
    tracing::debug!(below, "speaks more of it");
    assert!(Trace::current().is_none() || std::env::var_os("TRACED").is_some());
    let Some(below) = below.checked_sub(1) else { return Ok(()) };
    open_nursery(async |nursery| {
        // What a task of the task says is said as part of it.
        nursery.spawn(async { tracing::info!("a task of it speaks") });
        let mut actor = nursery.actor(&format!("actor-{below}"));
        if let Ok(filter) = std::env::var("CHILD") {
            actor = actor.log(filter);
        }
        if let Ok(value) = std::env::var("SAYS") {
            actor = actor.env("HATCHERY_LOG", value);
        }
        let actor = actor.start().await?;
        actor.run(says_and_asks(below)).await?;
        actor.cancel().await
    })
    .await
}

#[hatchery::endpoint]
async fn asks_below() -> Result<()> {
    open_nursery(async |nursery| {
        let leaf = nursery.actor("leaf").log("logged=info,hatchery::runtime=debug").start().await?;
        leaf.run(says_and_asks(0)).await?;
        leaf.cancel().await
    })
    .await
}

/// Three actors, of which that in the middle logs nothing.
async fn asks_through_a_quiet_one() -> Result<()> {
    tracing::info!("it asks");
    open_nursery(async |nursery| {
        let middle = nursery.actor("middle").log("off").start().await?;
        middle.run(asks_below()).await?;
        middle.cancel().await
    })
    .await
}

/// A call that stays in its process, whose span is below that of whoever asks.
async fn asks_itself() -> Result<()> {
    LocalPortal::new()?.run(says_and_asks(0)).await
}

/// A thousand values there and back, of which no frame may be lost for being shown.
async fn streams() -> Result<()> {
    open_nursery(async |nursery| {
        let actor = nursery.start_actor("echo").await?;
        let count = actor
            .with_context(echo(), async |mut cx, ()| {
                let stream = cx.open_stream()?;
                let (send, mut recv) = stream.split();
                let all = futures_lite::future::zip(
                    async {
                        for value in 0..1000 {
                            send.send(value).await?;
                        }
                        send.close().await
                    },
                    async {
                        for value in 0..1000 {
                            assert_eq!(recv.recv().await?, Some(value));
                        }
                        Ok::<_, Error>(())
                    },
                );
                let (sent, received) = all.await;
                sent.and(received)?;
                cx.result().await
            })
            .await?;
        println!("{count} values");
        actor.cancel().await
    })
    .await
}

#[hatchery::endpoint]
async fn says(what: String) {
    tracing::info!("{what}");
    tracing::debug!("{what}, more of it");
}

#[hatchery::endpoint]
async fn logs(filter: String) -> Option<String> {
    set_log_filter(&filter).err().map(|error| error.to_string())
}

/// Filters that change while the actors live.
async fn changes() -> Result<()> {
    open_nursery(async |nursery| {
        let actor = nursery.start_actor("actor").await?;
        actor.run(says("first".to_owned())).await?;
        assert_eq!(actor.run(logs("debug".to_owned())).await?, None);
        actor.run(says("second".to_owned())).await?;
        tracing::debug!("the root says more");
        let refused = actor.run(logs("hatchery=loud".to_owned())).await?;
        println!("{}", refused.unwrap_or_default());
        actor.run(says("third".to_owned())).await?;
        assert_eq!(actor.run(logs("off".to_owned())).await?, None);
        actor.run(says("fourth".to_owned())).await?;
        actor.cancel().await
    })
    .await
}

/// One that was asked for no logs, and one that was again.
fn further_roots() -> Result<()> {
    let says = async |what: &str| {
        tracing::info!("{what}");
        Ok(())
    };
    run_with(Options::new().name("second"), says("the second speaks"))?;
    run_with(Options::new().name("third").log("logged=info"), says("the third speaks"))
}

/// A block that is cancelled around one, and what it holds in an actor.
async fn cancelled() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let block = cancel_scope(async |scope| {
            open_nursery(async |nursery: Nursery| {
                nursery.spawn(async { pending::<()>().await });
                scope.cancel();
                pending::<Result<()>>().await
            })
            .await
        });
        assert!(block.await?.is_none());
        actor.cancel().await
    })
    .await
}

/// A context that whoever opened it cancels, and leaves as if nothing was.
async fn absorbed() -> Result<()> {
    open_nursery(async |nursery| {
        let actor = nursery.start_actor("actor").await?;
        actor
            .with_context(echo(), async |cx, ()| {
                let _ = cx.cancel().await;
                cx.result().await.map(drop).or(Ok::<_, Error>(()))
            })
            .await?;
        actor.cancel().await
    })
    .await
}

#[hatchery::endpoint]
async fn fails() -> Result<()> {
    open_nursery(async |_nursery| Err(Error::message("it has failed"))).await
}

async fn failed() -> Result<()> {
    open_nursery(async |nursery| {
        let actor = nursery.start_actor("actor").await?;
        let error = actor.run(fails()).await.unwrap_err();
        println!("{error}");
        actor.cancel().await
    })
    .await
}

/// Writes what is asked for to standard error; what is asked for of its end is its end.
#[hatchery::endpoint]
async fn writes_to_stderr(what: String) {
    let mut stderr = std::io::stderr();
    let mut put = |bytes: &[u8]| stderr.write_all(bytes).expect("somebody reads it");
    match what.as_str() {
        "lines" => put(b"one\ntwo\n\nfour\n"),
        "binary" => put(b"\xff\xfe\0one\r\ntwo\xff\n"),
        "much" => {
            for number in 0..20_000 {
                put(format!("line {number}\n").as_bytes());
            }
        }
        "long" => put(&[b'x'; 200_000]),
        "middle" => {
            put(b"whole\nbroken off");
            std::process::abort();
        }
        "left" => {
            put(b"before\n");
            // It has its standard error, and outlives it; nobody waits for it.
            let mut command = Command::new("sleep");
            command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
            println!("left {}", command.spawn().expect("a program").id());
        }
        other => panic!("nothing is called {other}"),
    }
}

/// `prefixed-lines`, say: how it is taken, and what there is.
async fn writes(scene: &str) -> Result<()> {
    let (how, what) = scene.split_once('-').expect("a scene");
    let how = match how {
        "prefixed" => Stderr::Prefixed,
        "captured" => Stderr::Captured,
        _ => Stderr::Inherit,
    };
    let ended = open_nursery(async |nursery| {
        let mut actor = nursery.actor("writer").stderr(how);
        if std::env::var_os("LAUNCHED").is_some() {
            actor = actor.launcher(CommandLine::new("env"));
        }
        let actor = actor.start().await?;
        println!("writer[{}]", actor.id().pid);
        actor.run(writes_to_stderr(what.to_owned())).await?;
        actor.cancel().await
    })
    .await;
    if std::env::var_os("UNREAD").is_none() {
        // At the end of the block all of it is there.
        eprintln!("the block has ended");
    }
    match what {
        "middle" => ended.or(Ok(())),
        _ => ended,
    }
}

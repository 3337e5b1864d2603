//! Trees that pause and crash, for a person at their terminal: one for each first argument.
#![allow(clippy::print_stdout, reason = "what a person sees")]

use std::future::{Future, pending};

use hatchery::{
    Call, Context, ErrorKind, Nursery, Options, Portal, Result, Starts, cancel_scope, open_nursery,
    pause, pause_blocking, pause_shielded, post_mortem, shield,
};
use hatchery_tests::procfs::descriptors;
use hatchery_tests::sign::raised;
use hatchery_tests::terminal;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

#[derive(Debug)]
struct Oops(&'static str);

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Oops {}

fn oops<T>(what: &'static str) -> Result<T> {
    Err(hatchery::Error::new(Oops(what)))
}

/// Fails at once.
#[hatchery::endpoint]
async fn fails() -> Result<()> {
    oops("the child's own error")
}

#[hatchery::endpoint]
async fn panics() -> Result<()> {
    let nothing: Option<()> = std::hint::black_box(None);
    nothing.expect("something to be there");
    Ok(())
}

/// Pauses so many times.
#[hatchery::endpoint]
async fn pauses(times: u32) -> Result<()> {
    for round in 0..times {
        let of = times;
        pause!(round, &of).await?;
    }
    Ok(())
}

/// Starts an actor that does the same, one level less, and fails at the bottom.
#[hatchery::endpoint]
async fn climbs(levels: u32) -> Result<()> {
    if levels == 0 {
        return oops("from the bottom");
    }
    let name = format!("level-{levels}");
    open_nursery(async |nursery: Nursery| {
        let child = nursery.start_actor(&name).await?;
        child.run(climbs(levels - 1)).await?;
        child.cancel().await
    })
    .await
}

/// Its block fails once the actor that it has started stands at a prompt.
#[hatchery::endpoint]
async fn fails_above_a_prompt() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("leaf", pauses(1)).await?;
        hatchery::testing::terminal_is_wanted_by(1).await;
        oops("the middle fails")
    })
    .await
}

#[hatchery::endpoint]
async fn cancelled_above_a_prompt() -> Result<()> {
    let cancelled = cancel_scope(async |scope| {
        open_nursery(async |nursery: Nursery| {
            nursery.run_in_actor("leaf", pauses(1)).await?;
            hatchery::testing::terminal_is_wanted_by(1).await;
            scope.cancel();
            pending::<Result<()>>().await
        })
        .await
    })
    .await?;
    assert!(cancelled.is_none(), "it was not cancelled");
    Ok(())
}

/// Is cancelled, and tries to pause in each way.
#[hatchery::endpoint]
async fn pauses_in_clean_up() -> Result<()> {
    cancel_scope(async |scope| {
        scope.cancel();
        let refused = pause!().await.expect_err("a pause that is due to be dropped");
        assert!(matches!(refused.kind(), ErrorKind::Cancelled(_)), "{refused:?}");
        let inside = "a shield";
        pause_shielded!(inside).await?;
        Ok::<_, hatchery::Error>(())
    })
    .await?;
    Ok(())
}

/// Handles an error, after a look at it, and then fails with it.
#[hatchery::endpoint]
async fn shows_by_hand() -> Result<()> {
    let failed = oops::<()>("looked at by hand");
    if let Err(error) = &failed {
        post_mortem(error).await;
    }
    failed
}

#[hatchery::endpoint]
async fn pauses_without_async() -> Result<()> {
    let left = 3;
    pause_blocking!(left)
}

#[hatchery::context]
async fn serves(cx: Context<Starts<()>>, then_pauses: bool) -> Result<()> {
    let _started = cx.started(()).await?;
    if then_pauses {
        pause!().await?;
    }
    pending().await
}

/// Never comes so far as to start.
#[hatchery::context]
async fn starts_late(cx: Context<Starts<()>>) -> Result<()> {
    pending::<()>().await;
    let _started = cx.started(()).await?;
    Ok(())
}

/// Its link breaks while its prompt is open.
#[hatchery::endpoint]
async fn breaks_its_link() -> Result<()> {
    let breaks = async {
        raised(&std::env::var("BREAK").expect("a sign")).await;
        let me = pidfd_open(getpid(), PidfdFlags::empty()).expect("its own process");
        for (number, _) in descriptors().iter().filter(|(_, to)| to.starts_with("socket:")) {
            let same = pidfd_getfd(&me, *number, PidfdGetfdFlags::empty()).expect("a socket");
            let _ = shutdown(same, Shutdown::Both);
        }
        pending().await
    };
    futures_lite::future::or(async { pause!().await }, breaks).await
}

async fn with_child(call: Call<impl hatchery::CallEndpoint<Return = Result<()>>>) -> Result<()> {
    child(async |worker| worker.run(call).await).await
}

async fn child(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        body(&worker).await?;
        worker.cancel().await
    })
    .await
}

async fn root_pause() -> Result<()> {
    let (count, name) = (7, "seven".to_owned());
    pause!(count, &name, name.len()).await?;
    println!("went on with {name}");
    Ok(())
}

/// Is not polled any more while its prompt is open.
async fn drops_a_pause() -> Result<()> {
    let told = async {
        raised(&std::env::var("BREAK").expect("a sign")).await;
        Ok(())
    };
    futures_lite::future::or(async { pause!().await }, told).await?;
    let again = "again";
    pause!(again).await
}

async fn root_pauses_for_ever() -> Result<()> {
    for round in 0_u64.. {
        pause!(round).await?;
        futures_lite::future::yield_now().await;
    }
    Ok(())
}

/// Three actors, each of which asks once the one before has asked.
async fn three_pause() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        for (before, name) in ["a", "b", "c"].into_iter().enumerate() {
            nursery.run_in_actor(name, pauses(1)).await?;
            hatchery::testing::terminal_is_wanted_by(before + 1).await;
        }
        println!("all three");
        Ok(())
    })
    .await
}

/// One pauses for ever, the other fails.
async fn one_pauses_one_fails() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("pauser", pauses(u32::MAX)).await?;
        let failer = nursery.start_actor("failer").await?;
        hatchery::testing::terminal_is_wanted_by(1).await;
        let watch = async {
            hatchery::testing::terminal_is_wanted_by(2).await;
            println!("both");
            pending().await
        };
        futures_lite::future::or(failer.run(fails()), watch).await
    })
    .await
}

/// One pauses for ever, one fails, and below one another fails.
async fn mixed() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("pauser", pauses(u32::MAX)).await?;
        hatchery::testing::terminal_is_wanted_by(1).await;
        nursery.run_in_actor("failer", fails()).await?;
        hatchery::testing::terminal_is_wanted_by(2).await;
        nursery.run_in_actor("spawner", climbs(1)).await?;
        hatchery::testing::terminal_is_wanted_by(3).await;
        println!("all three");
        Ok(())
    })
    .await
}

async fn only_one_is_debugged() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let plain = nursery.start_actor("plain").await?;
        let looked_at = nursery.actor("looked-at").debug(true).start().await?;
        plain.run(fails()).await.expect_err("it fails");
        looked_at.run(fails()).await
    })
    .await
}

/// The root's block fails while its child stands at a prompt.
async fn fails_beside_a_prompt() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("worker", pauses(1)).await?;
        hatchery::testing::terminal_is_wanted_by(1).await;
        oops("the root fails")
    })
    .await
}

/// The root's block is cancelled while its grandchild stands at a prompt.
async fn cancels_beside_a_prompt() -> Result<()> {
    cancelled_above_a_prompt().await
}

async fn fails_while_a_context_starts() -> Result<()> {
    child(async |worker| {
        let late = async { worker.open_context(starts_late()).await.map(drop) };
        futures_lite::future::or(late, async { oops("before it has started") }).await
    })
    .await
}

async fn crashes_when_cancelled() -> Result<()> {
    hatchery::cancel_soon()?;
    shield(async { pause!("root cancelled").await }).await?;
    oops("after the cancel")
}

async fn pauses_everywhere() -> Result<()> {
    let thread = std::thread::spawn(|| {
        let who = "a thread";
        pause_blocking!(who)
    });
    child(async |worker| {
        let there = worker.run(pauses_without_async());
        let here = async {
            let who = "a task";
            pause!(who).await
        };
        let both = futures_lite::future::zip(there, here).await;
        both.0.and(both.1)
    })
    .await?;
    let who = "the root's thread";
    pause_blocking!(who)?;
    thread.join().expect("a thread that was paused")
}

async fn post_mortems() -> Result<()> {
    let failed = with_child(shows_by_hand()).await;
    if let Err(error) = &failed {
        post_mortem(error).await;
    }
    failed
}

/// Two actors: one has the terminal, the other waits for it.
async fn two_pause() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("a", pauses(1)).await?;
        hatchery::testing::terminal_is_wanted_by(1).await;
        nursery.run_in_actor("b", pauses(1)).await?;
        hatchery::testing::terminal_is_wanted_by(2).await;
        println!("both");
        Ok(())
    })
    .await
}

async fn waits_then_pauses() -> Result<()> {
    child(async |worker| {
        let (_context, ()) = worker.open_context(serves(true)).await?;
        pending().await
    })
    .await
}

fn run(options: Options, body: impl Future<Output = Result<()>>) -> Result<()> {
    hatchery::run_with(options, body)
}

fn main() -> Result<()> {
    hatchery::debug_filter(|error| !error.report().message.contains("not worth it"));
    hatchery::init();
    if std::env::var_os("NO_TERMINAL").is_none() {
        terminal::take();
    }
    let which = std::env::args().nth(1).unwrap_or_default();
    let options = Options::new().debug(true).log("warn");
    match which.as_str() {
        "root-error" => run(options, async { oops("the root's own error") }),
        "not-worth-it" => run(options, async { oops("not worth it") }),
        "root-panic" => run(options, async { panic!("the root's own panic") }),
        "root-pause" => run(options, root_pause()),
        "root-pauses" => run(options, root_pauses_for_ever()),
        "dropped" => run(options, drops_a_pause()),
        "waits" => run(options, async {
            println!("it waits");
            pending().await
        }),
        "child-error" => run(options, with_child(fails())),
        "child-panic" => run(options, with_child(panics())),
        "child-pause" => run(options, with_child(pauses(3))),
        "climbs" => run(options, async { climbs(3).await }),
        "three" => run(options, three_pause()),
        "one-fails" => run(options, one_pauses_one_fails()),
        "mixed" => run(options, mixed()),
        "only-one" => run(options.debug(false), only_one_is_debugged()),
        "root-fails-beside" => run(options, fails_beside_a_prompt()),
        "root-cancels-beside" => run(options, cancels_beside_a_prompt()),
        "middle-fails" => run(options, with_child(fails_above_a_prompt())),
        "middle-cancelled" => run(options, with_child(cancelled_above_a_prompt())),
        "starting" => run(options, fails_while_a_context_starts()),
        "cancelled-root" => run(options, crashes_when_cancelled()),
        "shielded" => run(options, with_child(pauses_in_clean_up())),
        "everywhere" => run(options, pauses_everywhere()),
        "post-mortem" => run(options, post_mortems()),
        "two" => run(options, two_pause()),
        "context" => run(options, waits_then_pauses()),
        "breaks" => run(options, with_child(breaks_its_link())),
        other => run(options, async { Err(hatchery::Error::message(format!("no `{other}`"))) }),
    }
}

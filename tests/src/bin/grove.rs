//! A root with two actors, one of which has an actor of its own: prints `PID PID PID` and
//! `ready`, then waits for ever. The subject of tests that end whole trees. Each actor prints
//! `hook of NAME` when it ends in its order.
//!
//! With `in-a-task` a task of the root's nursery has started them; with `broken` the first one then
//! closes its link, which nobody told it to. With `takes-its-time FILE` it prints `waiting`, and
//! `ending` when it is asked to end, which it does once there is that file. With `says-looks` a root
//! that adopts prints `look N` for each look that it takes.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use hatchery::{
    Context, Error, LocalPortal, Receives, Result, Sends, Starts, cancel_scope, on_exit,
    open_nursery, shield,
};
use hatchery_tests::events::at_each_look;
use hatchery_tests::procfs::descriptors;
use hatchery_tests::sign::raised;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Has its actor say that it ends as it should.
#[hatchery::endpoint]
async fn says_when_it_ends() -> Result<()> {
    let name = LocalPortal::new()?.id().name;
    on_exit(move || println!("hook of {name}"));
    Ok(())
}

/// Starts an actor, says which process that is, and waits.
#[hatchery::context]
async fn parent(cx: Context<Starts<u32>, Sends<()>, Receives<()>>) -> Result<()> {
    open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        leaf.run(says_when_it_ends()).await?;
        let _started = cx.started(leaf.id().pid).await?;
        pending().await
    })
    .await
}

/// Closes every socket of its actor both ways.
#[hatchery::endpoint]
async fn breaks_its_link() -> Result<()> {
    let me = pidfd_open(getpid(), PidfdFlags::empty()).map_err(Error::new)?;
    for (number, _) in descriptors().iter().filter(|(_, target)| target.starts_with("socket:")) {
        let same = pidfd_getfd(&me, *number, PidfdGetfdFlags::empty()).map_err(Error::new)?;
        shutdown(same, Shutdown::Both).map_err(Error::new)?;
    }
    pending().await
}

/// Ends once there is the file, and says that it is asked to.
#[hatchery::endpoint]
async fn takes_its_time(file: String) -> Result<()> {
    println!("waiting");
    let ended = cancel_scope(async |_| pending::<Result<()>>().await).await;
    shield(async {
        println!("ending");
        raised(&file).await;
    })
    .await;
    ended.map(drop)
}

/// What the first actor does meanwhile.
enum Idles {
    Not,
    Broken,
    Slowly(String),
}

async fn grows(how: Idles) -> Result<()> {
    open_nursery(async |nursery| {
        let idle = nursery.start_actor("idle").await?;
        let branch = nursery.start_actor("branch").await?;
        idle.run(says_when_it_ends()).await?;
        branch.run(says_when_it_ends()).await?;
        branch
            .with_context(parent(), async |_cx, leaf| {
                println!("{} {} {leaf}", idle.id().pid, branch.id().pid);
                println!("ready");
                match how {
                    Idles::Not => pending().await,
                    Idles::Broken => idle.run(breaks_its_link()).await,
                    Idles::Slowly(file) => idle.run(takes_its_time(file)).await,
                }
            })
            .await
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("in-a-task") => {
            open_nursery(async |nursery| {
                nursery.spawn(grows(Idles::Not));
                pending().await
            })
            .await
        }
        Some("says-looks") => {
            let looks = AtomicUsize::new(0);
            at_each_look(move || println!("look {}", looks.fetch_add(1, Ordering::SeqCst)));
            grows(Idles::Not).await
        }
        Some("broken") => grows(Idles::Broken).await,
        Some("takes-its-time") => {
            grows(Idles::Slowly(std::env::args().nth(2).unwrap_or_default())).await
        }
        _ => grows(Idles::Not).await,
    }
}

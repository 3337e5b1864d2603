//! A root that adopts: an actor leaves a process behind that has detached itself, and the root's own
//! child goes its way beside. Prints how the root is contained, and `ok`. With the argument `first`
//! it relies on being the first process of its container, else it asks to be a subreaper.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use hatchery::{Containment, Error, Options, Result, open_nursery, open_root_actor};
use hatchery_tests::events::at_each_look;
use hatchery_tests::sign::until;
use rustix::process::{Pid, Signal, kill_process};

/// Has a shell start a process that outlives it; says which.
#[hatchery::endpoint]
async fn leaves(what: String) -> Result<u32> {
    let script = format!("setsid {what} >/dev/null 2>&1 & echo $!");
    let mut shell = Command::new("sh");
    let out = shell.args(["-c", &script]).stderr(Stdio::null()).output().map_err(Error::new)?;
    String::from_utf8_lossy(&out.stdout).trim().parse().map_err(Error::new)
}

/// How often this root has looked at what is below it.
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// The state of a process, and its parent.
fn look(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

async fn body() -> Result<()> {
    let own = std::process::id();
    // Ended, but not waited for: nobody may take its status.
    let mut child = Command::new("true").spawn().map_err(Error::new)?;
    until("the child has ended", || look(child.id()).is_some_and(|(state, _)| state == 'Z')).await;
    open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        let stays = worker.run(leaves("sleep 1000".into())).await?;
        until("it is this actor's", || look(stays).is_some_and(|(_, parent)| parent == own)).await;
        // One that ends without its actor is reaped while its actor lives, the other is left alone.
        let passes = worker.run(leaves("sleep 1001".into())).await?;
        let before = LOOKS.load(Ordering::SeqCst);
        // One look may have been under way; the next has seen it alive.
        until("it was looked at", || LOOKS.load(Ordering::SeqCst) >= before + 2).await;
        let ends = i32::try_from(passes).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(ends, Signal::KILL).expect("a process that lives");
        until("what ends by itself is gone", || look(passes).is_none()).await;
        assert!(look(stays).is_some_and(|(state, _)| state != 'Z'), "its actor lives");
        worker.cancel().await?;
        until("what stays is gone", || look(stays).is_none()).await;
        Ok::<_, Error>(())
    })
    .await?;
    let status = child.wait().map_err(Error::new)?;
    assert!(status.success(), "its own child's status is its own");
    Ok(())
}

fn main() -> Result<()> {
    hatchery::init();
    at_each_look(|| {
        LOOKS.fetch_add(1, Ordering::SeqCst);
    });
    let first = std::env::args().nth(1).is_some_and(|argument| argument == "first");
    let options = match first {
        true => Options::new(),
        false => Options::new().containment(Containment::Subreaper),
    };
    let root = open_root_actor(options.signals(true), async |root| {
        println!("{:?}", root.containment());
        body().await
    });
    async_io::block_on(root)?;
    println!("ok");
    Ok(())
}

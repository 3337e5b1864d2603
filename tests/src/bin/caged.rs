//! A root that asks for a control group of its own: an actor leaves a stopped process behind that has
//! detached itself twice over, and after the root that is gone, and the group with it. Prints how the
//! root is contained and `ok`, or `refused: ` and why there is no group to be had.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hatchery::{Containment, Error, ErrorKind, Options, Result, open_nursery, open_root_actor};
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::until;

/// The group that a process is in.
fn group(pid: u32) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    own.unwrap_or_default().to_owned()
}

/// Where that group is, by its last part, which no other has.
fn folder(group: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let fields: Vec<&str> = own.split(' ').collect();
    let below = group.strip_prefix(*fields.get(3)?)?.trim_start_matches('/');
    Some(PathBuf::from(fields.get(4)?).join(below))
}

/// The state of a process, and its parent.
fn look(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Starts a process that nobody it knows has started, and that is stopped. Says which.
#[hatchery::endpoint]
async fn leaves() -> Result<u32> {
    let inner = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let mut shell = Command::new("setsid");
    let out = shell.args(["sh", "-c", inner]).stderr(Stdio::null()).output().map_err(Error::new)?;
    let pid: u32 = String::from_utf8_lossy(&out.stdout).trim().parse().map_err(Error::new)?;
    // It has let go of the pipe.
    let process = Process::of(pid.cast_signed());
    let stopped = process.is_some_and(|process| process.signal(Signal::STOP));
    stopped.then_some(pid).ok_or_else(|| Error::message("what was left behind is gone"))
}

/// The group of an actor's actor.
#[hatchery::endpoint]
async fn group_below() -> Result<String> {
    open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let group = group(leaf.id().pid);
        leaf.cancel().await?;
        Ok(group)
    })
    .await
}

/// What is left, and the group that all of them were in.
async fn body() -> Result<(u32, String)> {
    open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        let all = group(worker.id().pid);
        assert_ne!(all, group(std::process::id()), "it is in a group of its own");
        assert_eq!(worker.run(group_below()).await?, all);
        let stays = worker.run(leaves()).await?;
        assert_eq!(group(stays), all);
        worker.cancel().await?;
        until("it is stopped", || look(stays).is_none_or(|(state, _)| state == 'T')).await;
        let (state, parent) = look(stays).expect("it outlives its actor");
        assert!(state == 'T' && parent != worker.id().pid);
        Ok((stays, all))
    })
    .await
}

fn main() -> Result<()> {
    hatchery::init();
    let options = Options::new().containment(Containment::Cgroup);
    let root = open_root_actor(options, async |root| {
        println!("{:?}", root.containment());
        body().await
    });
    match async_io::block_on(root) {
        Ok((stays, all)) => {
            let lives = look(stays).filter(|(state, _)| !matches!(state, 'Z' | 'X'));
            assert_eq!(lives, None, "it outlives the root");
            let folder = folder(&all).expect("a place of the group");
            assert!(folder.parent().is_some_and(|above| above.join("cgroup.procs").exists()));
            assert!(!folder.exists(), "{} stays", folder.display());
            println!("ok");
        }
        Err(error) if *error.kind() == ErrorKind::Os => println!("refused: {error}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

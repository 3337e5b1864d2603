//! The live tree as any actor of it is shown it: from the root down, and never a wait for one that does
//! not answer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_lite::future;
use hatchery::{ErrorKind, Nursery, Result, TreeActor, TreeView, open_nursery, tree};
use hatchery_tests::procfs::{self, Process, own_pid};
use hatchery_tests::sign::{Sign, raise, raised, soon};
use hatchery_tests::worker::alive;

/// Ten times what a look may take.
const SOON: Duration = Duration::from_secs(10);

/// Has an actor below, and hands on the tree as that sees it.
#[hatchery::endpoint]
async fn seen_from_below() -> Result<String> {
    open_nursery(async |nursery: Nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let seen = leaf.run(seen()).await?;
        leaf.cancel().await?;
        Ok(seen)
    })
    .await
}

#[hatchery::endpoint]
async fn seen() -> Result<String> {
    Ok(tree().await?.to_string())
}

/// Blocks its thread until it is told; has an actor below that does nothing.
#[hatchery::endpoint]
async fn blocks(up: String, until: String) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        raise(&up, "");
        future::block_on(raised(&until));
        leaf.cancel().await
    })
    .await
}

fn named<'a>(view: &'a TreeView, name: &str) -> &'a TreeActor {
    let mut found = view.actors().iter().filter(|actor| actor.id().name == name);
    let one = found.next().unwrap_or_else(|| panic!("no {name}:\n{view}"));
    assert!(found.next().is_none(), "two of {name}:\n{view}");
    one
}

#[hatchery::test]
async fn every_actor_sees_the_tree_from_its_root() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let _beside = nursery.start_actor("beside").await?;
        let seen = middle.run(seen_from_below()).await?;
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines.len(), 4, "{seen}");
        assert!(lines[0].contains(&format!("(pid {})", own_pid())), "{seen}");
        assert!(lines[0].contains("waits for `live_tree::seen_from_below` on the child `middle`"));
        let at = |start: &str| lines.iter().position(|line| line.starts_with(start));
        assert!(at("  `beside` (pid ").is_some(), "{seen}");
        let (middle_at, leaf_at) = (at("  `middle` (pid "), at("    `leaf` (pid "));
        assert!(middle_at.is_some() && leaf_at == middle_at.map(|at| at + 1), "{seen}");
        let middle_line = lines[middle_at.unwrap()];
        let (runs, waits) = ("runs `live_tree::seen_from_below`", "waits for `live_tree::seen`");
        assert!(middle_line.contains(runs) && middle_line.contains(waits), "{seen}");
        let view = tree().await?;
        assert!(view.actors().iter().all(TreeActor::answered), "{view}");
        assert_eq!(named(&view, "middle").depth(), 1);
        assert_eq!(named(&view, "middle").id().pid, middle.id().pid);
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn one_that_does_not_answer_is_shown_as_its_parent_and_the_system_know_it() -> Result<()> {
    let (up, until) = (Sign::new("up"), Sign::new("until"));
    open_nursery(async |nursery: Nursery| {
        let stuck = nursery.start_actor("stuck").await?;
        let beside = nursery.start_actor("beside").await?;
        let runs = {
            let (stuck, up, until) = (stuck.clone(), up.path(), until.path());
            async move { stuck.run(blocks(up, until)).await }
        };
        nursery.spawn(runs);
        soon(up.raised()).await;
        let since = Instant::now();
        let seen = beside.run(seen()).await?;
        assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
        let view = tree().await?;
        let found = named(&view, "stuck");
        assert!(!found.answered() && found.id() == &stuck.id(), "{view}");
        assert!(found.state().starts_with("up; does not answer: nothing in "), "{view}");
        assert!(found.state().contains("; its process "), "{view}");
        let leaf = named(&view, "leaf");
        assert!(!leaf.answered() && leaf.depth() == 2 && leaf.id().pid != 0, "{view}");
        assert!(leaf.state().starts_with("was not asked; its process "), "{view}");
        assert!(named(&view, "beside").answered(), "{view}");
        // Where the machine is busy it may be the root that it has not heard of in time.
        let root = seen.lines().next().unwrap_or_default();
        let told =
            seen.contains("    `leaf` (pid ") || root.contains("does not answer: nothing in ");
        assert!(told && seen.contains("`beside`") && seen.contains("does not answer: "), "{seen}");
        until.raise();
        assert!(stuck.run(alive()).await?);
        nursery.cancel();
        Ok(())
    })
    .await
}

/// What `ps` shows of a process: its name, and what it was started with.
fn shown(pid: u32) -> (String, String) {
    let process = Process::of(pid.cast_signed()).expect("it lives");
    (process.name.clone(), process.command_line())
}

#[hatchery::endpoint]
async fn shown_here() -> (String, String) {
    shown(std::process::id())
}

/// The names of the threads of a process.
fn threads(pid: u32) -> BTreeSet<String> {
    procfs::threads_of(pid.cast_signed()).into_iter().map(|(_, name)| name).collect()
}

/// Shows what is below as well.
#[hatchery::endpoint]
async fn shown_below() -> Result<Vec<(String, String)>> {
    open_nursery(async |nursery: Nursery| {
        let below = nursery.start_actor("a-leaf-of-a-long-name").await?;
        let shown = vec![shown_here().await, below.run(shown_here()).await?];
        below.cancel().await?;
        Ok(shown)
    })
    .await
}

#[hatchery::test]
async fn ps_tells_actors_and_their_threads_apart_by_name() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        // The kernel keeps 15 bytes of a process's own name.
        let said = |name: &str, all: &str| (name.to_owned(), format!("hatchery: {all}"));
        let expected = [said("worker", "worker"), said("a-leaf-of-a-lon", "a-leaf-of-a-long-name")];
        assert_eq!(worker.run(shown_below()).await?, expected);
        let threads = threads(worker.id().pid);
        let known = ["worker", "async-io", "hatchery-spawne", "hatchery-watch"];
        assert!(threads.iter().all(|name| known.contains(&name.as_str())), "{threads:?}");
        // One that has waited is called what it is from when it is told.
        nursery.warm(1)?;
        nursery.warmed().await?;
        let told = nursery.start_actor("told").await?;
        assert_eq!(shown(told.id().pid), said("told", "waiting"));
        assert_eq!(named(&tree().await?, "told").id(), &told.id());
        nursery.warm(0)?;
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn nobody_but_parent_and_child_asks_and_no_program_needs_to_expose_it() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let closed = nursery.actor("closed").expose::<alive>().start().await?;
        let view = tree().await?;
        assert!(named(&view, "closed").answered(), "{view}");
        // What is above is for those below.
        let asked = closed.call_named::<()>("hatchery::inspect::whole", (SOON,)).await;
        let error = asked.expect_err("a child is not asked for what is above it");
        assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
        closed.cancel().await
    })
    .await
}

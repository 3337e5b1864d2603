//! Orphans that this process adopts: which they are, when they are ended, and that they are reaped.
//!
//! As a subreaper, or as the first process of a container, this process becomes the parent of what
//! its descendants leave behind. It must reap that, and must not take the status of a child that
//! somebody else in this process has started and waits for. So it reaps only what it has seen with
//! another parent, or alive with the mark of an actor in its environment: no child of this process's
//! own ever had either. What lives too shortly to be seen stays a zombie until this process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_listener::{Event, listener};
use futures_lite::FutureExt;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::handover::{MARKER_VARIABLE, TREE_VARIABLE};
use super::procfs::{self, Stat};
use super::{identity, process, spawner};

/// Between two looks. Whatever lives that long below this process is known when it has ended.
const PERIOD: Duration = Duration::from_millis(100);
/// Looks that the end of the root takes at most, until nothing adopted is left.
const LAST_LOOKS: u32 = 20;

/// A process, whatever becomes of its pid.
type Name = (u32, u64);

/// Adopts and reaps for as long as it is held.
#[derive(Debug)]
pub(crate) struct Adopter {
    shared: Arc<Shared>,
}

/// Whether this process adopts orphans without being asked to: the first one of a container.
pub(crate) fn is_first() -> bool {
    identity::pid() == 1
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    stopping: Event,
    stopped: AtomicBool,
    done: Event,
}

impl Adopter {
    /// Makes this process the one that adopts, unless it is the first of its container and so does.
    pub(crate) fn start(tree: u128) -> io::Result<Self> {
        // Without it nothing that is adopted could be told from this program's own children.
        procfs::own_children()?;
        let was_one = rustix::process::child_subreaper()?.is_some();
        if !is_first() && !was_one {
            rustix::process::set_child_subreaper(pid(identity::pid()))?;
        }
        let shared = Arc::new(Shared::default());
        let adopter = Self { shared: shared.clone() };
        let family = Family { tree: format!("{tree:032x}"), theirs: BTreeMap::new() };
        spawner::background(watch(shared, family, was_one));
        Ok(adopter)
    }

    /// Ends and reaps what is left, and adopts no more. Bounded; cancel safe.
    pub(crate) async fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.stopping.notify(usize::MAX);
        loop {
            listener!(self.shared.done => done);
            if self.shared.stopped.load(Ordering::Acquire) {
                return;
            }
            done.await;
        }
    }
}

impl Drop for Adopter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.stopping.notify(usize::MAX);
    }
}

async fn watch(shared: Arc<Shared>, mut family: Family, was_one: bool) {
    let mut last_looks = LAST_LOOKS;
    loop {
        listener!(shared.stopping => stopping);
        let stop = shared.stop.load(Ordering::Acquire);
        let left = family.look(stop);
        tracing::trace!(
            target: "hatchery::runtime",
            known = family.theirs.len(), left,
            "has looked at what is below"
        );
        if stop {
            last_looks = last_looks.saturating_sub(1);
            if !left || last_looks == 0 {
                break;
            }
        }
        let pause = async {
            async_io::Timer::after(PERIOD / if stop { 10 } else { 1 }).await;
        };
        if stop { pause.await } else { pause.or(stopping).await }
    }
    if !is_first()
        && !was_one
        && let Err(error) = rustix::process::set_child_subreaper(None)
    {
        tracing::warn!(target: "hatchery::runtime", %error, "this process stays a subreaper");
    }
    shared.stopped.store(true, Ordering::Release);
    shared.done.notify(usize::MAX);
}

/// What is known of the processes below this one.
#[derive(Debug)]
struct Family {
    /// Which processes are of this tree: part of their environment.
    tree: String,
    /// Those that are nobody's own in this process, and the mark of the actor they come from.
    theirs: BTreeMap<Name, Option<String>>,
}

impl Family {
    /// Looks around once: reaps what is dead among the orphans, and ends those whose actor is gone, or
    /// of all actors. Says whether any of these is left.
    fn look(&mut self, all: bool) -> bool {
        let mut now = Look::default();
        let mut orphans = Vec::new();
        for child in procfs::own_children().unwrap_or_default() {
            let Some(stat) = procfs::stat(child) else { continue };
            if process::is_known(child) {
                now.note_actor(self.mark(child));
            } else {
                let known = self.theirs.contains_key(&(child, stat.started));
                if known || (!stat.is_zombie() && self.mark(child).is_some()) {
                    self.note(child, &stat, &mut now);
                    orphans.push((child, stat));
                }
            }
            self.note_below(child, &mut now);
        }
        if is_first() {
            self.note_strangers(&mut now);
        }
        self.theirs.retain(|name, _| now.seen.contains(name));
        let mut left = false;
        for (child, stat) in orphans {
            let mark = self.theirs.get(&(child, stat.started)).cloned().flatten();
            if stat.is_zombie() {
                reap(child);
            } else if mark.is_some_and(|mark| all || !now.actors.contains(&mark)) {
                left = true;
                end(child, &stat);
            }
        }
        left
    }

    /// Notes the descendants of `of`, which all have another parent than this process.
    fn note_below(&mut self, of: u32, now: &mut Look) {
        let mut above = vec![of];
        while let Some(parent) = above.pop() {
            for pid in procfs::children(parent) {
                if let Some(stat) = procfs::stat(pid) {
                    self.note(pid, &stat, now);
                    above.push(pid);
                }
            }
        }
    }

    /// In a container, what was started in it from outside comes to us as well.
    fn note_strangers(&mut self, now: &mut Look) {
        for pid in procfs::all() {
            if let Some(stat) = procfs::stat(pid)
                && stat.parent != identity::pid()
                && !now.seen.contains(&(pid, stat.started))
            {
                self.note(pid, &stat, now);
            }
        }
    }

    fn note(&mut self, pid: u32, stat: &Stat, now: &mut Look) {
        let name = (pid, stat.started);
        now.seen.insert(name);
        // A process may exec after it was forked, and then be an actor.
        let known = self.theirs.get(&name).cloned().flatten();
        let mark = if stat.is_zombie() { known } else { self.mark(pid).or(known) };
        if !stat.is_zombie() && procfs::is_actor(pid) {
            now.note_actor(mark.clone());
        }
        self.theirs.insert(name, mark);
    }

    /// The mark of the actor of this tree that a process comes from, or is.
    fn mark(&self, pid: u32) -> Option<String> {
        let of = |variable| procfs::variable(pid, variable);
        if of(TREE_VARIABLE)? == self.tree { of(MARKER_VARIABLE) } else { None }
    }
}

/// What one look has found.
#[derive(Debug, Default)]
struct Look {
    seen: BTreeSet<Name>,
    /// The marks of the actors that live.
    actors: BTreeSet<String>,
}

impl Look {
    fn note_actor(&mut self, mark: Option<String>) {
        self.actors.extend(mark);
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn reap(child: u32) {
    let _ = rustix::process::waitpid(pid(child), WaitOptions::NOHANG);
}

/// Ends a process that is still the one that was looked at.
fn end(child: u32, seen: &Stat) {
    let Some(Ok(descriptor)) =
        pid(child).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()))
    else {
        return;
    };
    if procfs::stat(child).is_some_and(|now| now.started == seen.started) {
        tracing::info!(
            target: "hatchery::runtime",
            pid = child,
            "a process that an actor left behind is ended"
        );
        let _ = rustix::process::pidfd_send_signal(&descriptor, Signal::KILL);
    }
}

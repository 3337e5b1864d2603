//! Who waits for a name, and who watches one. They are kept apart from the book: to wait enters
//! nobody into it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;

use super::{WaiterId, WatchId, Watched};
use crate::id::LinkId;

#[derive(Clone, Debug)]
struct Waiter {
    link: LinkId,
    name: String,
}

/// Those that wait for a name. The first that came is answered first.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    waiters: BTreeMap<WaiterId, Waiter>,
    names: BTreeMap<String, BTreeSet<WaiterId>>,
    links: BTreeSet<(LinkId, WaiterId)>,
    /// Somebody has registered since they were last looked at.
    due: BTreeSet<WaiterId>,
    next: u64,
}

impl Waits {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn count_of(&self, link: LinkId) -> usize {
        self.of(link).count()
    }

    pub(super) fn add(&mut self, link: LinkId, name: &str) -> WaiterId {
        let id = WaiterId(self.next);
        self.next = self.next.saturating_add(1);
        self.waiters.insert(id, Waiter { link, name: name.into() });
        self.names.entry(name.into()).or_default().insert(id);
        self.links.insert((link, id));
        self.due.insert(id);
        id
    }

    pub(super) fn remove(&mut self, id: WaiterId) -> bool {
        let Some(waiter) = self.waiters.remove(&id) else { return false };
        self.links.remove(&(waiter.link, id));
        self.due.remove(&id);
        if let Some(same) = self.names.get_mut(&waiter.name) {
            same.remove(&id);
            if same.is_empty() {
                self.names.remove(&waiter.name);
            }
        }
        true
    }

    pub(super) fn remove_of(&mut self, link: LinkId) {
        while let Some(id) = { self.of(link).next() } {
            self.remove(id);
        }
    }

    /// All that wait for this name are to be looked at.
    pub(super) fn wake(&mut self, name: &str) {
        if let Some(same) = self.names.get(name) {
            self.due.extend(same);
        }
    }

    /// One that is to be looked at, and the name it waits for.
    pub(super) fn next_due(&mut self) -> Option<(WaiterId, &str)> {
        let id = self.due.pop_first()?;
        Some((id, &self.waiters.get(&id)?.name))
    }

    fn of(&self, link: LinkId) -> impl Iterator<Item = WaiterId> {
        let ids = (link, WaiterId(u64::MIN))..=(link, WaiterId(u64::MAX));
        self.links.range(ids).map(|(_, id)| *id)
    }
}

#[derive(Clone, Debug)]
struct Watch {
    link: LinkId,
    of: Watched,
    /// Whose entries have changed, each once, whatever has become of them.
    touched: VecDeque<u128>,
    /// There were too many of them to be kept.
    has_missed: bool,
}

/// What is next for a watcher.
pub(super) enum Next {
    Missed,
    Touched(u128),
}

/// Those that watch one name, or all.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    watches: BTreeMap<WatchId, Watch>,
    names: BTreeMap<Watched, BTreeSet<WatchId>>,
    links: BTreeSet<(LinkId, WatchId)>,
    /// They have something since they last had nothing, and nobody was told yet.
    ready: BTreeSet<WatchId>,
    next: u64,
}

impl Watches {
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    pub(super) fn count_of(&self, link: LinkId) -> usize {
        self.of(link).count()
    }

    pub(super) fn add(&mut self, link: LinkId, of: Watched) -> WatchId {
        let id = WatchId(self.next);
        self.next = self.next.saturating_add(1);
        self.names.entry(of.clone()).or_default().insert(id);
        self.links.insert((link, id));
        self.watches.insert(id, Watch { link, of, touched: VecDeque::new(), has_missed: false });
        id
    }

    pub(super) fn remove(&mut self, id: WatchId) -> bool {
        let Some(watch) = self.watches.remove(&id) else { return false };
        self.links.remove(&(watch.link, id));
        self.ready.remove(&id);
        if let Some(same) = self.names.get_mut(&watch.of) {
            same.remove(&id);
            if same.is_empty() {
                self.names.remove(&watch.of);
            }
        }
        true
    }

    pub(super) fn remove_of(&mut self, link: LinkId) {
        while let Some(id) = { self.of(link).next() } {
            self.remove(id);
        }
    }

    /// The entry of an actor has changed that has, or had, this name.
    pub(super) fn touch(&mut self, name: String, uuid: u128, most: usize) {
        for of in [Watched::All, Watched::Name(name)] {
            for id in self.names.get(&of).into_iter().flatten() {
                let Some(watch) = self.watches.get_mut(id) else { continue };
                if watch.has_missed || watch.touched.contains(&uuid) {
                    continue;
                }
                if watch.touched.is_empty() {
                    self.ready.insert(*id);
                }
                if watch.touched.len() < most {
                    watch.touched.push_back(uuid);
                } else {
                    watch.touched = VecDeque::new();
                    watch.has_missed = true;
                }
            }
        }
    }

    pub(super) fn next_ready(&mut self) -> Option<WatchId> {
        self.ready.pop_first()
    }

    pub(super) fn next_of(&mut self, id: WatchId) -> Option<(&Watched, Next)> {
        let watch = self.watches.get_mut(&id)?;
        let next = if core::mem::take(&mut watch.has_missed) {
            Next::Missed
        } else {
            Next::Touched(watch.touched.pop_front()?)
        };
        if watch.touched.is_empty() {
            self.ready.remove(&id);
        }
        Some((&watch.of, next))
    }

    fn of(&self, link: LinkId) -> impl Iterator<Item = WatchId> {
        let ids = (link, WatchId(u64::MIN))..=(link, WatchId(u64::MAX));
        self.links.range(ids).map(|(_, id)| *id)
    }
}

//! Who waits for a peer. No wait makes an entry in the table of links, and none leaves anything.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{WaiterId, Woken};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum For {
    Up,
    Gone,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    waiting: BTreeMap<WaiterId, (u128, For)>,
    peers: BTreeSet<(u128, For, WaiterId)>,
    woken: BTreeMap<WaiterId, Woken>,
    next: u64,
}

impl Waits {
    /// Those that wait, or were woken and not told yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.woken.len())
    }

    /// Waits for something of the peer; not at all where the answer is known.
    pub(super) fn add(&mut self, uuid: u128, what: For, answer: Option<Woken>) -> WaiterId {
        let id = WaiterId(self.next);
        self.next = self.next.saturating_add(1);
        match answer {
            Some(answer) => drop(self.woken.insert(id, answer)),
            None => {
                self.waiting.insert(id, (uuid, what));
                self.peers.insert((uuid, what, id));
            }
        }
        id
    }

    pub(super) fn cancel(&mut self, id: WaiterId) -> bool {
        let Some((uuid, what)) = self.waiting.remove(&id) else {
            return self.woken.remove(&id).is_some();
        };
        self.peers.remove(&(uuid, what, id));
        true
    }

    pub(super) fn wake(&mut self, uuid: u128, what: For, answer: &Woken) {
        let ids = (uuid, what, WaiterId(u64::MIN))..=(uuid, what, WaiterId(u64::MAX));
        let ids: Vec<_> = self.peers.range(ids).copied().collect();
        for key in ids {
            self.peers.remove(&key);
            self.waiting.remove(&key.2);
            self.woken.insert(key.2, answer.clone());
        }
    }

    /// The first that was woken, of those that waited longest.
    pub(super) fn next(&mut self) -> Option<(WaiterId, Woken)> {
        self.woken.pop_first()
    }
}

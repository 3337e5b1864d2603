//! Fan-out: one stream's values for several tasks of this actor, each of which gets all of them.
//!
//! No task of its own and no reader in charge: whoever looks for a value and finds none kept takes
//! the next one off the link for everybody. So nobody waits for another's task, and a receive that is
//! dropped has nothing to hand over. Values are kept encoded, so that no code of the user's runs
//! under the lock.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use hatchery_proto::{Capacity, Passed};

use crate::dialog::{Dialog, Received};
use crate::driver::link::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::intake::decoded;
use crate::stream::RecvHalf;

/// One of several readers of a stream, from [`RecvHalf::subscribe`]: each gets every value that
/// arrives while it is there.
///
/// The fastest sets the pace: it never waits for another. One that falls behind by more than the
/// window is told so once, with [`ErrorKind::Lagged`](crate::ErrorKind::Lagged), and goes on with the
/// oldest value that is kept. Dropping one leaves the others as they are; with the last, the peer is
/// told that nobody reads. While nobody receives, nothing is taken off the link, and the sender waits
/// as for any reader (P-W1).
#[must_use = "dropping the last subscriber tells the peer that nobody reads"]
pub struct Subscriber<Rx> {
    shared: Arc<Shared<Rx>>,
    place: u64,
    skips: bool,
    pending: Option<Receiving>,
    ended: bool,
}

/// A receive that was begun by `poll_next` and has not ended yet.
type Receiving = Pin<Box<dyn Future<Output = Result<Next>> + Send + Sync>>;

/// The stream, and what is kept of it.
struct Shared<Rx> {
    half: RecvHalf<Rx>,
    ring: Arc<Mutex<Ring>>,
}

/// What comes next for one reader.
enum Next {
    /// With what came with it, and its number.
    Value((Arc<[u8]>, Passed), u64),
    Lagged(u64),
    End,
}

/// Values that at least one reader has not had yet, oldest first.
struct Ring {
    kept: VecDeque<Kept>,
    /// The number of the first that is kept, or else of the next to come.
    first: u64,
    bytes: usize,
    window: Capacity,
    readers: BTreeMap<u64, Reader>,
    /// The next reader's name.
    name: u64,
    buffer: Vec<u8>,
    /// What came with what is in it.
    passed: Passed,
}

struct Kept {
    value: Arc<[u8]>,
    /// One for each reader: those of one are duplicates of another's once both own theirs.
    passed: Passed,
    /// Readers that are still to have it. Never fewer than of the one before.
    wanted: usize,
}

struct Reader {
    /// The number of the value that it is to have next.
    next: u64,
    lagged: u64,
}

impl Ring {
    fn new(window: Capacity) -> Self {
        Self {
            kept: VecDeque::new(),
            first: 0,
            bytes: 0,
            window,
            readers: BTreeMap::new(),
            name: 0,
            buffer: Vec::new(),
            passed: Passed::NONE,
        }
    }

    /// A reader of what comes from now on.
    fn join(&mut self) -> u64 {
        let next = self.first + self.kept.len() as u64;
        let name = self.name;
        self.name += 1;
        self.readers.insert(name, Reader { next, lagged: 0 });
        name
    }

    fn leave(&mut self, name: u64) {
        let Some(reader) = self.readers.remove(&name) else { return };
        let had = usize::try_from(reader.next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.iter_mut().skip(had).for_each(|kept| kept.wanted -= 1);
        while self.kept.front().is_some_and(|kept| kept.wanted == 0) {
            self.drop_first();
        }
    }

    /// The next for this reader, of what is kept.
    fn take(&mut self, name: u64) -> Option<Next> {
        let reader = self.readers.get_mut(&name)?;
        let Some(place) = reader.next.checked_sub(self.first) else {
            let missed = self.first - reader.next;
            reader.next = self.first;
            reader.lagged += missed;
            return Some(Next::Lagged(missed));
        };
        let kept = self.kept.get_mut(usize::try_from(place).ok()?)?;
        reader.next += 1;
        let number = reader.next;
        kept.wanted -= 1;
        let value = (kept.value.clone(), kept.passed.clone());
        if kept.wanted == 0 {
            self.drop_first();
        }
        Some(Next::Value(value, number))
    }

    /// Keeps what is in the buffer for every reader, and no more than the window in all.
    fn keep(&mut self) {
        let value: Arc<[u8]> = self.buffer.as_slice().into();
        self.bytes += value.len();
        let passed = mem::take(&mut self.passed);
        self.kept.push_back(Kept { value, passed, wanted: self.readers.len() });
        while self.window.is_exceeded(self.kept.len(), self.bytes) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.bytes -= kept.value.len();
            self.first += 1;
        }
    }

    /// The next for this reader: of what is kept, or else off the link.
    fn next(&mut self, name: u64, dialog: &Dialog) -> Option<Result<Next>> {
        if let Some(next) = self.take(name) {
            return Some(Ok(next));
        }
        match dialog.received(&mut self.buffer)? {
            Ok(Received::Value(passed)) => {
                self.passed = passed;
                self.keep();
                self.take(name).map(Ok)
            }
            Ok(Received::End) => Some(Ok(Next::End)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Waits for what comes next for one reader.
///
/// Each waits for the dialog's own events, not for another reader: a value that one of them takes off
/// the link has woken the others as well.
async fn next(ring: Arc<Mutex<Ring>>, dialog: Arc<Dialog>, name: u64) -> Result<Next> {
    dialog.wait_told(|| lock(&ring).next(name, &dialog)).await
}

impl<Rx> Subscriber<Rx> {
    pub(crate) fn first(half: RecvHalf<Rx>, window: Capacity) -> Self {
        let ring = Arc::new(Mutex::new(Ring::new(window)));
        Self::of(Arc::new(Shared { half, ring }))
    }

    fn of(shared: Arc<Shared<Rx>>) -> Self {
        let place = lock(&shared.ring).join();
        Self { shared, place, skips: false, pending: None, ended: false }
    }

    /// Another reader, which gets what arrives from now on.
    pub fn subscribe(&self) -> Self {
        Self::of(self.shared.clone())
    }

    /// Has this reader go on in silence where it falls behind: lag is logged, not returned.
    pub fn skip_lag(mut self) -> Self {
        self.skips = true;
        self
    }

    /// How many values this reader has missed so far.
    pub fn lagged(&self) -> u64 {
        lock(&self.shared.ring).readers.get(&self.place).map_or(0, |reader| reader.lagged)
    }

    fn waiting(&self) -> impl Future<Output = Result<Next>> + Send + Sync + 'static {
        next(self.shared.ring.clone(), self.shared.half.dialog().clone(), self.place)
    }
}

impl<Rx> Subscriber<Rx> {
    /// Receives the next value; `None` after a graceful end, for every reader and for ever.
    ///
    /// # Errors
    /// `Lagged` where values were dropped before this reader came to them: the next receive gives the
    /// oldest that is kept. Else as [`RecvHalf::recv`].
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has taken nothing from this reader, and nobody waits for it.
    pub async fn recv(&mut self) -> Result<Option<Rx>> {
        loop {
            let next = match &mut self.pending {
                Some(pending) => pending.as_mut().await,
                None => self.waiting().await,
            };
            self.pending = None;
            if let Some(received) = self.look_at(next?) {
                return received;
            }
        }
    }

    /// What the user gets of it, if anything.
    fn look_at(&self, next: Next) -> Option<Result<Option<Rx>>> {
        let dialog = self.shared.half.dialog();
        match next {
            Next::Value((bytes, passed), number) => {
                let take = self.shared.half.take();
                Some(decoded(dialog, number, &bytes, &passed, take).map(Some))
            }
            Next::End => Some(Ok(None)),
            Next::Lagged(missed) if self.skips => {
                let (task, actor) = (&dialog.task, &dialog.peer);
                tracing::warn!(
                    target: "hatchery::runtime",
                    %task, %actor, missed,
                    "a reader of a stream fell behind"
                );
                None
            }
            Next::Lagged(missed) => Some(Err(Error::lagged(&dialog.peer, &dialog.task, missed))),
        }
    }
}

impl<Rx> Stream for Subscriber<Rx> {
    type Item = Result<Rx>;

    /// As `recv`; an error other than `Lagged` ends the stream.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.ended {
            let pending = match &mut self.pending {
                Some(pending) => pending,
                None => {
                    let waiting = self.waiting();
                    self.pending.insert(Box::pin(waiting))
                }
            };
            let next = std::task::ready!(pending.as_mut().poll(cx));
            self.pending = None;
            match next.map(|next| self.look_at(next)) {
                Ok(None) => {}
                Ok(Some(Ok(Some(value)))) => return Poll::Ready(Some(Ok(value))),
                Ok(Some(Err(error))) => {
                    self.ended = !matches!(error.kind(), ErrorKind::Lagged(_));
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(Some(Ok(None))) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }
}

// Nothing in it is pinned in place: what waits is in a box.
impl<Rx> Unpin for Subscriber<Rx> {}

impl<Rx> Clone for Subscriber<Rx> {
    /// As [`subscribe`](Self::subscribe): the clone gets what arrives from now on.
    fn clone(&self) -> Self {
        self.subscribe()
    }
}

impl<Rx> Drop for Subscriber<Rx> {
    fn drop(&mut self) {
        self.pending = None;
        lock(&self.shared.ring).leave(self.place);
    }
}

impl<Rx> fmt::Debug for Subscriber<Rx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.shared.half.dialog().id;
        f.debug_struct("Subscriber").field("dialog", &id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(ring: &mut Ring, value: u8) {
        ring.buffer = vec![value; 10];
        ring.keep();
    }

    fn had(ring: &mut Ring, name: u64) -> Vec<u8> {
        let next = || match ring.take(name) {
            Some(Next::Value((value, _), _)) => value.first().copied(),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn brd_02_what_nobody_is_to_have_any_more_is_not_kept() {
        let mut ring = Ring::new(Capacity::default());
        let [fast, slow, gone] = [(); 3].map(|()| ring.join());
        (0..4).for_each(|value| keep(&mut ring, value));
        assert_eq!(had(&mut ring, fast), [0, 1, 2, 3]);
        assert!(matches!(ring.take(slow), Some(Next::Value(..))));
        assert_eq!((ring.kept.len(), ring.bytes), (4, 40), "one has had none of them");
        ring.leave(gone);
        assert_eq!((ring.kept.len(), ring.bytes), (3, 30));
        assert_eq!(had(&mut ring, slow), [1, 2, 3]);
        assert_eq!((ring.kept.len(), ring.bytes), (0, 0));
        keep(&mut ring, 4);
        ring.leave(slow);
        assert_eq!(had(&mut ring, fast), [4]);
        keep(&mut ring, 5);
        ring.leave(fast);
        assert_eq!((ring.kept.len(), ring.bytes), (0, 0));
    }
}

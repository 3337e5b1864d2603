//! Dialog 0 between peers: either may ask the other's actor to end, where both are of one tree (P-L2).
//! Each direction is a pair of its own; what the actor does about it is decided elsewhere.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::clock::BEYOND_GRACE;
use super::finish::fit_cancelled;
use super::outbox::Outbox;
use super::receive::Judged;
use super::transmit::put;
use super::{Connection, Event, GoodbyeReason, LinkKind, Phase};
use crate::dialog::MAX_CANCELS;
use crate::error::Misuse;
use crate::id::DialogId;
use crate::report::CancelRequest;
use crate::time::Instant;
use crate::wire::{Tag, body};

/// Who has asked whom to end, on one link.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Ends {
    /// The tree that we are of, and that the peer says it is.
    ours: Option<u128>,
    theirs: Option<u128>,
    /// What the peer has asked for: the first canceller and cause, the shortest grace.
    asked: Option<Box<Request>>,
    /// Its `CancelAck` is to be written.
    pub(super) ack: bool,
    /// What we have.
    wanted: Option<Box<Wanted>>,
}

/// What we have asked for, and what came of it.
#[derive(Clone, Debug, Hash)]
struct Wanted {
    request: Request,
    /// A `Cancel` is to be written, once the last was answered.
    unsaid: bool,
    /// One that was written may still be answered.
    unanswered: bool,
    acked: bool,
    said: u8,
    /// Until when its asker waits (P-C1).
    wait: Option<Instant>,
}

/// A request, of which a digest takes what decides something.
#[derive(Clone, Debug)]
struct Request(CancelRequest);

impl core::hash::Hash for Request {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.0.grace, self.0.by.canceller.uuid).hash(state);
    }
}

impl Connection {
    /// The same for an actor of this tree: its peers that are of it, too, may ask it to end (P-L2). To
    /// be said before anything is written. Who belongs to a tree is shown by whatever let the peer in;
    /// here it is only compared.
    #[must_use]
    pub fn of_tree(mut self, tree: u128) -> Self {
        self.ends.ours = Some(tree);
        let hello = self.hello();
        self.out = Outbox::greeting(&hello);
        self
    }

    /// The tree that we say we are of.
    pub(super) const fn tree(&self) -> Option<u128> {
        self.ends.ours
    }

    /// The tree that the peer has said it is of.
    #[must_use]
    pub const fn peer_tree(&self) -> Option<u128> {
        self.ends.theirs
    }

    /// The peer says that it is of this one.
    pub(super) const fn peer_is_of(&mut self, tree: Option<u128>) {
        self.ends.theirs = tree;
    }

    /// Whether each end of this link may ask the other's actor to end.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        let Ends { ours, theirs, .. } = &self.ends;
        self.config.kind == LinkKind::Peer && ours.is_some() && ours == theirs
    }

    /// Asks the peer's actor to end. Again: the grace may get shorter (P-C1).
    ///
    /// It has ended when the link does. [`Event::CancelAcked`] of dialog 0 says that it has heard,
    /// [`Event::Finished`] of it that it took longer than the grace and half a second more.
    ///
    /// # Errors
    /// `NotGranted` where the two are not of one tree, `LinkGone`, and `Closing` where this side has
    /// said `Goodbye`.
    pub fn cancel_peer(&mut self, now: Instant, request: CancelRequest) -> Result<(), Misuse> {
        if self.phase != Phase::Open || self.eof {
            return Err(Misuse::LinkGone);
        }
        if !self.is_granted() {
            return Err(Misuse::NotGranted);
        }
        if self.goodbye_sent {
            return Err(Misuse::Closing);
        }
        let until = self.apart.clock.at(now) + request.grace.saturating_add(BEYOND_GRACE);
        let Some(known) = &mut self.ends.wanted else {
            self.ends.wanted = Some(Box::new(Wanted {
                request: Request(request),
                unsaid: true,
                unanswered: false,
                acked: false,
                said: 0,
                wait: Some(until),
            }));
            return Ok(());
        };
        if request.grace < known.request.0.grace {
            known.request.0.grace = request.grace;
            known.wait = known.wait.map(|wait| wait.min(until));
            known.unsaid = known.said < MAX_CANCELS;
        }
        Ok(())
    }

    /// What the peer asks this actor, if it wants it to end: the first canceller and cause, the
    /// shortest grace.
    #[must_use]
    pub fn asked_by_peer(&self) -> Option<&CancelRequest> {
        self.ends.asked.as_ref().map(|asked| &asked.0)
    }

    /// Whether this side has asked the peer's actor to end, and whether that has said that it heard.
    #[must_use]
    pub fn peer_cancelled(&self) -> Option<bool> {
        self.ends.wanted.as_ref().map(|wanted| wanted.acked)
    }

    /// Until when that is waited for.
    pub(super) fn peer_wait(&self) -> Option<Instant> {
        self.ends.wanted.as_ref().and_then(|wanted| wanted.wait)
    }

    /// It took longer (P-C1).
    pub(super) fn peer_is_late(&mut self) {
        if let Some(wanted) = &mut self.ends.wanted {
            wanted.wait = None;
            self.events.push_back(Event::Finished(DialogId::ACTOR));
        }
    }

    /// Whether something of it is to be written.
    #[inline]
    pub(super) fn wants_ends(&self) -> bool {
        self.ends.ack || self.ends.wanted.as_ref().is_some_and(|wanted| wanted.is_due())
    }

    /// Writes the next of it.
    pub(super) fn transmit_ends(&mut self, out: &mut Vec<u8>) {
        let id = DialogId::ACTOR;
        if core::mem::take(&mut self.ends.ack) {
            put(&mut self.recorder, out, Tag::CancelAck, id, 0, |_| ());
            return;
        }
        let room = self.chunk().saturating_sub(16);
        let Some(wanted) = self.ends.wanted.as_mut().filter(|wanted| wanted.is_due()) else {
            return;
        };
        (wanted.unsaid, wanted.unanswered) = (false, true);
        wanted.said = wanted.said.saturating_add(1);
        let mut request = wanted.request.0.clone();
        fit_cancelled(&mut request.by, &self.config.limits, room);
        put(&mut self.recorder, out, Tag::Cancel, id, 0, |out| {
            body::put(out, &request);
        });
    }

    /// Dialog 0 of a link between peers.
    pub(super) fn on_peer_actor(&mut self, now: Instant, tag: Tag, content: &[u8]) -> Judged {
        match tag {
            Tag::Cancel => {
                let request: CancelRequest = body::take(content, tag.name())?;
                if self.is_granted() {
                    return self.on_peer_cancel(request, content);
                }
                self.goodbye(now, GoodbyeReason::NotAllowed);
                self.charge_frame(content.len(), tag.name())
            }
            Tag::CancelAck => match &mut self.ends.wanted {
                Some(wanted) if wanted.unanswered => {
                    wanted.unanswered = false;
                    if !core::mem::replace(&mut wanted.acked, true) {
                        self.events.push_back(Event::CancelAcked(DialogId::ACTOR));
                    }
                    Ok(())
                }
                _ => Err(self.violation(tag, "P-L2", "nothing of this end's is to be answered")),
            },
            _ => Err(self.violation(tag, "P-L2", "dialog 0 does not know it here")),
        }
    }

    fn on_peer_cancel(&mut self, request: CancelRequest, content: &[u8]) -> Judged {
        self.ends.ack = true;
        let news = match &mut self.ends.asked {
            None => {
                self.ends.asked = Some(Box::new(Request(request)));
                true
            }
            Some(known) => {
                let shorter = request.grace < known.0.grace;
                known.0.grace = known.0.grace.min(request.grace);
                // The first is free, a repeat is not (P-A4).
                self.charge_frame(content.len(), Tag::Cancel.name())?;
                shorter
            }
        };
        if news {
            self.events.push_back(Event::CancelAsked(DialogId::ACTOR));
        }
        Ok(())
    }
}

impl Wanted {
    const fn is_due(&self) -> bool {
        self.unsaid && !self.unanswered
    }
}

//! One way of a link: whole frames in their order, and what a fault makes of them.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hatchery_proto::wire::body::Credit;
use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::{self, Tag};
use hatchery_proto::{DialogId, Limits, Names};

use super::{Fault, Notes};

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: Tag,
    pub(crate) id: DialogId,
    flags: u8,
    /// Bytes behind its header.
    size: usize,
    /// What it takes off its dialog's balance.
    pub(crate) cost: i64,
    /// What it gives back.
    pub(crate) credit: i64,
}

/// One way of a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    pub(crate) queue: VecDeque<Arc<Packet>>,
    /// Nothing more comes behind what is in the queue.
    pub(crate) cut: bool,
}

impl Link {
    pub(crate) fn write(&mut self, bytes: &[u8], fault: Option<Fault>, notes: &mut Notes<'_>) {
        for packet in packets(bytes).into_iter().map(Arc::new) {
            notes.say(|| packet.words());
            match fault {
                Some(Fault::Drops(tag)) if tag == packet.tag => {}
                Some(Fault::Doubles(tag)) if tag == packet.tag => {
                    self.queue.extend([packet.clone(), packet]);
                }
                Some(Fault::Hurries(tag)) if tag == packet.tag => self.queue.push_front(packet),
                _ => self.queue.push_back(packet),
            }
        }
    }

    pub(crate) fn fingerprint(&self, names: &mut Names, state: &mut impl Hasher) {
        (self.cut, self.queue.len()).hash(state);
        self.queue.iter().for_each(|packet| packet.fingerprint(names, state));
    }

    /// The same where only the order within each of these dialogs counts.
    pub(crate) fn fingerprint_apart(
        &self,
        dialogs: impl Iterator<Item = DialogId>,
        names: &mut Names,
        state: &mut impl Hasher,
    ) {
        (self.cut, self.queue.len()).hash(state);
        for dialog in dialogs {
            names.of(dialog).hash(state);
            let own = self.queue.iter().filter(|packet| packet.id == dialog);
            own.for_each(|packet| packet.fingerprint(names, state));
        }
    }

    /// Takes the next frame of this dialog.
    pub(crate) fn take(&mut self, dialog: DialogId) -> Option<Arc<Packet>> {
        let place = self.queue.iter().position(|packet| packet.id == dialog)?;
        self.queue.remove(place)
    }

    /// Whether the next frame of this dialog may come before all others: numbers are given in order,
    /// so no `Start` overtakes another (P-D1).
    pub(crate) fn may_take(&self, dialog: DialogId) -> bool {
        let Some(place) = self.queue.iter().position(|packet| packet.id == dialog) else {
            return false;
        };
        let starts = |packet: &Arc<Packet>| packet.tag == Tag::Start;
        let before = self.queue.iter().take(place).any(starts);
        !(before && self.queue.get(place).is_some_and(starts))
    }
}

/// Takes apart what a core has written.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<Packet> {
    let mut found = Vec::new();
    let mut deframer = Deframer::new(u32::MAX);
    loop {
        let before = bytes;
        let Ok(Some(frame)) = deframer.next(&mut bytes) else {
            assert!(bytes.is_empty(), "a core writes whole frames");
            return found;
        };
        let (tag, size) = (frame.tag.expect("a core writes what is known"), frame.body.len());
        let (mut cost, mut credit) = (0, 0);
        match tag {
            Tag::Yield | Tag::Started => {
                cost = i64::try_from(size).expect("small") + i64::from(Limits::FRAME_COST);
            }
            Tag::Credit => {
                let body: Credit = postcard::from_bytes(frame.body).expect("a whole body");
                credit = body.bytes.into();
            }
            _ => {}
        }
        let (id, flags) = (frame.dialog, frame.flags);
        let bytes = before[..before.len() - bytes.len()].to_vec();
        found.push(Packet { bytes, tag, id, flags, size, cost, credit });
    }
}

impl Packet {
    fn fingerprint(&self, names: &mut Names, state: &mut impl Hasher) {
        (self.tag as u8, names.of(self.id), self.flags, self.size).hash(state);
        let body = &self.bytes[self.bytes.len() - self.size..];
        let told = if self.tag.has_flags() { &body[..body.len().min(1)] } else { body };
        told.hash(state);
    }

    pub(crate) fn words(&self) -> String {
        let mut words = format!("{} of {}, {} bytes", self.tag.name(), self.id, self.size);
        if self.credit != 0 {
            words.push_str(&format!(", gives {}", self.credit));
        }
        if self.flags & wire::CONTINUED != 0 {
            words.push_str(", continued");
        }
        if self.flags & wire::MORE != 0 {
            words.push_str(", more follows");
        }
        words
    }
}

//! Who is registered: by uuid, name, address and link. Every change says whom it concerns; who is
//! told is not known here.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Cursor, Doubt, HolderId, Page, Registered};
use crate::address::Address;
use crate::id::by_name::ByName;
use crate::id::{ActorId, LinkId};

/// An actor whose entry has changed, and under which name.
pub(super) type Touched = (String, u128);

#[derive(Clone, Debug)]
struct Held {
    id: ActorId,
    /// In the order in which they were registered.
    places: Vec<Place>,
    /// The link that holds the entry, and the actor behind it.
    link: LinkId,
    by: u128,
    /// The number of the registration.
    number: u64,
}

#[derive(Clone, Debug)]
struct Place {
    address: Address,
    /// Somebody has said that nobody is there.
    is_doubted: bool,
    /// How often that was looked into.
    checks: u32,
}

impl Held {
    fn entry(&self) -> Registered {
        let mut places: Vec<_> = self.places.iter().rev().collect();
        places.sort_by_key(|place| (place.is_doubted, place.address.distance()));
        let addresses = places.into_iter().map(|place| place.address.clone()).collect();
        Registered { id: self.id.clone(), addresses }
    }

    fn place(&mut self, address: &Address) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.address == *address)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<u128, Held>,
    names: ByName,
    addresses: BTreeMap<Address, u128>,
    links: BTreeSet<(LinkId, u128)>,
    /// Addresses in doubt of which nobody was told yet.
    doubts: BTreeSet<(u128, Address)>,
    next: u64,
}

impl Book {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, uuid: u128) -> Option<Registered> {
        self.entries.get(&uuid).map(Held::entry)
    }

    pub(super) fn name_of(&self, uuid: u128) -> Option<&str> {
        self.entries.get(&uuid).map(|held| held.id.name.as_str())
    }

    pub(super) fn link_of(&self, uuid: u128) -> Option<LinkId> {
        self.entries.get(&uuid).map(|held| held.link)
    }

    /// The actors of a name, newest first.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = Registered> {
        self.names.newest(name).filter_map(|uuid| self.get(uuid))
    }

    pub(super) fn page(&self, prefix: &str, after: Option<&Cursor>, most: usize) -> Page {
        let after = after.map(|cursor| (cursor.name.as_str(), cursor.number));
        let mut found = self.names.behind(prefix, after);
        let mut page = Page { entries: Vec::new(), more: None };
        let mut last = None;
        for (name, number, uuid) in found.by_ref().take(most.max(1)) {
            page.entries.extend(self.get(uuid));
            last = Some((name, number));
        }
        if found.next().is_some() {
            page.more = last.map(|(name, number)| Cursor { name: name.into(), number });
        }
        page
    }

    /// How many entries the link holds.
    pub(super) fn count_of(&self, link: LinkId) -> usize {
        self.of(link).count()
    }

    /// Whether the actor `by` may change the entry: it is its own, or of its making (P-R2).
    pub(super) fn is_open_to(&self, by: u128, uuid: u128) -> bool {
        by == uuid || self.entries.get(&uuid).is_none_or(|held| held.by == by)
    }

    /// Enters an actor, in the place of what stood under its uuid and at its addresses.
    pub(super) fn put(
        &mut self,
        link: LinkId,
        by: u128,
        id: &ActorId,
        addresses: &[Address],
    ) -> (HolderId, Vec<Touched>) {
        let mut touched: Vec<_> = self.remove(id.uuid).into_iter().collect();
        touched.retain(|(name, _)| *name != id.name);
        let mut places: Vec<Place> = Vec::new();
        for address in addresses {
            if let Some(holder) = self.addresses.get(address).copied() {
                touched.extend(self.drop_address(holder, address));
            }
            // Given twice, it was registered last where it was given last.
            places.retain(|place| place.address != *address);
            places.push(Place { address: address.clone(), is_doubted: false, checks: 0 });
        }
        for place in &places {
            self.addresses.insert(place.address.clone(), id.uuid);
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.names.insert(&id.name, number, id.uuid);
        self.links.insert((link, id.uuid));
        self.entries.insert(id.uuid, Held { id: id.clone(), places, link, by, number });
        touched.push((id.name.clone(), id.uuid));
        (HolderId { uuid: id.uuid, number }, touched)
    }

    /// Removes the entry of this registration, and of no other.
    pub(super) fn release(&mut self, holder: HolderId) -> Option<Touched> {
        let held = self.entries.get(&holder.uuid)?;
        if held.number == holder.number { self.remove(holder.uuid) } else { None }
    }

    pub(super) fn remove(&mut self, uuid: u128) -> Option<Touched> {
        let held = self.entries.remove(&uuid)?;
        self.names.remove(&held.id.name, held.number);
        self.links.remove(&(held.link, uuid));
        for place in held.places {
            self.addresses.remove(&place.address);
            self.doubts.remove(&(uuid, place.address));
        }
        Some((held.id.name, uuid))
    }

    /// Removes what the link holds.
    pub(super) fn remove_of(&mut self, link: LinkId) -> Vec<Touched> {
        let held: Vec<_> = self.of(link).collect();
        held.into_iter().filter_map(|uuid| self.remove(uuid)).collect()
    }

    /// Removes an address, and with the last one the entry.
    pub(super) fn drop_address(&mut self, uuid: u128, address: &Address) -> Option<Touched> {
        let held = self.entries.get_mut(&uuid)?;
        held.place(address)?;
        if held.places.len() == 1 {
            return self.remove(uuid);
        }
        held.places.retain(|place| place.address != *address);
        let touched = (held.id.name.clone(), uuid);
        self.addresses.remove(address);
        self.doubts.remove(&(uuid, address.clone()));
        Some(touched)
    }

    /// Puts an address behind the others, to be looked into; no more often than `checks` times.
    pub(super) fn doubt(&mut self, uuid: u128, address: &Address, checks: u32) {
        let place = self.entries.get_mut(&uuid).and_then(|held| held.place(address));
        if let Some(place) = place.filter(|place| !place.is_doubted && place.checks < checks) {
            place.is_doubted = true;
            place.checks = place.checks.saturating_add(1);
            self.doubts.insert((uuid, address.clone()));
        }
    }

    /// What a look into a doubt has shown, unless it was about an earlier registration.
    pub(super) fn settle(&mut self, doubt: &Doubt, is_reachable: bool) -> Option<Touched> {
        let held = self.entries.get_mut(&doubt.uuid)?;
        let is_current = held.number == doubt.number;
        let place = held.place(&doubt.address).filter(|place| is_current && place.is_doubted)?;
        if is_reachable {
            place.is_doubted = false;
            self.doubts.remove(&(doubt.uuid, doubt.address.clone()));
            return None;
        }
        self.drop_address(doubt.uuid, &doubt.address)
    }

    pub(super) fn next_doubt(&mut self) -> Option<Doubt> {
        let (uuid, address) = self.doubts.pop_first()?;
        let number = self.entries.get(&uuid)?.number;
        Some(Doubt { uuid, address, number })
    }

    fn of(&self, link: LinkId) -> impl Iterator<Item = u128> {
        self.links.range((link, u128::MIN)..=(link, u128::MAX)).map(|(_, uuid)| *uuid)
    }
}

//! The registrar against a naive model of it: rows in a list, and every answer looked up anew. Any
//! calls in any order come to the same in both, and when all links are gone nothing is left (P-R1 to
//! P-R6).

use std::collections::BTreeSet;

use hatchery_proto::registrar::{
    Bounds, Change, Doubt, HolderId, Refused, Registered, Registrar, WaiterId, WatchId, Watched,
};
use hatchery_proto::{ActorId, Address, LinkId};

use super::{Script, bare};

const NAMES: [&str; 6] = ["a", "ab", "b", "abcd", "", "abcde"];
const LINKS: u64 = 4;

/// So small that short inputs reach every one of them.
pub(super) const BOUNDS: Bounds = Bounds {
    name: 4,
    addresses: 3,
    entries: 4,
    entries_per_link: 2,
    answer: 2,
    waiters: 4,
    waiters_per_link: 2,
    watches: 3,
    watches_per_link: 2,
    changes: 2,
    checks: 2,
};

#[derive(Clone, Debug)]
struct Place {
    address: Address,
    is_doubted: bool,
    is_told: bool,
    checks: u32,
}

#[derive(Clone, Debug)]
struct Row {
    id: ActorId,
    places: Vec<Place>,
    link: LinkId,
    by: u128,
    number: usize,
}

/// An actor, its registration, and how many addresses it has.
type Seen = (u128, usize, usize);

impl Row {
    fn entry(&self) -> Registered {
        let mut rest: Vec<_> = self.places.iter().rev().collect();
        rest.sort_by_key(|place| place.address.distance());
        rest.sort_by_key(|place| place.is_doubted);
        let addresses = rest.into_iter().map(|place| place.address.clone()).collect();
        Registered { id: self.id.clone(), addresses }
    }

    /// What of it a watcher is told of when it changes.
    fn visible(&self) -> Seen {
        (self.id.uuid, self.number, self.places.len())
    }
}

#[derive(Debug)]
struct Watch {
    id: WatchId,
    link: LinkId,
    of: Watched,
    changed: BTreeSet<u128>,
    has_missed: bool,
    is_ready: bool,
}

/// What a registrar should come to.
#[derive(Debug, Default)]
struct Model {
    links: Vec<(LinkId, u128)>,
    /// In the order in which they were registered.
    rows: Vec<Row>,
    waiters: Vec<(WaiterId, LinkId, String)>,
    watches: Vec<Watch>,
    registrations: usize,
}

impl Model {
    fn speaker(&self, link: LinkId) -> Option<u128> {
        self.links.iter().find(|(known, _)| *known == link).map(|(_, uuid)| *uuid)
    }

    fn row(&mut self, uuid: u128) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.id.uuid == uuid)
    }

    fn is_of(&mut self, by: u128, uuid: u128) -> bool {
        by == uuid || self.row(uuid).is_none_or(|row| row.by == by)
    }

    fn drop_address(&mut self, uuid: u128, address: &Address) {
        if let Some(row) = self.row(uuid) {
            row.places.retain(|place| place.address != *address);
        }
        self.rows.retain(|row| !row.places.is_empty());
    }

    fn register(&mut self, link: LinkId, id: &ActorId, addresses: &[Address]) -> Option<Refused> {
        let Some(by) = self.speaker(link) else { return Some(Refused::NotLinked) };
        if let Some(refused) = name_refused(&id.name) {
            return Some(refused);
        }
        if addresses.is_empty() {
            return Some(Refused::NoAddress);
        }
        if addresses.len() > BOUNDS.addresses {
            let (count, max) = (addresses.len(), BOUNDS.addresses);
            return Some(Refused::TooManyAddresses { count, max });
        }
        if !self.is_of(by, id.uuid) {
            return Some(Refused::NotYours);
        }
        let holder = self.row(id.uuid).map(|row| row.link);
        if holder.is_none() && self.rows.len() >= BOUNDS.entries {
            return Some(Refused::TooManyEntries { max: BOUNDS.entries });
        }
        let held = self.rows.iter().filter(|row| row.link == link).count();
        if holder != Some(link) && held >= BOUNDS.entries_per_link {
            return Some(Refused::TooManyOfLink { max: BOUNDS.entries_per_link });
        }
        self.rows.retain(|row| row.id.uuid != id.uuid);
        let mut places: Vec<Place> = Vec::new();
        for address in addresses {
            for uuid in 0..=u128::from(LINKS) * 2 {
                self.drop_address(uuid, address);
            }
            places.retain(|place| place.address != *address);
            let address = address.clone();
            places.push(Place { address, is_doubted: false, is_told: false, checks: 0 });
        }
        let number = self.registrations;
        self.registrations += 1;
        self.rows.push(Row { id: id.clone(), places, link, by, number });
        None
    }

    fn doubt(&mut self, link: LinkId, uuid: u128, address: &Address) {
        let Some(by) = self.speaker(link) else { return };
        if self.row(uuid).is_some_and(|row| row.link == LinkId::OWN) {
            return;
        }
        if self.is_of(by, uuid) {
            return self.drop_address(uuid, address);
        }
        let Some(row) = self.row(uuid) else { return };
        for place in row.places.iter_mut().filter(|place| place.address == *address) {
            if !place.is_doubted && place.checks < BOUNDS.checks {
                (place.is_doubted, place.is_told) = (true, false);
                place.checks += 1;
            }
        }
    }

    fn settle(&mut self, number: usize, doubt: &Doubt, is_reachable: bool) {
        let Some(row) = self.row(doubt.uuid).filter(|row| row.number == number) else { return };
        let mut places = row.places.iter_mut();
        let place = places.find(|place| place.address == doubt.address && place.is_doubted);
        match place {
            Some(place) if is_reachable => place.is_doubted = false,
            Some(_) => self.drop_address(doubt.uuid, &doubt.address),
            None => {}
        }
    }

    fn gone(&mut self, link: LinkId) {
        self.links.retain(|(known, _)| *known != link || link == LinkId::OWN);
        self.rows.retain(|row| row.link != link);
        self.waiters.retain(|(_, held, _)| *held != link);
        self.watches.retain(|watch| watch.link != link);
    }

    /// What each watch can see.
    fn visible(&self, of: &Watched) -> Vec<Seen> {
        let is_seen = |row: &&Row| match of {
            Watched::All => true,
            Watched::Name(name) => row.id.name == *name,
        };
        self.rows.iter().filter(is_seen).map(Row::visible).collect()
    }

    /// Tells every watch what differs from before.
    fn tell(&mut self, before: &[(WatchId, Vec<Seen>)]) {
        let after: Vec<_> = self.watches.iter().map(|watch| self.visible(&watch.of)).collect();
        for (watch, after) in self.watches.iter_mut().zip(after) {
            let Some((_, seen)) = before.iter().find(|(id, _)| *id == watch.id) else { continue };
            let differs = seen.iter().filter(|one| !after.contains(one));
            let differs = differs.chain(after.iter().filter(|one| !seen.contains(one)));
            for (uuid, _, _) in differs {
                if !watch.has_missed {
                    watch.is_ready |= watch.changed.is_empty();
                    watch.changed.insert(*uuid);
                }
                if watch.changed.len() > BOUNDS.changes {
                    watch.changed.clear();
                    watch.has_missed = true;
                }
            }
        }
    }
}

fn name_refused(name: &str) -> Option<Refused> {
    match name.len() {
        0 => Some(Refused::NoName),
        1..=4 => None,
        size => Some(Refused::NameTooLong { size, max: 4 }),
    }
}

/// One registrar, its model, and what was handed out.
#[derive(Debug)]
struct Run {
    registrar: Registrar,
    model: Model,
    waiters: Vec<WaiterId>,
    watches: Vec<WatchId>,
    /// What holds an entry, or has, and the number of its row.
    holders: Vec<(HolderId, usize)>,
    doubts: Vec<(Doubt, usize)>,
}

/// Each byte is a call or an argument of one.
///
/// # Panics
/// Panics where the registrar and its model differ, or something is left in the end.
pub fn registrar_against(bytes: &[u8]) {
    let mut script = Script(bytes);
    let me = super::actor(0);
    let mut run = Run {
        registrar: Registrar::new(&me, BOUNDS),
        model: Model { links: vec![(LinkId::OWN, 0)], ..Model::default() },
        waiters: Vec::new(),
        watches: Vec::new(),
        holders: Vec::new(),
        doubts: Vec::new(),
    };
    let fresh = bare(&run.registrar);
    while !script.0.is_empty() {
        let seen = |watch: &Watch| (watch.id, run.model.visible(&watch.of));
        let before: Vec<_> = run.model.watches.iter().map(seen).collect();
        run.call(&mut script);
        run.hear_who_is_gone();
        run.model.tell(&before);
        run.compare();
    }
    for link in 0..LINKS {
        run.registrar.handle_link_gone(LinkId::new(link));
        run.hear_who_is_gone();
    }
    run.model = Model::default();
    run.doubts.clear();
    run.compare();
    assert_eq!(run.registrar.links(), 0);
    assert_eq!(run.registrar.poll_doubt(), None, "a doubt about nobody");
    assert_eq!(run.registrar.poll_watch(), None);
    assert_eq!(bare(&run.registrar), fresh, "something is left");
}

impl Run {
    /// Of whom it is said, is gone.
    fn hear_who_is_gone(&mut self) {
        while let Some(uuid) = self.registrar.poll_gone() {
            assert_eq!(self.registrar.actor(uuid), None);
        }
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let (seed, link) = (script.byte(), LinkId::new(script.below(LINKS as usize) as u64));
        match seed % 16 {
            0 | 1 => self.link_up(link, script),
            2 => {
                self.registrar.handle_link_gone(link);
                self.model.gone(link);
            }
            3..=6 => self.register(link, script),
            7 => self.unregister(link, script),
            8 => self.wait(link, script),
            9 => self.watch(link, script),
            10 => self.cancel(script),
            11 => self.release(script),
            12 => {
                let (uuid, address) = (script.below(6) as u128, address(script.byte()));
                self.registrar.handle_unreachable(link, uuid, &address);
                self.model.doubt(link, uuid, &address);
            }
            13 => self.check(script),
            14 => self.answers(),
            _ => self.changes(script),
        }
    }

    fn link_up(&mut self, link: LinkId, script: &mut Script<'_>) {
        let uuid = script.below(5) as u128;
        self.registrar.handle_link_up(link, uuid);
        if self.model.speaker(link).is_none() {
            self.model.links.push((link, uuid));
        }
    }

    fn register(&mut self, link: LinkId, script: &mut Script<'_>) {
        let uuid = script.below(6) as u128;
        let name = NAMES[script.below(NAMES.len())].to_owned();
        let id = ActorId { name, uuid, pid: 7 };
        let count = script.below(5);
        let addresses: Vec<_> = (0..count).map(|_| address(script.byte())).collect();
        let held = self.registrar.register(link, &id, &addresses);
        assert_eq!(held.clone().err(), self.model.register(link, &id, &addresses));
        if let Ok(holder) = held {
            assert!(self.holders.iter().all(|(known, _)| *known != holder), "used twice");
            self.holders.push((holder, self.model.registrations - 1));
        }
    }

    fn release(&mut self, script: &mut Script<'_>) {
        let Some((holder, number)) = pick(&self.holders, script.byte()) else { return };
        let before = self.model.rows.len();
        self.model.rows.retain(|row| row.number != number);
        assert_eq!(self.registrar.release(holder), before > self.model.rows.len());
    }

    fn unregister(&mut self, link: LinkId, script: &mut Script<'_>) {
        let uuid = script.below(6) as u128;
        let expected = match self.model.speaker(link) {
            None => Err(Refused::NotLinked),
            Some(by) if !self.model.is_of(by, uuid) => Err(Refused::NotYours),
            Some(_) => Ok(self.model.row(uuid).is_some()),
        };
        if expected.is_ok() {
            self.model.rows.retain(|row| row.id.uuid != uuid);
        }
        assert_eq!(self.registrar.unregister(link, uuid), expected);
    }

    fn wait(&mut self, link: LinkId, script: &mut Script<'_>) {
        let name = NAMES[script.below(NAMES.len())];
        let of_link = self.model.waiters.iter().filter(|(_, held, _)| *held == link).count();
        let refused = match self.model.speaker(link) {
            None => Some(Refused::NotLinked),
            Some(_) if name_refused(name).is_some() => name_refused(name),
            Some(_) if self.model.waiters.len() >= BOUNDS.waiters => {
                Some(Refused::TooManyWaiters { max: BOUNDS.waiters })
            }
            Some(_) if of_link >= BOUNDS.waiters_per_link => {
                Some(Refused::TooManyWaiters { max: BOUNDS.waiters_per_link })
            }
            Some(_) => None,
        };
        let waiter = self.registrar.wait(link, name);
        assert_eq!(waiter.clone().err(), refused);
        if let Ok(id) = waiter {
            assert!(!self.waiters.contains(&id), "used twice");
            self.waiters.push(id);
            self.model.waiters.push((id, link, name.to_owned()));
        }
    }

    fn watch(&mut self, link: LinkId, script: &mut Script<'_>) {
        let name = NAMES[script.below(NAMES.len())];
        let is_all = script.byte() & 1 == 0;
        let of = if is_all { Watched::All } else { Watched::Name(name.to_owned()) };
        let of_link = self.model.watches.iter().filter(|watch| watch.link == link).count();
        let refused = match self.model.speaker(link) {
            None => Some(Refused::NotLinked),
            Some(_) if !is_all && name_refused(name).is_some() => name_refused(name),
            Some(_) if self.model.watches.len() >= BOUNDS.watches => {
                Some(Refused::TooManyWatches { max: BOUNDS.watches })
            }
            Some(_) if of_link >= BOUNDS.watches_per_link => {
                Some(Refused::TooManyWatches { max: BOUNDS.watches_per_link })
            }
            Some(_) => None,
        };
        let watch = self.registrar.watch(link, of.clone());
        assert_eq!(watch.clone().err(), refused);
        if let Ok(id) = watch {
            assert!(!self.watches.contains(&id), "used twice");
            self.watches.push(id);
            let changed = BTreeSet::new();
            let watch = Watch { id, link, of, changed, has_missed: false, is_ready: false };
            self.model.watches.push(watch);
        }
    }

    fn cancel(&mut self, script: &mut Script<'_>) {
        let (seed, at) = (script.byte(), script.byte());
        if seed & 1 == 0 {
            let Some(id) = pick(&self.waiters, at) else { return };
            let before = self.model.waiters.len();
            self.model.waiters.retain(|(known, _, _)| *known != id);
            assert_eq!(self.registrar.cancel_wait(id), before > self.model.waiters.len());
        } else {
            let Some(id) = pick(&self.watches, at) else { return };
            let before = self.model.watches.len();
            self.model.watches.retain(|watch| watch.id != id);
            assert_eq!(self.registrar.cancel_watch(id), before > self.model.watches.len());
        }
    }

    /// Takes all doubts, or tells what came of one.
    fn check(&mut self, script: &mut Script<'_>) {
        let (seed, at) = (script.byte(), usize::from(script.byte()));
        if seed & 3 == 0 {
            let rows = self.model.rows.iter_mut();
            let places =
                rows.flat_map(|row| row.places.iter_mut().map(|place| (row.id.uuid, place)));
            let mut expected = BTreeSet::new();
            for (uuid, place) in places.filter(|(_, place)| place.is_doubted && !place.is_told) {
                place.is_told = true;
                expected.insert((uuid, place.address.clone()));
            }
            let mut found = BTreeSet::new();
            while let Some(doubt) = self.registrar.poll_doubt() {
                assert!(found.insert((doubt.uuid, doubt.address.clone())), "told twice");
                let number = self.model.row(doubt.uuid).expect("an actor in doubt").number;
                self.doubts.push((doubt, number));
            }
            assert_eq!(found, expected);
        } else if !self.doubts.is_empty() {
            let at = at % self.doubts.len();
            // Told once, or again where that says nothing new.
            let again = seed & 8 == 0;
            let (doubt, number) =
                if again { self.doubts[at].clone() } else { self.doubts.swap_remove(at) };
            self.registrar.handle_checked(&doubt, seed & 4 == 0);
            // One that was not told of can be settled as well, by a look into an earlier doubt.
            self.model.settle(number, &doubt, seed & 4 == 0);
        }
    }

    /// All whose name is known are answered, in the order in which they came, and nobody else.
    fn answers(&mut self) {
        let (mut expected, mut left) = (Vec::new(), Vec::new());
        for waiter in std::mem::take(&mut self.model.waiters) {
            match self.model.rows.iter().rev().find(|row| row.id.name == waiter.2) {
                Some(row) => expected.push((waiter.0, row.entry())),
                None => left.push(waiter),
            }
        }
        self.model.waiters = left;
        let found: Vec<_> = std::iter::from_fn(|| self.registrar.poll_answer()).collect();
        assert_eq!(found, expected);
    }

    fn changes(&mut self, script: &mut Script<'_>) {
        let mut ready: Vec<_> = self.model.watches.iter_mut().filter(|it| it.is_ready).collect();
        ready.iter_mut().for_each(|watch| watch.is_ready = false);
        let ready: Vec<_> = ready.into_iter().map(|watch| watch.id).collect();
        let found: Vec<_> = std::iter::from_fn(|| self.registrar.poll_watch()).collect();
        assert_eq!(found, ready);
        let Some(id) = pick(&self.watches, script.byte()) else { return };
        for _ in 0..=script.below(4) {
            let change = self.registrar.poll_change(id);
            let Some(watch) = self.model.watches.iter_mut().find(|watch| watch.id == id) else {
                assert_eq!(change, None);
                return;
            };
            let uuid = match &change {
                None => return assert!(watch.changed.is_empty() && !watch.has_missed),
                Some(Change::Missed) => {
                    assert!(std::mem::take(&mut watch.has_missed));
                    continue;
                }
                Some(Change::Came(entry)) => entry.id.uuid,
                Some(Change::Went(uuid)) => *uuid,
            };
            assert!(watch.changed.remove(&uuid), "nothing has changed there");
            let of = watch.of.clone();
            let row = self.model.row(uuid).filter(|row| match &of {
                Watched::All => true,
                Watched::Name(name) => row.id.name == *name,
            });
            let expected = row.map_or(Change::Went(uuid), |row| Change::Came(row.entry()));
            assert_eq!(change, Some(expected));
        }
    }

    /// Every look comes to the same.
    fn compare(&self) {
        let Self { registrar, model, .. } = self;
        assert_eq!(registrar.len(), model.rows.len());
        assert_eq!(registrar.is_empty(), model.rows.is_empty());
        assert_eq!(registrar.waiters(), model.waiters.len());
        assert_eq!(registrar.watches(), model.watches.len());
        for uuid in 0..6 {
            let row = model.rows.iter().find(|row| row.id.uuid == uuid);
            let (found, expected) = (registrar.actor(uuid), row.map(Row::entry));
            assert_eq!(found, expected);
            assert_eq!(found.map(|it| it.id.name), expected.map(|it| it.id.name));
        }
        for name in NAMES {
            let named = model.rows.iter().rev().filter(|row| row.id.name == name);
            let newest: Vec<_> = named.take(BOUNDS.answer).map(Row::entry).collect();
            assert_eq!(registrar.find(name), newest);
            let mut listed = Vec::new();
            let mut after = None;
            loop {
                let page = registrar.list(name, after.as_ref());
                assert!(page.entries.len() <= BOUNDS.answer);
                listed.extend(page.entries);
                after = page.more;
                if after.is_none() {
                    break;
                }
                assert!(!listed.is_empty());
            }
            let mut all: Vec<_> = model.rows.iter().collect();
            all.retain(|row| row.id.name.starts_with(name));
            all.sort_by(|one, other| one.id.name.cmp(&other.id.name));
            let all: Vec<_> = all.into_iter().map(Row::entry).collect();
            assert_eq!(listed, all);
        }
    }
}

fn pick<T: Copy>(from: &[T], at: u8) -> Option<T> {
    from.get(usize::from(at) % from.len().max(1)).copied()
}

/// One of six, of three distances.
fn address(seed: u8) -> Address {
    let host = |host: &str, port| Address::Tcp { host: host.to_owned(), port };
    match seed % 6 {
        0 => Address::unix("/a"),
        1 => Address::unix("/b"),
        2 => host("localhost", 1),
        3 => host("::1", 2),
        4 => host("far", 1),
        _ => Address::Quic { host: "far".to_owned(), port: 1 },
    }
}

//! The table of links against a naive model of it: links in a list, and every answer looked up anew.
//! Any calls in any order come to the same in both, and when all links are gone nothing is left (P-R7
//! to P-R12).

use std::collections::BTreeMap;

use hatchery_proto::actor::peers::{Bounds, Gone, Origin, Peers, Proof, Stranger, WaiterId, Woken};
use hatchery_proto::{ActorId, ExitStatus, LinkId, LostCause};

use super::{Script, bare};

const NAMES: [&str; 2] = ["a", "b"];
const LINKS: usize = 6;
const ACTORS: usize = 4;

/// So small that short inputs reach every one of them.
const BOUNDS: Bounds =
    Bounds { greeting: 1, most_greeting: 3, drop_rate: 1 << 14, links: 2, dead: 2 };

#[derive(Debug)]
struct Link {
    link: LinkId,
    id: ActorId,
    origin: Origin,
    portals: usize,
    is_leaving: bool,
}

/// What was proven, in order.
type Proofs = Vec<Proof>;

#[derive(Debug, Default)]
struct Model {
    /// In the order in which they came up.
    links: Vec<Link>,
    /// In the order in which they came.
    peers: Vec<(u128, Proofs)>,
    /// What was said last.
    called: BTreeMap<u128, String>,
    family: BTreeMap<u128, Proofs>,
    dead: Vec<(u128, Option<ExitStatus>)>,
    greeting: Vec<LinkId>,
    waiting: BTreeMap<WaiterId, (u128, bool)>,
    woken: BTreeMap<WaiterId, Woken>,
    strangers: u64,
    dropped: u64,
}

/// The rule in words of its own: what a proof has to be beside those before it.
fn is_same(before: &Proofs, proof: Proof) -> bool {
    let pid = before.iter().find_map(|proof| match proof {
        Proof::Inherited(pid) | Proof::Process(pid) if *pid != 0 => Some(*pid),
        _ => None,
    });
    let is_family = before.iter().any(|proof| matches!(proof, Proof::Inherited(_)));
    let is_certified = before.iter().any(|proof| matches!(proof, Proof::Certificate(_)));
    match proof {
        Proof::Certificate(_) => true,
        Proof::Inherited(own) => !is_family && own != 0 && pid == Some(own),
        Proof::Process(own) if own != 0 && pid.is_some() => pid == Some(own),
        Proof::Process(_) | Proof::User => pid.is_none() && !is_family && !is_certified,
    }
}

impl Model {
    fn admits(&self, id: &ActorId, origin: Origin, proof: Proof) -> Result<(), Stranger> {
        let is_inherited = matches!(proof, Proof::Inherited(_));
        if is_inherited != matches!(origin, Origin::Parent | Origin::Child) {
            return Err(Stranger::NotFamily);
        }
        match proof {
            Proof::Process(seen) if ![0, id.pid].contains(&seen) && id.pid != 0 => {
                return Err(Stranger::OtherProcess { claimed: id.pid, seen });
            }
            Proof::Certificate(uuid) if uuid != id.uuid => return Err(Stranger::OtherCertificate),
            _ => {}
        }
        if id.uuid == 0 {
            return Err(Stranger::Oneself);
        }
        if self.death(id.uuid).is_some() {
            return Err(Stranger::Dead);
        }
        let linked = self.peers.iter().filter(|(uuid, _)| *uuid == id.uuid).map(|(_, it)| it);
        let mut all = linked.chain(self.family.get(&id.uuid));
        if !all.all(|before| is_same(before, proof)) {
            return Err(Stranger::Unproven);
        }
        let of_it = |link: &&Link| link.id.uuid == id.uuid && link.origin == Origin::Accepted;
        let max = BOUNDS.links;
        let is_full = origin == Origin::Accepted && self.links.iter().filter(of_it).count() >= max;
        if is_full { Err(Stranger::TooMany { max }) } else { Ok(()) }
    }

    fn death(&self, uuid: u128) -> Option<Gone> {
        let found = self.dead.iter().find(|(known, _)| *known == uuid);
        found.map(|(_, status)| Gone::Died(*status))
    }

    fn is_up(&self, link: LinkId) -> bool {
        self.links.iter().any(|known| known.link == link)
    }

    fn link(&mut self, link: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|known| known.link == link)
    }

    fn up(&mut self, link: LinkId, id: &ActorId, origin: Origin, proof: Proof) {
        self.greeting.retain(|known| *known != link);
        if !self.peers.iter().any(|(uuid, _)| *uuid == id.uuid) {
            self.peers.push((id.uuid, Vec::new()));
        }
        for (_, proofs) in self.peers.iter_mut().filter(|(uuid, _)| *uuid == id.uuid) {
            proofs.push(proof);
            if matches!(origin, Origin::Parent | Origin::Child) {
                self.family.insert(id.uuid, proofs.clone());
            }
        }
        self.called.insert(id.uuid, id.name.clone());
        let portals = usize::from(origin == Origin::Dialed);
        self.links.push(Link { link, id: id.clone(), origin, portals, is_leaving: false });
        self.wake(id.uuid, true, &Woken::Up);
    }

    fn gone(&mut self, link: LinkId, how: Gone) {
        self.greeting.retain(|known| *known != link);
        let Some(at) = self.links.iter().position(|known| known.link == link) else { return };
        let uuid = self.links.remove(at).id.uuid;
        if self.links.iter().all(|known| known.id.uuid != uuid) {
            self.peers.retain(|(known, _)| *known != uuid);
            let how = self.death(uuid).unwrap_or(how);
            self.wake(uuid, false, &Woken::Gone(how));
        }
    }

    fn die(&mut self, uuid: u128, status: Option<ExitStatus>) {
        self.family.remove(&uuid);
        match self.dead.iter_mut().find(|(known, _)| *known == uuid) {
            Some((_, known)) => *known = known.or(status),
            None => self.dead.push((uuid, status)),
        }
        if self.dead.len() > BOUNDS.dead {
            self.dead.remove(0);
        }
        let how = self.death(uuid).expect("a death");
        self.wake(uuid, true, &Woken::Gone(how));
    }

    fn wake(&mut self, uuid: u128, up: bool, woken: &Woken) {
        let over: Vec<_> =
            self.waiting.iter().filter(|(_, of)| **of == (uuid, up)).map(|(id, _)| *id).collect();
        for id in over {
            self.waiting.remove(&id);
            self.woken.insert(id, woken.clone());
        }
    }

    /// What a peer is called that is linked.
    fn called(&self, uuid: u128) -> Option<&str> {
        let is_linked = self.peers.iter().any(|(known, _)| *known == uuid);
        self.called.get(&uuid).filter(|_| is_linked).map(String::as_str)
    }

    /// Those that take dialogs, by what is preferred.
    fn open(&self, uuid: u128) -> Vec<LinkId> {
        let mut open: Vec<_> = self.links.iter().rev().filter(|it| it.id.uuid == uuid).collect();
        open.retain(|it| !it.is_leaving);
        open.sort_by_key(|it| !it.origin.is_family());
        open.into_iter().map(|it| it.link).collect()
    }

    /// What a wait is answered at once.
    fn answer(&self, uuid: u128, up: bool) -> Option<Woken> {
        let death = self.death(uuid).map(Woken::Gone);
        if up {
            return death.or((!self.open(uuid).is_empty()).then_some(Woken::Up));
        }
        let is_linked = self.peers.iter().any(|(known, _)| *known == uuid);
        (!is_linked).then(|| death.unwrap_or(Woken::Gone(Gone::Unlinked)))
    }
}

#[derive(Debug)]
struct Run {
    peers: Peers,
    model: Model,
    waiters: Vec<WaiterId>,
}

/// Each byte is a call or an argument of one.
///
/// # Panics
/// Panics where the table and its model differ, or something is left in the end.
pub fn peers_against(bytes: &[u8]) {
    let mut script = Script(bytes);
    let peers = Peers::new(&super::actor(0), BOUNDS);
    let mut run = Run { peers, model: Model::default(), waiters: Vec::new() };
    while !script.0.is_empty() {
        run.call(&mut script);
        run.compare();
    }
    for number in 0..LINKS {
        run.peers.handle_link_gone(LinkId::new(number as u64), Gone::Left);
        run.model.gone(LinkId::new(number as u64), Gone::Left);
    }
    for uuid in 0..ACTORS {
        run.peers.handle_dead(uuid as u128, None);
        run.model.die(uuid as u128, None);
    }
    run.woken();
    run.compare();
    let counts = [run.peers.len(), run.peers.greeting(), run.peers.family(), run.peers.waiters()];
    assert_eq!(counts, [0; 4], "nobody is left to wait for, with all of them dead");
    let mut fresh = Peers::new(&super::actor(0), BOUNDS);
    for uuid in 0..ACTORS {
        fresh.handle_dead(uuid as u128, None);
    }
    let [left, fresh] = [bare(&run.peers), bare(&fresh)];
    // But for how those died that are remembered, and in which order.
    let before = |text: &str| text.split("deaths: ").next().map(str::to_owned);
    let behind = |text: &str| text.split("waits: ").nth(1).map(str::to_owned);
    assert_eq!(before(&left), before(&fresh), "something is left");
    assert_eq!(behind(&left), behind(&fresh), "something is left");
}

impl Run {
    fn call(&mut self, script: &mut Script<'_>) {
        let (seed, link) = (script.byte(), LinkId::new(script.below(LINKS) as u64));
        let uuid = script.below(ACTORS) as u128;
        match seed % 16 {
            0 | 1 => self.accept(link, script),
            2..=5 => self.up(link, uuid, script),
            6 => {
                self.peers.handle_goodbye(link);
                self.model.link(link).into_iter().for_each(|link| link.is_leaving = true);
            }
            7 | 8 => {
                let how = match script.below(3) {
                    0 => Gone::Left,
                    1 => Gone::Lost(LostCause::LinkEnded),
                    _ => Gone::Died(None),
                };
                self.peers.handle_link_gone(link, how.clone());
                self.model.gone(link, how);
            }
            9 => {
                let status = [None, Some(ExitStatus::Code(1)), Some(ExitStatus::Taken)];
                let status = status[script.below(3)];
                self.peers.handle_dead(uuid, status);
                self.model.die(uuid, status);
            }
            10 | 11 => self.wait(uuid, seed % 16 == 10),
            12 => {
                let at = usize::from(script.byte()) % self.waiters.len().max(1);
                let Some(id) = self.waiters.get(at).copied() else { return };
                let was = self.model.waiting.remove(&id).is_some()
                    || self.model.woken.remove(&id).is_some();
                assert_eq!(self.peers.cancel(id), was);
            }
            13 => {
                let held = self.model.link(link).filter(|link| !link.is_leaving);
                let expected = held.map(|link| link.portals += 1).is_some();
                assert_eq!(self.peers.hold(link), expected);
            }
            14 => self.release(link),
            _ => self.woken(),
        }
    }

    fn accept(&mut self, link: LinkId, script: &mut Script<'_>) {
        let roll = u16::from(script.byte()) << 8;
        let taken = self.peers.handle_accepted(link, roll);
        let count = self.model.greeting.len();
        if self.model.greeting.contains(&link) || self.model.is_up(link) {
            return assert!(taken, "it is there");
        }
        assert!(taken || count >= BOUNDS.greeting, "there is room");
        assert!(!taken || count < BOUNDS.most_greeting, "there is none");
        if taken {
            self.model.greeting.push(link);
        } else {
            self.model.dropped += 1;
        }
    }

    fn up(&mut self, link: LinkId, uuid: u128, script: &mut Script<'_>) {
        let origins = [Origin::Parent, Origin::Child, Origin::Accepted, Origin::Dialed];
        let (origin, seed) = (origins[script.below(4)], script.byte());
        let pid = [0, uuid as u32 + 1, 1, 2][usize::from(seed >> 2 & 3)];
        let proof = match seed & 3 {
            _ if origin.is_family() && seed & 128 == 0 => Proof::Inherited(pid),
            0 => Proof::Inherited(pid),
            1 => Proof::Process(pid),
            2 => Proof::Certificate(u128::from(seed >> 2 & 3)),
            _ => Proof::User,
        };
        let name = NAMES[usize::from(seed >> 4 & 1)].to_owned();
        let id = ActorId { name, uuid, pid: if seed & 64 == 0 { pid } else { uuid as u32 + 1 } };
        let expected = self.model.admits(&id, origin, proof);
        assert_eq!(self.peers.admits(&id, origin, proof), expected);
        let known = self.model.is_up(link);
        let came = self.peers.handle_link_up(link, &id, origin, proof);
        if known {
            return assert_eq!(came, Ok(()), "it is up already");
        }
        assert_eq!(came, expected);
        match came {
            Ok(()) => self.model.up(link, &id, origin, proof),
            Err(_) => self.model.strangers += 1,
        }
    }

    fn wait(&mut self, uuid: u128, up: bool) {
        let answer = self.model.answer(uuid, up);
        let id = if up { self.peers.wait_up(uuid) } else { self.peers.wait_gone(uuid) };
        assert!(!self.waiters.contains(&id), "used twice");
        self.waiters.push(id);
        match answer {
            Some(answer) => drop(self.model.woken.insert(id, answer)),
            None => drop(self.model.waiting.insert(id, (uuid, up))),
        }
    }

    fn release(&mut self, link: LinkId) {
        let mut is_last = false;
        if let Some(link) = self.model.link(link).filter(|link| link.portals > 0) {
            link.portals -= 1;
            is_last = link.portals == 0 && link.origin == Origin::Dialed && !link.is_leaving;
            link.is_leaving |= is_last;
        }
        assert_eq!(self.peers.release(link), is_last);
    }

    fn woken(&mut self) {
        let found: Vec<_> = std::iter::from_fn(|| self.peers.poll_woken()).collect();
        let expected: Vec<_> = std::mem::take(&mut self.model.woken).into_iter().collect();
        assert_eq!(found, expected);
    }

    /// Every look comes to the same.
    fn compare(&self) {
        let Self { peers, model, .. } = self;
        assert_eq!((peers.len(), peers.is_empty()), (model.links.len(), model.links.is_empty()));
        assert_eq!(peers.greeting(), model.greeting.len());
        assert_eq!(peers.family(), model.family.len());
        assert_eq!(peers.waiters(), model.waiting.len() + model.woken.len());
        assert_eq!((peers.strangers(), peers.dropped()), (model.strangers, model.dropped));
        let alone = model.links.iter().all(|link| link.origin == Origin::Parent);
        assert_eq!(peers.is_alone(), alone);
        for uuid in 0..ACTORS as u128 {
            assert_eq!(peers.links(uuid).collect::<Vec<_>>(), model.open(uuid));
            let called = model.called(uuid);
            assert_eq!(peers.peer(uuid).map(|id| id.name.as_str()), called);
        }
        for name in NAMES {
            let named = model.peers.iter().rev().map(|(uuid, _)| *uuid);
            let named: Vec<_> = named.filter(|uuid| model.called(*uuid) == Some(name)).collect();
            assert_eq!(peers.named(name).map(|id| id.uuid).collect::<Vec<_>>(), named);
        }
    }
}

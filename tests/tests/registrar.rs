//! The registrar (P-R1 to P-R6): who is found under a name, who waits for one, and what a liar among
//! those who ask can do.

use hatchery_proto::registrar::{
    Bounds, Change, Cursor, Refused, Registered, Registrar, WaiterId, WatchId, Watched,
};
use hatchery_proto::{ActorId, Address, LinkId};
use hatchery_tests::hostile::registrar_against;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

fn id(name: &str, uuid: u128) -> ActorId {
    ActorId { name: name.to_owned(), uuid, pid: 7 }
}

fn link(number: u64) -> LinkId {
    LinkId::new(number)
}

fn at(text: &str) -> Address {
    text.parse().expect("an address")
}

/// A registrar with links 1 to 5, each of the actor of its number.
fn linked(bounds: Bounds) -> Registrar {
    let mut registrar = Registrar::new(&id("registrar", 100), bounds);
    for number in 1..=5 {
        registrar.handle_link_up(link(number), number.into());
    }
    registrar
}

/// The actor of this number registers itself, with one address.
fn enter(registrar: &mut Registrar, name: &str, number: u64) {
    let address = at(&format!("unix:/{number}"));
    let me = id(name, number.into());
    assert!(registrar.register(link(number), &me, &[address]).is_ok());
}

fn uuids(entries: &[Registered]) -> Vec<u128> {
    entries.iter().map(|entry| entry.id.uuid).collect()
}

fn texts(registrar: &Registrar, uuid: u128) -> Vec<String> {
    let entry = registrar.actor(uuid).expect("an entry");
    entry.addresses.iter().map(Address::to_string).collect()
}

fn answers(registrar: &mut Registrar) -> Vec<(WaiterId, u128)> {
    let answers = std::iter::from_fn(|| registrar.poll_answer());
    answers.map(|(id, entry)| (id, entry.id.uuid)).collect()
}

fn changes(registrar: &mut Registrar, watch: WatchId) -> Vec<Change> {
    std::iter::from_fn(|| registrar.poll_change(watch)).collect()
}

/// A change without its entry: who came, or went.
fn short(changes: Vec<Change>) -> Vec<i64> {
    let number = |change| match change {
        Change::Came(entry) => entry.id.uuid as i64,
        Change::Went(uuid) => -(uuid as i64),
        Change::Missed => 0,
    };
    changes.into_iter().map(number).collect()
}

// ---- bounds ----

#[test]
fn p_r1_each_bound_is_refused_by_name_just_above_it() {
    let bounds = Bounds { entries: 3, entries_per_link: 2, ..Bounds::default() };
    let mut registrar = linked(bounds);
    let here = [at("unix:/a")];
    let mut enter = |number, uuid, name: &str| {
        let address = at(&format!("unix:/{uuid}"));
        registrar.register(link(number), &id(name, uuid), &[address]).map(drop)
    };
    assert_eq!(enter(1, 1, &"n".repeat(255)), Ok(()));
    let long = Err(Refused::NameTooLong { size: 256, max: 255 });
    assert_eq!(enter(1, 1, &"n".repeat(256)), long);
    assert_eq!(enter(1, 1, ""), Err(Refused::NoName));
    assert_eq!(enter(1, 11, "b"), Ok(()));
    assert_eq!(enter(1, 12, "b"), Err(Refused::TooManyOfLink { max: 2 }));
    assert_eq!(enter(1, 11, "c"), Ok(()), "what it holds it may change");
    assert_eq!(enter(2, 2, "b"), Ok(()));
    assert_eq!(enter(3, 3, "b"), Err(Refused::TooManyEntries { max: 3 }));
    assert_eq!(enter(9, 9, "b"), Err(Refused::NotLinked));
    assert_eq!(registrar.register(link(1), &id("a", 1), &[]), Err(Refused::NoAddress));
    assert_eq!(registrar.len(), 3, "a refusal changes nothing");
    assert_eq!(texts(&registrar, 1), ["unix:/1"]);
    assert!(registrar.register(link(1), &id("a", 1), &here).is_ok());
}

#[test]
fn p_r1_waits_and_watches_are_bounded_for_a_link_and_in_all() {
    let bounds = Bounds {
        waiters: 3,
        waiters_per_link: 2,
        watches: 3,
        watches_per_link: 2,
        ..Bounds::default()
    };
    let mut registrar = linked(bounds);
    for _ in 0..2 {
        assert!(registrar.wait(link(1), "a").is_ok());
        assert!(registrar.watch(link(1), Watched::All).is_ok());
    }
    let (waiters, watches) =
        (Refused::TooManyWaiters { max: 2 }, Refused::TooManyWatches { max: 2 });
    assert_eq!(registrar.wait(link(1), "a"), Err(waiters));
    assert_eq!(registrar.watch(link(1), Watched::All), Err(watches));
    assert!(registrar.wait(link(2), "a").is_ok());
    assert!(registrar.watch(link(2), Watched::All).is_ok());
    let (waiters, watches) =
        (Refused::TooManyWaiters { max: 3 }, Refused::TooManyWatches { max: 3 });
    assert_eq!(registrar.wait(link(3), "a"), Err(waiters));
    assert_eq!(registrar.watch(link(3), Watched::All), Err(watches));
    for name in ["", &"n".repeat(256)] {
        assert!(registrar.wait(link(3), name).is_err());
        assert!(registrar.watch(link(3), Watched::Name(name.to_owned())).is_err());
    }
    registrar.handle_link_gone(link(1));
    assert_eq!((registrar.waiters(), registrar.watches()), (1, 1));
    assert!(registrar.wait(link(3), "a").is_ok());
    assert_eq!(registrar.wait(link(1), "a"), Err(Refused::NotLinked), "it asked too late");
}

#[test]
fn p_r1_a_refusal_says_what_was_wrong_and_what_to_do() {
    let why = "tcp:".parse::<Address>().unwrap_err();
    for (refused, does) in [
        (Refused::NotLinked, "connect"),
        (Refused::NoName, "give"),
        (Refused::NameTooLong { size: 300, max: 255 }, "shorten"),
        (Refused::NoAddress, "have it listen"),
        (Refused::TooManyAddresses { count: 9, max: 8 }, "register fewer"),
        (Refused::BadAddress(why), "port is missing"),
        (Refused::NoPort, "was bound"),
        (Refused::NotYours, "leave it"),
        (Refused::TooManyEntries { max: 3 }, "raise"),
        (Refused::TooManyOfLink { max: 64 }, "take some back"),
        (Refused::TooManyWaiters { max: 256 }, "cancel"),
        (Refused::TooManyWatches { max: 64 }, "cancel"),
    ] {
        assert!(refused.to_string().contains(does), "{refused}");
    }
}

// ---- whose an entry is ----

#[test]
fn p_r2_an_actor_that_registers_again_has_its_new_addresses_only() {
    let mut registrar = linked(Bounds::default());
    enter(&mut registrar, "a", 1);
    let addresses = [at("unix:/new"), at("unix:/newer")];
    assert!(registrar.register(link(1), &id("b", 1), &addresses).is_ok());
    assert_eq!((registrar.find("a"), registrar.len()), (vec![], 1));
    assert_eq!(texts(&registrar, 1), ["unix:/newer", "unix:/new"]);
    enter(&mut registrar, "c", 2);
    let old = [at("unix:/1")];
    assert!(registrar.register(link(2), &id("c", 2), &old).is_ok(), "nobody has it any more");
}

#[test]
fn p_r2_an_entry_goes_with_the_link_that_registered_it_last() {
    let mut registrar = linked(Bounds::default());
    enter(&mut registrar, "a", 1);
    registrar.handle_link_up(link(11), 1);
    registrar.register(link(11), &id("a", 1), &[at("unix:/11")]).unwrap();
    registrar.handle_link_gone(link(1));
    assert_eq!(texts(&registrar, 1), ["unix:/11"], "it survives the older link");
    registrar.handle_link_gone(link(11));
    assert!(registrar.is_empty());
    let own = registrar.register(LinkId::OWN, &id("registrar", 100), &[at("unix:/r")]);
    assert!(own.is_ok(), "the registrar registers itself like any other (DISC-03)");
    registrar.handle_link_gone(LinkId::OWN);
    assert!(registrar.is_empty());
    assert!(registrar.wait(LinkId::OWN, "a").is_ok(), "and may go on asking");
}

/// Two dialogs of one link may hold the same entry one after the other.
#[test]
fn p_r2_an_entry_goes_with_the_registration_that_holds_it_and_no_other() {
    let mut registrar = linked(Bounds::default());
    let here = [at("unix:/1")];
    let first = registrar.register(link(1), &id("a", 1), &here).unwrap();
    let second = registrar.register(link(1), &id("a", 1), &here).unwrap();
    assert!(!registrar.release(first), "it was registered again since");
    assert_eq!(uuids(&registrar.find("a")), [1]);
    assert!(registrar.release(second));
    assert_eq!((registrar.len(), registrar.poll_gone()), (0, Some(1)));
    assert!(!registrar.release(second), "once");
    let third = registrar.register(link(1), &id("a", 1), &here).unwrap();
    assert_ne!(second, third);
    assert!(!registrar.release(second));
    registrar.handle_link_gone(link(1));
    assert!(!registrar.release(third), "it went with its link");
}

/// What one link has asked for is counted over all its dialogs, and what one of them lets go of frees a
/// place.
#[test]
fn p_r1_what_a_link_lets_go_of_frees_a_place_for_it() {
    let mut registrar = linked(Bounds::default());
    let Bounds { watches_per_link, waiters_per_link, entries_per_link, .. } = Bounds::default();
    let watches: Vec<_> =
        (0..watches_per_link).map(|_| registrar.watch(link(1), Watched::All).unwrap()).collect();
    let waiters: Vec<_> =
        (0..waiters_per_link).map(|_| registrar.wait(link(1), "nobody").unwrap()).collect();
    let entry = |registrar: &mut Registrar, uuid: u128| {
        let address = at(&format!("unix:/{uuid}"));
        registrar.register(link(1), &id("child", uuid), &[address])
    };
    let held: Vec<_> =
        (0..entries_per_link).map(|n| entry(&mut registrar, 1000 + n as u128).unwrap()).collect();
    for _ in 0..2 {
        let watch = registrar.watch(link(1), Watched::Name("a".to_owned()));
        assert_eq!(watch, Err(Refused::TooManyWatches { max: 64 }));
        assert_eq!(registrar.wait(link(1), "a"), Err(Refused::TooManyWaiters { max: 256 }));
        assert_eq!(entry(&mut registrar, 2000), Err(Refused::TooManyOfLink { max: 64 }));
    }
    registrar.handle_link_up(link(11), 1);
    assert!(registrar.watch(link(11), Watched::All).is_ok(), "another link of the same actor");
    assert!(registrar.watch(link(2), Watched::All).is_ok(), "nor has another actor less");
    assert!(registrar.wait(link(2), "a").is_ok());
    assert!(registrar.cancel_watch(watches[7]) && registrar.cancel_wait(waiters[7]));
    assert!(registrar.release(held[7]));
    assert!(registrar.watch(link(1), Watched::All).is_ok());
    assert!(registrar.wait(link(1), "a").is_ok());
    assert!(entry(&mut registrar, 2000).is_ok());
}

#[test]
fn p_r2_disc_09_an_address_is_of_who_registered_it_last() {
    let mut registrar = linked(Bounds::default());
    let both = [at("unix:/x"), at("unix:/y")];
    registrar.register(link(1), &id("a", 1), &both).unwrap();
    registrar.register(link(2), &id("b", 2), &both[..1]).unwrap();
    assert_eq!(texts(&registrar, 1), ["unix:/y"]);
    registrar.register(link(3), &id("c", 3), &both).unwrap();
    assert_eq!((registrar.len(), texts(&registrar, 3).len()), (1, 2), "with its last the entry");
    // What was lost is not given back to an earlier holder.
    registrar.handle_link_gone(link(3));
    assert!(registrar.is_empty());
}

#[test]
fn p_r2_nobody_but_an_actor_and_who_registered_it_takes_it_back() {
    let mut registrar = linked(Bounds::default());
    enter(&mut registrar, "a", 1);
    assert_eq!(registrar.unregister(link(2), 1), Err(Refused::NotYours));
    let own = registrar.register(link(2), &id("a", 1), &[at("unix:/2")]);
    assert_eq!(own, Err(Refused::NotYours), "nor replaces it");
    registrar.handle_link_up(link(11), 1);
    assert_eq!(registrar.unregister(link(11), 1), Ok(true), "over any link of it");
    assert_eq!(registrar.unregister(link(11), 1), Ok(false), "again is no error");
    assert_eq!(registrar.unregister(link(2), 77), Ok(false), "nor is one that nobody knows");
    // For another one, as a parent may for a child that has no link here.
    registrar.register(link(2), &id("child", 77), &[at("unix:/77")]).unwrap();
    assert_eq!(registrar.unregister(link(3), 77), Err(Refused::NotYours));
    registrar.handle_link_up(link(77), 77);
    registrar.register(link(77), &id("child", 77), &[at("unix:/own")]).unwrap();
    let refused = registrar.register(link(2), &id("child", 77), &[at("unix:/77")]);
    assert_eq!(refused, Err(Refused::NotYours), "it speaks for itself now");
    registrar.handle_link_gone(link(2));
    assert_eq!(texts(&registrar, 77), ["unix:/own"]);
}

// ---- looks ----

#[test]
fn p_r3_disc_07_those_of_one_name_are_found_newest_first() {
    let mut registrar = linked(Bounds { answer: 2, ..Bounds::default() });
    for number in 1..=3 {
        enter(&mut registrar, "same", number);
    }
    assert_eq!(uuids(&registrar.find("same")), [3, 2], "as many as an answer has");
    enter(&mut registrar, "same", 1);
    assert_eq!(uuids(&registrar.find("same")), [1, 3], "who registers again is newest");
    registrar.unregister(link(1), 1).unwrap();
    assert_eq!(uuids(&registrar.find("same")), [3, 2]);
    assert_eq!(registrar.find("other"), []);
}

#[test]
fn p_r3_disc_10_the_nearest_address_is_first_and_of_those_the_last() {
    let mut registrar = linked(Bounds::default());
    let addresses = ["tcp:far:1", "unix:/a", "tcp:[::1]:1", "quic:far:2", "unix:/b", "tcp:far:1"];
    registrar.register(link(1), &id("a", 1), &addresses.map(at)).unwrap();
    let nearest = ["unix:/b", "unix:/a", "tcp:[::1]:1", "tcp:far:1", "quic:far:2"];
    assert_eq!(texts(&registrar, 1), nearest);
}

#[test]
fn p_r3_a_list_comes_in_parts_and_misses_nobody_who_stays() {
    let mut registrar = linked(Bounds { answer: 2, ..Bounds::default() });
    for number in 1..=5 {
        enter(&mut registrar, ["b", "ab", "a"][number as usize % 3], number);
    }
    let mut listed = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = registrar.list("", after.as_ref());
        listed.extend(uuids(&page.entries));
        // The one it ended with goes, and one that was listed registers again.
        if listed.len() == 2 {
            registrar.unregister(link(5), 5).unwrap();
            enter(&mut registrar, "a", 2);
        }
        after = page.more;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, [2, 5, 2, 1, 4, 3]);
    assert_eq!(uuids(&registrar.list("a", None).entries), [2, 1]);
    assert_eq!(registrar.list("c", None).entries, []);
}

// ---- hearsay ----

#[test]
fn p_r4_a_liar_evicts_nobody_who_is_there() {
    let mut registrar = linked(Bounds::default());
    registrar.register(link(1), &id("a", 1), &[at("tcp:far:1"), at("unix:/1")]).unwrap();
    let (near, far) = (at("unix:/1"), at("tcp:far:1"));
    for round in 0..10 {
        registrar.handle_unreachable(link(2), 1, &near);
        registrar.handle_unreachable(link(3), 1, &near);
        let Some(doubt) = registrar.poll_doubt() else {
            assert_eq!(round, 4, "looked into so often, and heard no more");
            break;
        };
        assert_eq!(texts(&registrar, 1), ["tcp:far:1", "unix:/1"], "behind the others meanwhile");
        assert_eq!((doubt.uuid, &doubt.address), (1, &near));
        assert_eq!(registrar.poll_doubt(), None, "one look for any number of liars");
        registrar.handle_checked(&doubt, true);
        assert_eq!(texts(&registrar, 1), ["unix:/1", "tcp:far:1"]);
    }
    registrar.handle_unreachable(link(9), 1, &far);
    registrar.handle_unreachable(link(2), 1, &at("unix:/other"));
    registrar.handle_unreachable(link(2), 7, &far);
    assert_eq!((registrar.poll_doubt(), texts(&registrar, 1).len()), (None, 2), "of no concern");
}

#[test]
fn p_r4_disc_08_what_a_look_finds_gone_goes_and_the_entry_with_its_last() {
    let mut registrar = linked(Bounds::default());
    let both = [at("tcp:far:1"), at("unix:/1")];
    registrar.register(link(1), &id("a", 1), &both).unwrap();
    for (address, left) in both.iter().zip([1, 0]) {
        registrar.handle_unreachable(link(2), 1, address);
        let doubt = registrar.poll_doubt().unwrap();
        registrar.handle_checked(&doubt, false);
        let entry = registrar.actor(1);
        assert_eq!(entry.map_or(0, |entry| entry.addresses.len()), left);
        registrar.handle_checked(&doubt, false);
    }
    assert!(registrar.is_empty());
}

#[test]
fn p_r4_a_look_says_nothing_of_a_later_registration() {
    let mut registrar = linked(Bounds::default());
    enter(&mut registrar, "a", 1);
    registrar.handle_unreachable(link(2), 1, &at("unix:/1"));
    let doubt = registrar.poll_doubt().unwrap();
    enter(&mut registrar, "a", 1);
    registrar.handle_checked(&doubt, false);
    assert_eq!(registrar.len(), 1);
    registrar.handle_unreachable(link(2), 1, &at("unix:/1"));
    registrar.handle_checked(&doubt, false);
    assert_eq!(registrar.len(), 1, "though that one is in doubt as well");
    registrar.handle_link_gone(link(1));
    assert_eq!(registrar.poll_doubt(), None, "nobody is looked for who is gone");
}

#[test]
fn p_r4_of_itself_an_actor_is_believed_at_once() {
    let mut registrar = linked(Bounds::default());
    registrar.register(link(1), &id("a", 1), &[at("unix:/1"), at("unix:/2")]).unwrap();
    registrar.register(link(1), &id("child", 77), &[at("unix:/77")]).unwrap();
    registrar.handle_link_up(link(11), 1);
    registrar.handle_unreachable(link(11), 1, &at("unix:/1"));
    assert_eq!(texts(&registrar, 1), ["unix:/2"]);
    registrar.handle_unreachable(link(11), 77, &at("unix:/77"));
    assert_eq!(registrar.actor(77), None, "and of whom it has registered");
    registrar.handle_unreachable(LinkId::OWN, 1, &at("unix:/2"));
    assert_eq!(registrar.len(), 1, "the registrar itself looks twice");
}

#[test]
fn p_r4_of_the_registrar_itself_nothing_is_heard() {
    let mut registrar = linked(Bounds::default());
    registrar.register(LinkId::OWN, &id("registrar", 99), &[at("unix:/99")]).unwrap();
    for by in [link(1), LinkId::OWN] {
        registrar.handle_unreachable(by, 99, &at("unix:/99"));
        assert_eq!(registrar.poll_doubt(), None);
        assert_eq!(texts(&registrar, 99), ["unix:/99"]);
    }
}

#[test]
fn p_r4_whose_entry_is_gone_is_told_once() {
    let mut registrar = linked(Bounds::default());
    registrar.register(link(1), &id("a", 1), &[at("unix:/1")]).unwrap();
    registrar.register(link(2), &id("b", 2), &[at("unix:/2")]).unwrap();
    assert_eq!(registrar.poll_gone(), None);
    registrar.register(link(2), &id("b", 2), &[at("unix:/1")]).unwrap();
    assert_eq!((registrar.poll_gone(), registrar.poll_gone()), (Some(1), None), "a takeover");
    registrar.handle_unreachable(link(1), 2, &at("unix:/1"));
    let doubt = registrar.poll_doubt().unwrap();
    registrar.handle_checked(&doubt, false);
    assert_eq!((registrar.poll_gone(), registrar.poll_gone()), (Some(2), None), "a look");
}

// ---- waiting ----

#[test]
fn p_r5_disc_06_all_who_wait_for_a_name_are_answered() {
    let mut registrar = linked(Bounds::default());
    let first = registrar.wait(link(2), "a").unwrap();
    let second = registrar.wait(link(3), "a").unwrap();
    let other = registrar.wait(link(3), "b").unwrap();
    assert_eq!(answers(&mut registrar), []);
    enter(&mut registrar, "a", 1);
    assert_eq!(answers(&mut registrar), [(first, 1), (second, 1)]);
    let third = registrar.wait(link(4), "a").unwrap();
    assert_eq!(answers(&mut registrar), [(third, 1)], "at once where it is known");
    enter(&mut registrar, "a", 2);
    assert_eq!((answers(&mut registrar), registrar.waiters()), (vec![], 1), "each once");
    assert!(registrar.cancel_wait(other) && !registrar.cancel_wait(other));
    assert!(!registrar.cancel_wait(first), "it is over");
    assert_eq!(registrar.waiters(), 0);
}

#[test]
fn p_r5_nobody_is_answered_with_who_has_gone_again() {
    let mut registrar = linked(Bounds::default());
    let waiter = registrar.wait(link(2), "a").unwrap();
    enter(&mut registrar, "a", 1);
    registrar.handle_link_gone(link(1));
    assert_eq!((answers(&mut registrar), registrar.waiters()), (vec![], 1), "it waits on");
    enter(&mut registrar, "a", 3);
    enter(&mut registrar, "a", 4);
    assert_eq!(answers(&mut registrar), [(waiter, 4)], "the newest at that time");
}

#[test]
fn p_r5_two_may_wait_for_each_other() {
    let mut registrar = linked(Bounds::default());
    let [one, two] =
        [(1, "two"), (2, "one")].map(|(n, name)| registrar.wait(link(n), name).unwrap());
    enter(&mut registrar, "one", 1);
    enter(&mut registrar, "two", 2);
    assert_eq!(answers(&mut registrar), [(one, 2), (two, 1)]);
}

// ---- watching ----

#[test]
fn p_r6_a_watcher_is_told_who_comes_and_goes() {
    let mut registrar = linked(Bounds::default());
    enter(&mut registrar, "a", 1);
    let all = registrar.watch(link(5), Watched::All).unwrap();
    let one = registrar.watch(link(5), Watched::Name("a".to_owned())).unwrap();
    assert_eq!(registrar.poll_watch(), None, "from here on");
    enter(&mut registrar, "a", 2);
    enter(&mut registrar, "b", 3);
    assert_eq!([registrar.poll_watch(), registrar.poll_watch()], [Some(all), Some(one)]);
    assert_eq!(registrar.poll_watch(), None, "each once");
    assert_eq!(short(changes(&mut registrar, all)), [2, 3]);
    assert_eq!(short(changes(&mut registrar, one)), [2]);
    enter(&mut registrar, "b", 2);
    registrar.handle_link_gone(link(1));
    assert_eq!(short(changes(&mut registrar, all)), [2, -1]);
    assert_eq!(short(changes(&mut registrar, one)), [-2, -1], "a new name is another actor there");
    assert_eq!(registrar.poll_watch(), None, "it was polled before it was told");
    assert!(registrar.cancel_watch(one) && !registrar.cancel_watch(one));
    enter(&mut registrar, "a", 4);
    assert_eq!(changes(&mut registrar, one), []);
}

#[test]
fn p_r6_of_several_changes_to_one_entry_the_last_is_told() {
    let mut registrar = linked(Bounds::default());
    let watch = registrar.watch(link(5), Watched::All).unwrap();
    for _ in 0..100 {
        enter(&mut registrar, "a", 1);
        enter(&mut registrar, "a", 2);
        registrar.unregister(link(1), 1).unwrap();
    }
    assert_eq!(short(changes(&mut registrar, watch)), [-1, 2]);
    registrar.register(link(3), &id("c", 3), &[at("unix:/2")]).unwrap();
    assert_eq!(short(changes(&mut registrar, watch)), [-2, 3], "a takeover is told (DISC-09)");
}

#[test]
fn p_r6_who_is_too_slow_is_told_that_it_missed_something() {
    let mut registrar = linked(Bounds { changes: 3, ..Bounds::default() });
    let watch = registrar.watch(link(5), Watched::All).unwrap();
    let other = registrar.watch(link(5), Watched::Name("b".to_owned())).unwrap();
    for number in 1..=3 {
        enter(&mut registrar, "a", number);
    }
    assert_eq!(short(changes(&mut registrar, watch)), [1, 2, 3], "so many are kept");
    for number in 1..=4 {
        enter(&mut registrar, "a", number);
    }
    enter(&mut registrar, "b", 5);
    assert_eq!(short(changes(&mut registrar, watch)), [0], "and no more");
    assert_eq!(short(changes(&mut registrar, other)), [5], "which is no other's concern");
    enter(&mut registrar, "a", 1);
    assert_eq!(short(changes(&mut registrar, watch)), [1], "it goes on");
}

// ---- any order ----

/// Every order of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for at in 0..count {
            let mut order = shorter.clone();
            order.insert(at, count - 1);
            all.push(order);
        }
    }
    all
}

#[test]
fn p_r2_the_order_of_what_does_not_touch_makes_no_difference() {
    let mut ends = Vec::new();
    for order in orders(6) {
        let mut registrar = linked(Bounds::default());
        let waiter = registrar.wait(link(5), "a").unwrap();
        let watch = registrar.watch(link(5), Watched::All).unwrap();
        for step in order {
            match step {
                0 => enter(&mut registrar, "a", 1),
                1 => enter(&mut registrar, "b", 2),
                2 => enter(&mut registrar, "c", 3),
                3 => registrar.handle_link_gone(link(4)),
                4 => assert!(!registrar.unregister(link(4), 9).unwrap_or(false)),
                _ => registrar.handle_unreachable(link(2), 8, &at("unix:/8")),
            }
        }
        let mut told = short(changes(&mut registrar, watch));
        told.sort_unstable();
        ends.push((uuids(&registrar.list("", None).entries), answers(&mut registrar), told));
        assert_eq!(ends[0], (vec![1, 2, 3], vec![(waiter, 1)], vec![1, 2, 3]));
        assert_eq!(ends.last(), ends.first());
    }
    assert_eq!(ends.len(), 720);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn p_r2_any_calls_in_any_order_come_to_what_a_naive_model_says(
        bytes in vec(any::<u8>(), 0..1500)
    ) {
        registrar_against(&bytes);
    }
}

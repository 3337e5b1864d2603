//! Links by peer (P-R7 to P-R11): who may come up as whom, who waits for a peer, and which link a
//! portal leaves open.

use hatchery_proto::actor::peers::{Bounds, Gone, Origin, Peers, Proof, Stranger, WaiterId, Woken};
use hatchery_proto::{ActorId, ExitStatus, GoodbyeReason, LinkId, LostCause};
use hatchery_tests::hostile::peers_against;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use Origin::{Accepted, Child, Dialed, Parent};
use Proof::{Certificate, Inherited, Process, User};

fn id(name: &str, uuid: u128) -> ActorId {
    ActorId { name: name.to_owned(), uuid, pid: uuid as u32 }
}

fn link(number: u64) -> LinkId {
    LinkId::new(number)
}

fn peers() -> Peers {
    Peers::new(&id("me", 100), Bounds::default())
}

/// A link of the actor with this uuid comes up, and proves all there is.
fn up(peers: &mut Peers, number: u64, uuid: u128, origin: Origin) {
    let pid = uuid as u32;
    let proof = if origin.is_family() { Inherited(pid) } else { Process(pid) };
    let came = peers.handle_link_up(link(number), &id("peer", uuid), origin, proof);
    assert_eq!(came, Ok(()));
}

fn lost() -> Gone {
    Gone::Lost(LostCause::LinkEnded)
}

fn links(peers: &Peers, uuid: u128) -> Vec<u64> {
    peers.links(uuid).map(LinkId::number).collect()
}

fn woken(peers: &mut Peers) -> Vec<(WaiterId, Woken)> {
    std::iter::from_fn(|| peers.poll_woken()).collect()
}

// ---- links of a peer ----

#[test]
fn p_r7_ipc_10_a_peer_is_gone_with_its_last_link() {
    let mut peers = peers();
    up(&mut peers, 1, 7, Accepted);
    up(&mut peers, 2, 7, Dialed);
    let waiter = peers.wait_gone(7);
    peers.handle_link_gone(link(1), Gone::Left);
    assert_eq!((woken(&mut peers), peers.peer(7).is_some()), (vec![], true));
    peers.handle_link_gone(link(1), Gone::Left);
    peers.handle_link_gone(link(2), lost());
    assert_eq!(woken(&mut peers), [(waiter, Woken::Gone(lost()))], "as the last one ended");
    assert_eq!((peers.peer(7), peers.len()), (None, 0));
}

#[test]
fn p_r7_what_was_inherited_is_preferred_then_what_is_newest() {
    let mut peers = peers();
    up(&mut peers, 1, 7, Accepted);
    up(&mut peers, 2, 7, Child);
    up(&mut peers, 3, 7, Dialed);
    assert_eq!(links(&peers, 7), [2, 3, 1]);
    peers.handle_goodbye(link(3));
    assert_eq!(links(&peers, 7), [2, 1], "one that is leaving takes no dialogs");
    peers.handle_link_gone(link(2), lost());
    assert_eq!(links(&peers, 7), [1]);
    assert_eq!(links(&peers, 8), []);
}

#[test]
fn p_r7_of_several_with_one_name_the_newest_is_first() {
    let mut peers = peers();
    for uuid in 1..=3 {
        up(&mut peers, uuid, uuid.into(), Accepted);
    }
    up(&mut peers, 4, 1, Dialed);
    let named = |peers: &Peers, name| peers.named(name).map(|id| id.uuid).collect::<Vec<_>>();
    assert_eq!(named(&peers, "peer"), [3, 2, 1], "a further link is no new peer");
    peers.handle_link_gone(link(2), Gone::Left);
    assert_eq!(named(&peers, "peer"), [3, 1]);
    // P-L7: it was called otherwise when it greeted first.
    let came = peers.handle_link_up(link(5), &id("other", 3), Accepted, Process(3));
    assert_eq!((came, named(&peers, "peer"), named(&peers, "other")), (Ok(()), vec![1], vec![3]));
    assert_eq!(peers.peer(3).map(|id| id.name.as_str()), Some("other"));
}

#[test]
fn p_r7_p_c7_an_actor_is_alone_with_its_parent() {
    let mut peers = peers();
    assert!(peers.is_alone());
    up(&mut peers, 1, 1, Parent);
    assert!(peers.is_alone());
    up(&mut peers, 2, 2, Accepted);
    assert!(!peers.is_alone());
    peers.handle_link_gone(link(2), Gone::Left);
    assert!(peers.is_alone());
}

// ---- who is who ----

/// Who claims to be the actor 7, whose first link proved `first`, and is told this.
fn claims(first: (Origin, Proof), second: (Origin, Proof)) -> Result<(), Stranger> {
    let mut peers = peers();
    assert_eq!(peers.handle_link_up(link(1), &id("first", 7), first.0, first.1), Ok(()));
    let claimed = ActorId { pid: 0, ..id("second", 7) };
    let came = peers.handle_link_up(link(2), &claimed, second.0, second.1);
    assert_eq!(peers.strangers(), u64::from(came.is_err()));
    if came.is_err() {
        assert_eq!(links(&peers, 7), [1], "the first is unharmed (F-15)");
        assert_eq!(peers.peer(7).map(|id| id.name.as_str()), Some("first"));
        assert_eq!(peers.len(), 1);
    }
    came
}

#[test]
fn p_r8_nobody_takes_the_place_of_a_child_or_the_parent() {
    for family in [Child, Parent] {
        for origin in [Accepted, Dialed] {
            let claims = |proof| claims((family, Inherited(7)), (origin, proof));
            for proof in [Process(8), Process(0), User] {
                assert_eq!(claims(proof), Err(Stranger::Unproven), "{proof:?}");
            }
            assert_eq!(claims(Certificate(8)), Err(Stranger::OtherCertificate));
            assert_eq!(claims(Inherited(7)), Err(Stranger::NotFamily));
            assert_eq!(claims(Process(7)), Ok(()), "its own process may connect as well");
            assert_eq!(claims(Certificate(7)), Ok(()), "or who has its key");
        }
        for pid in [7, 8, 0] {
            let second = claims((family, Inherited(7)), (Child, Inherited(pid)));
            assert_eq!(second, Err(Stranger::Unproven), "two children with one identity");
        }
    }
}

#[test]
fn p_r8_nobody_takes_the_place_of_a_peer_that_has_proven_more() {
    let claims = |first, second| claims((Accepted, first), (Accepted, second)).is_ok();
    assert!(claims(Process(7), Process(7)) && !claims(Process(7), Process(8)));
    assert!(!claims(Process(7), Process(0)) && !claims(Process(7), User));
    assert!(!claims(Certificate(7), Process(7)) && !claims(Certificate(7), User));
    assert!(claims(Process(7), Certificate(7)) && claims(User, Certificate(7)));
    assert!(claims(User, User) && claims(User, Process(8)), "nothing better is known of it");
}

#[test]
fn p_r8_a_child_may_have_connected_before_it_was_heard_as_one() {
    for second in [Inherited(7), Inherited(8)] {
        let came = claims((Accepted, Process(7)), (Child, second));
        assert_eq!(came.is_ok(), second == Inherited(7));
    }
}

#[test]
fn p_r8_a_child_keeps_its_identity_until_it_has_ended() {
    let mut peers = peers();
    up(&mut peers, 1, 7, Child);
    peers.handle_link_gone(link(1), lost());
    assert_eq!((peers.len(), peers.family()), (0, 1));
    let stranger = |peers: &Peers, proof| peers.admits(&id("x", 7), Accepted, proof);
    assert_eq!(stranger(&peers, User), Err(Stranger::Unproven));
    assert_eq!(stranger(&peers, Process(7)), Ok(()), "it comes back itself");
    peers.handle_dead(7, Some(ExitStatus::Code(1)));
    assert_eq!(peers.family(), 0);
    for proof in [User, Process(7), Certificate(7)] {
        assert_eq!(stranger(&peers, proof), Err(Stranger::Dead), "a uuid is never used again");
    }
}

#[test]
fn p_r8_an_actor_is_no_peer_of_itself_and_nobody_else_is_it() {
    let mut peers = peers();
    for (origin, proof) in [(Accepted, Process(100)), (Dialed, User), (Child, Inherited(5))] {
        let came = peers.handle_link_up(link(1), &id("me", 100), origin, proof);
        assert_eq!(came, Err(Stranger::Oneself));
    }
    assert_eq!((peers.strangers(), peers.is_empty()), (3, true));
}

#[test]
fn p_r8_p_a7_a_stranger_is_told_by_a_text_of_its_own() {
    for (stranger, says) in [
        (Stranger::Oneself, "itself"),
        (Stranger::Dead, "died"),
        (Stranger::OtherProcess { claimed: 7, seen: 8 }, "process 7, and is process 8"),
        (Stranger::OtherCertificate, "certificate"),
        (Stranger::Unproven, "does not prove"),
        (Stranger::NotFamily, "not started"),
    ] {
        let text = stranger.to_string();
        assert!(text.contains(says) && text.ends_with("(P-R8)"), "{text}");
        assert_eq!(stranger.told(), GoodbyeReason::NotAllowed, "a code only (P-A6)");
    }
}

// ---- links per peer ----

#[test]
fn p_r12_the_links_that_one_peer_dials_are_bounded_until_they_are_gone() {
    let mut peers = peers();
    let came = |peers: &mut Peers, number, uuid, origin| {
        let proof = Process(uuid as u32);
        peers.handle_link_up(link(number), &id("peer", uuid), origin, proof)
    };
    for number in 0..32 {
        assert_eq!(came(&mut peers, number, 7, Accepted), Ok(()));
    }
    let refused = Err(Stranger::TooMany { max: 32 });
    for number in 50..53 {
        assert_eq!(came(&mut peers, number, 7, Accepted), refused);
    }
    assert_eq!((peers.len(), peers.strangers()), (32, 3), "the others are unharmed");
    assert_eq!(came(&mut peers, 60, 8, Accepted), Ok(()), "nor has another peer less");
    assert_eq!(came(&mut peers, 61, 7, Dialed), Ok(()), "nor this actor itself");
    peers.handle_goodbye(link(3));
    assert_eq!(
        came(&mut peers, 62, 7, Accepted),
        refused,
        "one that leaves is there until it is gone"
    );
    peers.handle_link_gone(link(3), Gone::Left);
    assert_eq!(came(&mut peers, 62, 7, Accepted), Ok(()));
    assert_eq!(came(&mut peers, 63, 7, Accepted), refused);
    peers.handle_link_gone(link(61), Gone::Left);
    assert_eq!(came(&mut peers, 63, 7, Accepted), refused, "that one was not the peer's");
    let told = Stranger::TooMany { max: 32 }.told();
    assert_eq!(told, GoodbyeReason::Protocol("P-R12".to_owned()), "a code only (P-A6)");
}

// ---- portals ----

#[test]
fn p_r9_a_dialed_link_goes_with_its_last_portal() {
    let mut peers = peers();
    up(&mut peers, 1, 7, Dialed);
    assert!(peers.hold(link(1)), "beside the one that it was dialed for");
    assert!(!peers.release(link(1)));
    assert!(peers.release(link(1)), "now it is to say `Goodbye`");
    assert!(!peers.release(link(1)), "once");
    assert!(!peers.hold(link(1)), "who comes too late dials anew");
    assert_eq!((links(&peers, 7), peers.len()), (vec![], 1), "until it is gone");
    up(&mut peers, 2, 7, Dialed);
    assert_eq!(links(&peers, 7), [2]);
    assert!(peers.release(link(2)), "nobody has taken what was dialed");
}

#[test]
fn p_r9_what_was_not_dialed_is_never_closed_by_portals() {
    for origin in [Parent, Child, Accepted] {
        let mut peers = peers();
        up(&mut peers, 1, 7, origin);
        assert!(!peers.release(link(1)), "none was held");
        assert!(peers.hold(link(1)) && peers.hold(link(1)));
        assert!(!peers.release(link(1)) && !peers.release(link(1)));
        assert_eq!(links(&peers, 7), [1]);
        assert!(peers.hold(link(1)));
    }
    assert!(!peers().hold(link(1)) && !peers().release(link(1)), "one that is not up");
}

#[test]
fn p_r9_p_l3_a_goodbye_that_was_heard_is_not_said_again_by_portals() {
    let mut peers = peers();
    up(&mut peers, 1, 7, Dialed);
    peers.handle_goodbye(link(1));
    assert!(!peers.hold(link(1)) && !peers.release(link(1)));
}

// ---- the crowd at the door ----

#[test]
fn p_r10_those_who_have_not_greeted_are_bounded_whatever_the_dice() {
    let mut peers = peers();
    for number in 1..=64 {
        assert!(peers.handle_accepted(link(number), 0), "the first 64 are taken on any roll");
    }
    assert!(!peers.handle_accepted(link(65), 0));
    for number in 66..1000 {
        let _ = peers.handle_accepted(link(number), u16::MAX);
    }
    assert_eq!((peers.greeting(), peers.dropped()), (256, 1 + 934 - 192));
    assert!(peers.handle_accepted(link(1), 0), "it is there already");
    // Whoever greets, or goes, leaves its place to another.
    up(&mut peers, 1, 7, Accepted);
    peers.handle_link_gone(link(2), lost());
    assert_eq!((peers.greeting(), peers.len()), (254, 1));
    assert!(peers.handle_accepted(link(1), 0), "it is up");
    let refused = peers.handle_link_up(link(3), &id("x", 7), Accepted, User);
    assert!(refused.is_err());
    assert_eq!(peers.greeting(), 254, "a stranger holds its place until it is gone");
    for number in 1..1000 {
        peers.handle_link_gone(link(number), Gone::Left);
    }
    assert_eq!((peers.greeting(), peers.len(), peers.waiters()), (0, 0, 0));
}

// ---- waiting for a peer ----

#[test]
fn p_r11_a_wait_makes_no_entry_and_leaves_none() {
    let mut peers = peers();
    let ups: Vec<_> = (0..100).map(|uuid| peers.wait_up(uuid)).collect();
    assert_eq!((peers.len(), peers.waiters(), peers.peer(7)), (0, 100, None));
    assert_eq!(links(&peers, 7), []);
    for waiter in ups {
        assert!(peers.cancel(waiter));
        assert!(!peers.cancel(waiter));
    }
    assert_eq!((peers.waiters(), woken(&mut peers)), (0, vec![]));
    up(&mut peers, 1, 7, Accepted);
    assert_eq!(woken(&mut peers), [], "who has left is not woken");
}

#[test]
fn p_r11_a_wait_is_answered_at_once_where_the_answer_is_known() {
    let mut peers = peers();
    let gone = peers.wait_gone(7);
    assert_eq!(woken(&mut peers), [(gone, Woken::Gone(Gone::Unlinked))]);
    up(&mut peers, 1, 7, Accepted);
    let is_up = peers.wait_up(7);
    assert_eq!(woken(&mut peers), [(is_up, Woken::Up)]);
    peers.handle_goodbye(link(1));
    let is_up = peers.wait_up(7);
    assert_eq!(woken(&mut peers), [], "what is leaving is no link to use");
    up(&mut peers, 2, 7, Accepted);
    assert_eq!(woken(&mut peers), [(is_up, Woken::Up)]);
}

#[test]
fn p_r11_who_waits_for_one_that_dies_is_woken_with_the_cause() {
    let mut peers = peers();
    let status = Some(ExitStatus::Signal { number: 9, core: false });
    let died = Woken::Gone(Gone::Died(status));
    let [one, two] = [7, 7].map(|uuid| peers.wait_up(uuid));
    let other = peers.wait_up(8);
    peers.handle_dead(7, status);
    assert_eq!(woken(&mut peers), [(one, died.clone()), (two, died.clone())]);
    let late = [peers.wait_up(7), peers.wait_gone(7)];
    assert_eq!(woken(&mut peers), late.map(|id| (id, died.clone())), "a moment later as well");
    assert!(peers.cancel(other));
    // The dead are forgotten in the end: 1,024 later ones have died.
    for uuid in 1000..1000 + 1024 {
        peers.handle_dead(uuid, None);
    }
    let forgotten = peers.wait_up(7);
    assert_eq!((woken(&mut peers), peers.waiters()), (vec![], 1));
    assert!(peers.cancel(forgotten));
}

#[test]
fn p_r11_one_that_is_linked_is_gone_when_its_links_are_though_it_has_died() {
    for dies_first in [true, false] {
        let mut peers = peers();
        up(&mut peers, 1, 7, Child);
        let gone = peers.wait_gone(7);
        let status = Some(ExitStatus::Code(3));
        if dies_first {
            peers.handle_dead(7, status);
            assert_eq!(woken(&mut peers), [], "what is left in its link is read first");
            peers.handle_link_gone(link(1), lost());
            assert_eq!(woken(&mut peers), [(gone, Woken::Gone(Gone::Died(status)))]);
        } else {
            peers.handle_link_gone(link(1), lost());
            assert_eq!(woken(&mut peers), [(gone, Woken::Gone(lost()))]);
            peers.handle_dead(7, status);
            assert_eq!(woken(&mut peers), []);
        }
    }
}

#[test]
fn p_r11_a_wait_that_is_cancelled_when_it_was_woken_is_not_told() {
    let mut peers = peers();
    let waiters = [peers.wait_up(7), peers.wait_up(7)];
    up(&mut peers, 1, 7, Accepted);
    assert!(peers.cancel(waiters[0]));
    assert_eq!(woken(&mut peers), [(waiters[1], Woken::Up)]);
    assert!(!peers.cancel(waiters[1]), "it is over");
}

// ---- any order ----

#[test]
fn p_r8_the_order_in_which_links_of_one_peer_come_up_makes_no_difference() {
    let all = [(Child, Inherited(7)), (Accepted, Process(7)), (Dialed, Certificate(7))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0]] {
        let mut peers = peers();
        for at in order {
            let (origin, proof) = all[at];
            let came = peers.handle_link_up(link(at as u64), &id("peer", 7), origin, proof);
            assert_eq!(came, Ok(()), "{order:?}");
        }
        assert_eq!(links(&peers, 7).len(), 3);
        assert_eq!(links(&peers, 7)[0], 0, "the inherited one first");
        let later = [Process(8), User, Process(0)];
        for proof in later {
            let refused = peers.admits(&ActorId { pid: 0, ..id("x", 7) }, Accepted, proof);
            assert_eq!(refused, Err(Stranger::Unproven), "{order:?}");
        }
        assert_eq!(peers.admits(&id("peer", 7), Accepted, Process(7)), Ok(()), "{order:?}");
    }
    // Where the certificate comes first, a process id proves nothing about who has the key.
    for second in [0, 1] {
        let mut peers = peers();
        let first = peers.handle_link_up(link(2), &id("peer", 7), all[2].0, all[2].1);
        let (origin, proof) = all[second];
        let came = peers.handle_link_up(link(1), &id("peer", 7), origin, proof);
        assert_eq!((first, came), (Ok(()), Err(Stranger::Unproven)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn p_r7_any_calls_in_any_order_come_to_what_a_naive_model_says(
        bytes in vec(any::<u8>(), 0..1500)
    ) {
        peers_against(&bytes);
    }
}

//! Dialog 0 between peers: one actor asks another to end (P-L2).

use std::time::Duration;

use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Config, Connection, DialogId, Event, GoodbyeReason,
    Instant, Limits, LinkKind, Misuse, Role, Why,
};
use hatchery_tests::pair::actor;

const NOW: Instant = Instant::from_micros(1_000);

fn end(role: Role, number: u32, tree: Option<u128>) -> Connection {
    let limits = Limits::default();
    let config = Config { kind: LinkKind::Peer, role, me: actor(number), limits };
    let connection = Connection::new(config, NOW);
    match tree {
        Some(tree) => connection.of_tree(tree),
        None => connection,
    }
}

/// Two ends that have greeted each other.
fn greeted(a: Option<u128>, b: Option<u128>) -> [Connection; 2] {
    let mut ends = [end(Role::Even, 1, a), end(Role::Odd, 2, b)];
    carry(&mut ends);
    assert!(ends.iter_mut().all(|end| events(end).contains(&Event::Up)));
    ends
}

fn hand(from: &mut Connection, to: &mut Connection) -> bool {
    let mut bytes = Vec::new();
    let count = from.poll_transmit(NOW, &mut bytes, usize::MAX);
    to.handle_input(NOW, &bytes);
    count > 0
}

fn carry([a, b]: &mut [Connection; 2]) {
    while hand(a, b) | hand(b, a) {}
}

fn events(end: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| end.poll_event()).collect()
}

fn request(canceller: ActorId, millis: u64) -> CancelRequest {
    let by = Cancelled { canceller, cause: Cause::Asked };
    CancelRequest { by, grace: Duration::from_millis(millis) }
}

#[test]
fn p_l2_a_peer_of_the_same_tree_is_asked_and_answers_at_once() {
    let mut ends = greeted(Some(7), Some(7));
    assert!(ends.iter().all(Connection::is_granted));
    assert_eq!(ends[0].peer_cancelled(), None);
    ends[0].cancel_peer(NOW, request(actor(1), 900)).unwrap();
    assert_eq!(ends[0].peer_cancelled(), Some(false));
    carry(&mut ends);
    assert_eq!(events(&mut ends[1]), [Event::CancelAsked(DialogId::ACTOR)]);
    assert_eq!(events(&mut ends[0]), [Event::CancelAcked(DialogId::ACTOR)]);
    assert_eq!(ends[1].asked_by_peer(), Some(&request(actor(1), 900)));
    assert_eq!(ends[0].peer_cancelled(), Some(true));
    // Its actor ends, and says so.
    ends[1].goodbye(NOW, GoodbyeReason::Leaving);
    carry(&mut ends);
    assert!(ends.iter().all(Connection::is_closed));
    assert_eq!(events(&mut ends[0]), [Event::Goodbye(GoodbyeReason::Leaving), Event::Closed]);
}

#[test]
fn p_l2_both_may_ask_at_once() {
    let mut ends = greeted(Some(7), Some(7));
    ends[0].cancel_peer(NOW, request(actor(1), 900)).unwrap();
    ends[1].cancel_peer(NOW, request(actor(2), 800)).unwrap();
    carry(&mut ends);
    for end in &mut ends {
        let seen = events(end);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen.contains(&Event::CancelAsked(DialogId::ACTOR)));
        assert!(seen.contains(&Event::CancelAcked(DialogId::ACTOR)));
    }
}

#[test]
fn p_c1_a_repeat_only_shortens_and_the_first_canceller_stays() {
    let mut ends = greeted(Some(7), Some(7));
    ends[0].cancel_peer(NOW, request(actor(1), 900)).unwrap();
    // Before the first was answered, and more than once: one frame says the shortest.
    assert!(hand_one(&mut ends, 0));
    ends[0].cancel_peer(NOW, request(actor(3), 500)).unwrap();
    ends[0].cancel_peer(NOW, request(actor(3), 400)).unwrap();
    ends[0].cancel_peer(NOW, request(actor(3), 700)).unwrap();
    assert!(!ends[0].wants_transmit());
    carry(&mut ends);
    let asked = Event::CancelAsked(DialogId::ACTOR);
    assert_eq!(events(&mut ends[1]), [asked.clone(), asked]);
    assert_eq!(events(&mut ends[0]), [Event::CancelAcked(DialogId::ACTOR)]);
    assert_eq!(ends[1].asked_by_peer(), Some(&request(actor(1), 400)));
    // However often: what is said is bounded, and costs no honest end its link (P-A4).
    for millis in (0..300).rev() {
        ends[0].cancel_peer(NOW, request(actor(1), millis)).unwrap();
        carry(&mut ends);
    }
    assert!(ends.iter().all(|end| !end.is_closed()));
}

fn hand_one(ends: &mut [Connection; 2], from: usize) -> bool {
    let [a, b] = ends;
    if from == 0 { hand(a, b) } else { hand(b, a) }
}

#[test]
fn p_c1_an_asker_waits_half_a_second_beyond_the_grace() {
    let mut ends = greeted(Some(7), Some(7));
    ends[0].cancel_peer(NOW, request(actor(1), 900)).unwrap();
    carry(&mut ends);
    let due = NOW + Duration::from_millis(1_400);
    let wait = (due, Why::CancelWait(DialogId::ACTOR));
    assert_eq!(ends[0].poll_timeout(), Some(wait));
    events(&mut ends[0]);
    ends[0].handle_timeout(due);
    assert_eq!(events(&mut ends[0]), [Event::Finished(DialogId::ACTOR)]);
    assert_ne!(ends[0].poll_timeout(), Some(wait));
    assert!(!ends[0].is_closed(), "the link and all on it go on");
}

#[test]
fn p_l2_a_peer_of_another_tree_is_not_asked_and_one_that_asks_is_told_so() {
    for trees in [(Some(7), Some(8)), (Some(7), None), (None, Some(7)), (None, None)] {
        let mut ends = greeted(trees.0, trees.1);
        let refused = ends[0].cancel_peer(NOW, request(actor(1), 900));
        assert_eq!(refused, Err(Misuse::NotGranted));
        assert!(!ends[0].wants_transmit());
    }
    // One that asks all the same: its frame is written by an end that was told otherwise.
    let mut liar = [end(Role::Even, 1, Some(8)), end(Role::Odd, 2, Some(8))];
    let mut honest = [end(Role::Even, 1, Some(8)), end(Role::Odd, 2, Some(7))];
    carry(&mut liar);
    carry(&mut honest);
    liar[0].cancel_peer(NOW, request(actor(1), 900)).unwrap();
    let mut bytes = Vec::new();
    assert!(liar[0].poll_transmit(NOW, &mut bytes, usize::MAX) > 0);
    honest[1].handle_input(NOW, &bytes);
    assert_eq!(honest[1].asked_by_peer(), None);
    carry(&mut honest);
    let told = events(&mut honest[0]);
    assert!(told.contains(&Event::Goodbye(GoodbyeReason::NotAllowed)), "{told:?}");
}

#[test]
fn p_l2_an_ack_that_answers_nothing_is_a_violation() {
    let mut ends = greeted(Some(7), Some(7));
    let mut other = greeted(Some(7), Some(7));
    other[1].cancel_peer(NOW, request(actor(2), 900)).unwrap();
    let [asked, asks] = &mut other;
    assert!(hand(asks, asked));
    let mut ack = Vec::new();
    assert!(asked.poll_transmit(NOW, &mut ack, usize::MAX) > 0);
    ends[1].handle_input(NOW, &ack);
    let broken = events(&mut ends[1]);
    assert!(matches!(&broken[..], [Event::Broken(why), ..] if why.rule == "P-L2"), "{broken:?}");
    assert!(ends[1].is_closed());
}

#[test]
fn p_l3_an_end_that_has_left_asks_nobody() {
    let mut ends = greeted(Some(7), Some(7));
    let open = ends[0].start(NOW, hatchery_tests::pair::wish(hatchery_proto::Kind::Call), b"");
    assert!(open.is_ok());
    ends[0].goodbye(NOW, GoodbyeReason::LinkOnly);
    assert_eq!(ends[0].cancel_peer(NOW, request(actor(1), 900)), Err(Misuse::Closing));
    // Whoever stays may still ask the one that leaves.
    carry(&mut ends);
    ends[1].cancel_peer(NOW, request(actor(2), 900)).unwrap();
    carry(&mut ends);
    assert!(events(&mut ends[0]).contains(&Event::CancelAsked(DialogId::ACTOR)));
    ends[0].handle_eof(NOW);
    assert_eq!(ends[0].cancel_peer(NOW, request(actor(1), 1)), Err(Misuse::LinkGone));
}

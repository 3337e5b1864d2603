//! Who has the terminal (P-T2): one at a time over the whole tree, in turn, whatever becomes of who
//! holds it or waits; and every actor on the way knows which of its children to leave alone.

use std::collections::VecDeque;

use hatchery_proto::LinkId;
use hatchery_proto::tty::{Refused, RequestId, Tty, TtyStep, Via};
use hatchery_tests::hostile::tty_against;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

fn own(number: u64) -> RequestId {
    RequestId::new(Via::Own, number)
}

fn child(link: u64) -> LinkId {
    LinkId::new(link)
}

fn below(link: u64, number: u64) -> RequestId {
    RequestId::new(Via::Child(child(link)), number)
}

fn steps(tty: &mut Tty) -> Vec<TtyStep> {
    std::iter::from_fn(|| tty.poll_step()).collect()
}

#[test]
fn dbg_01_a_root_grants_in_the_order_of_the_requests_whoever_they_come_from() {
    let mut root = Tty::new(true);
    let all = [below(1, 1), own(1), below(2, 1), below(1, 3)];
    for id in all {
        assert_eq!(root.request(id), Ok(()));
    }
    assert_eq!(steps(&mut root), [TtyStep::Granted(all[0])]);
    for turn in all.windows(2) {
        assert!(root.release(turn[0]));
        assert_eq!(steps(&mut root), [TtyStep::Granted(turn[1])]);
    }
    assert!(root.release(all[3]));
    assert_eq!(steps(&mut root), [TtyStep::Idle], "once");
    assert_eq!(steps(&mut root), []);
}

#[test]
fn dbg_03_a_second_request_with_one_id_is_refused_and_changes_nothing() {
    let mut root = Tty::new(true);
    root.request(own(1)).unwrap();
    assert_eq!(root.request(own(1)), Err(Refused::Double));
    assert_eq!(root.len(), 1);
    assert!(root.release(own(1)));
    assert_eq!(root.request(own(1)), Ok(()), "it is over: the name is free");
}

#[test]
fn dbg_02_only_who_waits_can_be_taken_back_and_only_who_holds_can_give_back() {
    let mut root = Tty::new(true);
    root.request(own(1)).unwrap();
    root.request(own(2)).unwrap();
    assert!(!root.withdraw(own(1)), "it is shielded until it gives it back");
    assert!(!root.release(own(2)));
    assert!(root.withdraw(own(2)));
    assert_eq!(steps(&mut root), [TtyStep::Granted(own(1))]);
    assert!(root.release(own(1)) && !root.release(own(1)));
}

#[test]
fn p_t2_idle_is_told_once_for_the_last_and_never_between_two() {
    let mut root = Tty::new(true);
    root.request(own(1)).unwrap();
    root.request(own(2)).unwrap();
    root.release(own(1));
    assert_eq!(steps(&mut root), [TtyStep::Granted(own(2))]);
    root.release(own(2));
    // Before anybody was told, it is not so any more.
    root.request(own(3)).unwrap();
    assert_eq!(steps(&mut root), [TtyStep::Granted(own(3))]);
    root.release(own(3));
    assert_eq!(steps(&mut root), [TtyStep::Idle]);
}

#[test]
fn f_24_a_child_that_is_gone_takes_all_along_that_came_through_it() {
    let mut root = Tty::new(true);
    for id in [below(1, 1), below(1, 3), below(2, 1), below(1, 5)] {
        root.request(id).unwrap();
    }
    assert!(root.is_busy_below(child(1)) && root.is_busy_below(child(2)));
    root.handle_child_gone(child(1));
    assert!(!root.is_busy_below(child(1)) && root.is_busy_below(child(2)));
    assert_eq!(steps(&mut root), [TtyStep::Granted(below(2, 1))]);
    assert!(!root.release(below(1, 1)), "known no more");
}

#[test]
fn p_t2_the_end_of_the_parents_link_ends_every_hold_and_every_wait() {
    let mut middle = Tty::new(false);
    middle.request(below(1, 1)).unwrap();
    middle.request(own(1)).unwrap();
    assert_eq!(steps(&mut middle), [], "it grants nothing itself");
    middle.handle_granted(below(1, 1));
    middle.handle_granted(below(1, 1));
    middle.handle_granted(own(7));
    assert_eq!(steps(&mut middle), [TtyStep::Granted(below(1, 1))]);
    middle.handle_parent_gone();
    let ended = [TtyStep::Ended(below(1, 1)), TtyStep::Ended(own(1)), TtyStep::Idle];
    assert_eq!(steps(&mut middle), ended);
    assert_eq!(middle.request(own(2)), Err(Refused::Cut));
    let mut root = Tty::new(true);
    root.request(own(1)).unwrap();
    root.handle_parent_gone();
    assert!(root.is_granted(own(1)), "a root has none");
}

/// A root, an actor below it, and two below that; each asks its parent under its own number, and what
/// is said on a link arrives in the order in which it was said.
struct Tree {
    root: Tty,
    middle: Tty,
    /// Numbers of those that have it.
    holders: Vec<u64>,
    said: VecDeque<Said>,
}

/// What that number is called in the middle.
fn come(number: u64) -> RequestId {
    match number % 3 {
        0 => own(number),
        leaf => below(leaf, number),
    }
}

#[derive(Clone, Copy)]
enum Said {
    Request(u64),
    Over(u64),
}

impl Tree {
    fn new() -> Self {
        let (root, middle) = (Tty::new(true), Tty::new(false));
        Self { root, middle, holders: Vec::new(), said: VecDeque::new() }
    }

    /// Leaf 2 or 3 asks, or the middle itself.
    fn ask(&mut self, number: u64) {
        let id = come(number);
        self.middle.request(id).unwrap();
        self.said.push_back(Said::Request(number));
    }

    fn leave(&mut self, number: u64) {
        let id = come(number);
        assert!(self.middle.release(id) || self.middle.withdraw(id));
        self.holders.retain(|holder| *holder != number);
        self.said.push_back(Said::Over(number));
    }

    /// One word arrives at the root.
    fn hear(&mut self) {
        match self.said.pop_front() {
            Some(Said::Request(number)) => self.root.request(below(9, number)).unwrap(),
            Some(Said::Over(number)) => {
                let id = below(9, number);
                assert!(self.root.release(id) || self.root.withdraw(id));
            }
            None => {}
        }
        // A grant may cross its request's end, and finds nobody then.
        for step in steps(&mut self.root) {
            if let TtyStep::Granted(RequestId { number, .. }) = step {
                let id = come(number);
                self.middle.handle_granted(id);
                if self.middle.is_granted(id) {
                    self.holders.push(number);
                }
            }
        }
        assert!(self.holders.len() <= 1, "{:?} have it", self.holders);
        assert!(self.middle.is_busy() || self.holders.is_empty());
        assert!(self.root.is_busy() || !self.middle.is_busy() || !self.said.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn p_t2_any_calls_in_any_order_come_to_what_a_naive_model_says(
        bytes in vec(any::<u8>(), 0..600)
    ) {
        tty_against(&bytes);
    }

    #[test]
    fn dbg_01_over_a_link_one_has_it_at_a_time_and_all_who_stay_have_it_in_turn(
        acts in vec(0_u8..4, 0..200)
    ) {
        let (mut tree, mut next, mut there) = (Tree::new(), 0, VecDeque::new());
        for act in acts {
            match act {
                0 => {
                    tree.ask(next);
                    there.push_back(next);
                    next += 1;
                }
                1 if there.len() > 1 => {
                    let gone = there.remove(there.len() / 2).unwrap();
                    tree.leave(gone);
                }
                _ => tree.hear(),
            }
        }
        while let Some(first) = there.pop_front() {
            (0..=tree.said.len()).for_each(|_| tree.hear());
            assert_eq!(tree.holders, [first]);
            tree.leave(first);
        }
        (0..=tree.said.len()).for_each(|_| tree.hear());
        assert!(!tree.root.is_busy() && !tree.middle.is_busy());
    }
}

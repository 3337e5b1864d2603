//! Nurseries: who is cancelled when, what joins, and what the block comes to.

use hatchery_proto::nursery::{
    Closed, FailureId, MemberEnd, MemberId, MemberKind, Nursery, NurseryStep, Phase,
};

use MemberEnd::{Cancelled, Failed, Fine};
use NurseryStep::{CancelMembers, Done, DropBody};

const A: FailureId = (1, 1);
const B: FailureId = (2, 1);
const C: FailureId = (3, 1);

fn steps(nursery: &mut Nursery) -> Vec<NurseryStep> {
    std::iter::from_fn(|| nursery.poll_step()).collect()
}

fn with_tasks<const N: usize>() -> (Nursery, [MemberId; N]) {
    let mut nursery = Nursery::new();
    let ids = [(); N].map(|()| nursery.add(MemberKind::Task).unwrap());
    (nursery, ids)
}

// ---- joining (CAN-01) ----

#[test]
fn can_01_a_clean_end_waits_for_tasks_one_shot_actors_and_daemons() {
    let kinds =
        [MemberKind::Task, MemberKind::Actor { daemon: false }, MemberKind::Actor { daemon: true }];
    for kind in kinds {
        let mut nursery = Nursery::new();
        let id = nursery.add(kind).unwrap();
        assert_eq!(nursery.members().collect::<Vec<_>>(), [(id, kind)]);
        nursery.handle_body_ended(Fine);
        assert_eq!((steps(&mut nursery), nursery.is_done()), (vec![], false));
        nursery.handle_member_ended(id, Fine);
        assert_eq!((steps(&mut nursery), nursery.is_done()), (vec![Done], true));
        assert!(nursery.verdict().is_fine());
    }
}

#[test]
fn can_01_an_empty_nursery_is_done_with_its_body() {
    let mut nursery = Nursery::new();
    assert_eq!(steps(&mut nursery), []);
    nursery.handle_body_ended(Fine);
    assert_eq!(steps(&mut nursery), [Done]);
}

#[test]
fn can_01_members_that_end_before_the_body_end_nothing() {
    let (mut nursery, [id]) = with_tasks();
    nursery.handle_member_ended(id, Fine);
    assert_eq!((steps(&mut nursery), nursery.is_done()), (vec![], false));
    nursery.handle_body_ended(Fine);
    assert_eq!(steps(&mut nursery), [Done]);
}

#[test]
fn members_may_start_others_while_the_nursery_joins() {
    let (mut nursery, [first]) = with_tasks();
    nursery.handle_body_ended(Fine);
    let second = nursery.add(MemberKind::Task).unwrap();
    nursery.handle_member_ended(first, Fine);
    assert!(!nursery.is_done());
    nursery.handle_member_ended(second, Fine);
    assert!(nursery.is_done());
    assert_eq!(nursery.add(MemberKind::Task), Err(Closed));
}

// ---- one failure cancels all ----

#[test]
fn can_04_one_failure_drops_the_body_then_cancels_the_others() {
    let (mut nursery, [one, two, three]) = with_tasks();
    nursery.handle_member_ended(one, Failed(A));
    assert_eq!(steps(&mut nursery), [DropBody], "the body first (P-C2)");
    assert_eq!(nursery.add(MemberKind::Task), Err(Closed));
    nursery.handle_body_ended(Cancelled);
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(two, Cancelled);
    assert!(!nursery.is_done());
    nursery.handle_member_ended(three, Cancelled);
    assert_eq!(steps(&mut nursery), [Done]);
    let verdict = nursery.verdict();
    assert_eq!((verdict.cause, verdict.by_body), (Some(A), false));
    assert_eq!((verdict.also, verdict.cancelled), (vec![], 2));
}

#[test]
fn can_04_a_failure_while_joining_cancels_the_others_at_once() {
    let (mut nursery, [one, two]) = with_tasks();
    nursery.handle_body_ended(Fine);
    nursery.handle_member_ended(one, Failed(A));
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(two, Cancelled);
    assert_eq!(steps(&mut nursery), [Done]);
    assert_eq!(nursery.verdict().cause, Some(A));
}

#[test]
fn can_03_the_bodys_failure_cancels_all_and_is_the_cause() {
    let (mut nursery, [one, two]) = with_tasks();
    nursery.handle_body_ended(Failed(A));
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(one, Failed(B));
    nursery.handle_member_ended(two, Cancelled);
    assert_eq!(steps(&mut nursery), [Done]);
    let verdict = nursery.verdict();
    assert!(!verdict.is_fine());
    assert_eq!((verdict.cause, verdict.by_body), (Some(A), true));
    assert_eq!((verdict.also, verdict.cancelled), (vec![B], 1));
}

#[test]
fn can_05_several_failures_are_listed_once_each_the_first_being_the_cause() {
    let (mut nursery, [one, two, three, four]) = with_tasks();
    nursery.handle_member_ended(one, Failed(B));
    nursery.handle_member_ended(two, Failed(C));
    nursery.handle_member_ended(three, Failed(B));
    nursery.handle_body_ended(Cancelled);
    nursery.handle_member_ended(four, Failed(A));
    let verdict = nursery.verdict();
    assert_eq!((verdict.cause, verdict.also), (Some(B), vec![C, A]));
    assert_eq!(verdict.cancelled, 0);
}

#[test]
fn can_05_failures_beyond_the_first_do_not_cancel_again() {
    let (mut nursery, [one, two, _three]) = with_tasks();
    nursery.handle_member_ended(one, Failed(A));
    nursery.handle_body_ended(Cancelled);
    assert_eq!(steps(&mut nursery), [DropBody, CancelMembers][1..]);
    nursery.handle_member_ended(two, Failed(B));
    assert_eq!(steps(&mut nursery), []);
}

#[test]
fn can_07_a_member_that_fails_after_it_was_cancelled_is_still_listed() {
    let (mut nursery, [one]) = with_tasks();
    nursery.cancel();
    nursery.handle_body_ended(Cancelled);
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(one, Failed(A));
    assert_eq!(nursery.verdict().cause, Some(A));
}

// ---- whose failure it is ----

#[test]
fn a_failure_seen_by_the_body_first_counts_once_and_is_the_bodys_to_return() {
    let (mut nursery, [one]) = with_tasks();
    nursery.handle_body_ended(Failed(A));
    nursery.handle_member_ended(one, Failed(A));
    let verdict = nursery.verdict();
    assert_eq!((verdict.cause, verdict.by_body, verdict.also), (Some(A), true, vec![]));
}

#[test]
fn a_failure_seen_by_the_nursery_first_counts_once_too() {
    let (mut nursery, [one]) = with_tasks();
    nursery.handle_member_ended(one, Failed(A));
    nursery.handle_body_ended(Failed(A));
    let verdict = nursery.verdict();
    assert_eq!((verdict.cause, verdict.by_body, verdict.also), (Some(A), true, vec![]));
}

#[test]
fn a_body_that_hands_on_a_later_failure_does_not_hide_the_root_cause() {
    let (mut nursery, [one, two]) = with_tasks();
    nursery.handle_member_ended(one, Failed(A));
    nursery.handle_member_ended(two, Failed(B));
    nursery.handle_body_ended(Failed(B));
    let verdict = nursery.verdict();
    assert_eq!((verdict.cause, verdict.by_body, verdict.also), (Some(A), false, vec![B]));
}

#[test]
fn can_03_the_bodys_own_error_is_the_cause_even_where_a_member_failed_before() {
    let (mut nursery, [one]) = with_tasks();
    nursery.handle_member_ended(one, Failed(A));
    nursery.handle_body_ended(Failed(B));
    let verdict = nursery.verdict();
    assert_eq!((verdict.cause, verdict.by_body, verdict.also), (Some(B), true, vec![A]));
}

#[test]
fn a_body_that_was_cancelled_is_no_cause() {
    let (mut nursery, [one]) = with_tasks();
    nursery.handle_body_ended(Cancelled);
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(one, Cancelled);
    let verdict = nursery.verdict();
    assert!(verdict.is_fine() && !verdict.by_body);
    assert_eq!(verdict.cancelled, 1, "members are counted, the body is not");
}

// ---- cancelled from outside ----

#[test]
fn p_c2_a_cancel_drops_the_body_before_the_members_are_cancelled() {
    let (mut nursery, [one]) = with_tasks();
    assert!(!nursery.is_cancelled());
    nursery.cancel();
    assert_eq!(steps(&mut nursery), [DropBody]);
    assert!(nursery.is_cancelled());
    nursery.handle_body_ended(Cancelled);
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(one, Cancelled);
    assert_eq!(steps(&mut nursery), [Done]);
    assert!(nursery.verdict().is_fine());
}

#[test]
fn p_c1_a_repeated_cancel_reaches_the_members_again() {
    let (mut nursery, [_one]) = with_tasks();
    nursery.cancel();
    nursery.handle_body_ended(Cancelled);
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.cancel();
    assert_eq!(steps(&mut nursery), [CancelMembers]);
}

#[test]
fn can_02_cancelling_the_members_leaves_the_body_and_the_nursery_open() {
    let (mut nursery, [one]) = with_tasks();
    nursery.cancel_members();
    assert_eq!(steps(&mut nursery), [CancelMembers]);
    nursery.handle_member_ended(one, Cancelled);
    let two = nursery.add(MemberKind::Task).unwrap();
    nursery.handle_body_ended(Fine);
    nursery.handle_member_ended(two, Fine);
    assert_eq!(steps(&mut nursery), [Done]);
    assert_eq!(nursery.verdict().cancelled, 1);
}

// ---- all of it ----

#[derive(Clone, Copy, Debug)]
enum Happens {
    Add,
    Member(usize, MemberEnd),
    Body(MemberEnd),
    Cancel,
    CancelMembers,
}

/// A nursery with what its driver knows of it.
#[derive(Clone)]
struct Seen {
    nursery: Nursery,
    members: Vec<(MemberId, Option<MemberEnd>)>,
    body: Option<MemberEnd>,
    done: usize,
    failed: Vec<FailureId>,
}

impl Seen {
    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Add => match self.nursery.add(MemberKind::Task) {
                Ok(id) => self.members.push((id, None)),
                Err(Closed) => {
                    assert!(self.nursery.is_cancelled() || self.nursery.is_done());
                }
            },
            Happens::Member(index, end) => {
                let Some((id, known)) = self.members.get_mut(index) else { return };
                self.nursery.handle_member_ended(*id, end);
                if known.is_none() {
                    *known = Some(end);
                    self.fail(end);
                }
            }
            Happens::Body(end) => {
                self.nursery.handle_body_ended(end);
                if self.body.is_none() {
                    self.body = Some(end);
                    self.fail(end);
                }
            }
            Happens::Cancel => self.nursery.cancel(),
            Happens::CancelMembers => self.nursery.cancel_members(),
        }
        self.check(what);
    }

    fn fail(&mut self, end: MemberEnd) {
        if let Failed(failure) = end
            && !self.failed.contains(&failure)
        {
            self.failed.push(failure);
        }
    }

    fn check(&mut self, what: Happens) {
        for step in steps(&mut self.nursery) {
            match step {
                DropBody => assert!(self.body.is_none(), "{what:?}"),
                CancelMembers => {
                    let by_wish = matches!(what, Happens::CancelMembers);
                    assert!(by_wish || self.body.is_some(), "{what:?}");
                }
                NurseryStep::EndWaiting => panic!("none waits: {what:?}"),
                Done => self.done += 1,
            }
        }
        let ended = self.body.is_some() && self.members.iter().all(|(_, end)| end.is_some());
        assert_eq!(self.nursery.is_done(), ended, "{what:?}");
        assert_eq!(self.done, usize::from(ended), "{what:?}");
        if !self.failed.is_empty() {
            assert!(self.nursery.is_cancelled() || self.nursery.is_done());
        }
        self.check_verdict();
    }

    fn check_verdict(&self) {
        let verdict = self.nursery.verdict();
        let mut named = verdict.cause.into_iter().chain(verdict.also).collect::<Vec<_>>();
        let mut failed = self.failed.clone();
        named.sort_unstable();
        failed.sort_unstable();
        assert_eq!(named, failed, "each failure once, and none forgotten");
        let cancelled = self.members.iter().filter(|(_, end)| *end == Some(Cancelled)).count();
        assert_eq!(verdict.cancelled, cancelled);
        let by_body = matches!((self.body, verdict.cause), (Some(Failed(a)), Some(b)) if a == b);
        assert_eq!(verdict.by_body, by_body);
    }
}

fn every_order(seen: &Seen, depth: usize, reached: &mut u64) {
    *reached += 1;
    if depth == 0 {
        return;
    }
    let mut all = vec![Happens::Add, Happens::Cancel, Happens::CancelMembers];
    for end in [Fine, Cancelled, Failed(A), Failed(B)] {
        all.push(Happens::Body(end));
        all.extend((0..seen.members.len()).map(|index| Happens::Member(index, end)));
    }
    for what in all {
        let mut next = seen.clone();
        next.happens(what);
        every_order(&next, depth - 1, reached);
    }
}

#[test]
fn every_order_of_events_ends_once_with_a_true_verdict() {
    let mut seen = Seen {
        nursery: Nursery::new(),
        members: Vec::new(),
        body: None,
        done: 0,
        failed: Vec::new(),
    };
    seen.happens(Happens::Add);
    seen.happens(Happens::Add);
    let mut reached = 0;
    every_order(&seen, 5, &mut reached);
    assert!(reached > 500_000, "{reached}");
}

#[test]
fn every_phase_but_done_can_be_left() {
    for phase in Phase::STATES {
        let out = Phase::ROWS.iter().any(|(from, _, to)| from == phase && to != phase);
        assert_eq!(out, *phase != Phase::Done, "{phase:?}");
    }
}

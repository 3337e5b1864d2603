//! The tree of open scopes: a cancel reaches the innermost first (P-C2).

#[path = "scopes/bounds.rs"]
mod bounds;

use std::time::{Duration, Instant as Clock};

use hatchery_proto::actor::scopes::{ScopeId, ScopeKind, Scopes, Why};
use hatchery_tests::instants::{T0, at, by, ms};

use ScopeKind::{Body, Shield};

fn due(scopes: &mut Scopes) -> Vec<ScopeId> {
    std::iter::from_fn(|| scopes.poll_due()).collect()
}

/// A task's scope with `depth - 1` others in it, outermost first.
fn chain(scopes: &mut Scopes, depth: usize) -> Vec<ScopeId> {
    let mut chain = Vec::new();
    for _ in 0..depth {
        chain.push(scopes.open(chain.last().copied(), Body));
    }
    chain
}

// ---- innermost first ----

#[test]
fn p_c2_a_cancel_reaches_the_innermost_scope_first_then_each_around_it() {
    let mut scopes = Scopes::new();
    let chain = chain(&mut scopes, 20);
    scopes.cancel(chain[0], T0, by(7), ms(1000));
    for id in chain.iter().rev() {
        assert_eq!(due(&mut scopes), [*id]);
        for other in &chain {
            assert_eq!(scopes.due(*other), other == id, "only the innermost is due");
        }
        assert_eq!(due(&mut scopes), [], "once each");
        scopes.close(*id);
    }
    assert!(scopes.is_empty());
}

#[test]
fn p_c2_a_scope_is_due_only_when_nothing_is_open_below_it() {
    let mut scopes = Scopes::new();
    let top = scopes.open(None, Body);
    let tasks = [(); 3].map(|()| scopes.open(Some(top), Body));
    scopes.cancel(top, T0, by(7), ms(1000));
    let mut told = due(&mut scopes);
    told.sort_unstable();
    assert_eq!(told, tasks);
    for (index, task) in tasks.iter().enumerate() {
        assert!(!scopes.due(top), "{index} closed");
        scopes.close(*task);
    }
    assert_eq!(due(&mut scopes), [top]);
}

#[test]
fn p_c2_a_body_that_was_dropped_keeps_its_scope_open_until_its_members_have_ended() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let nursery = scopes.open(Some(task), Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    assert_eq!(due(&mut scopes), [nursery]);
    // Its body is gone; its members are ending.
    assert!(scopes.due(nursery) && !scopes.due(task));
    assert_eq!(due(&mut scopes), []);
    scopes.close(nursery);
    assert_eq!(due(&mut scopes), [task]);
}

#[test]
fn p_c2_a_cancel_of_an_inner_scope_leaves_those_around_it_alone() {
    let mut scopes = Scopes::new();
    let chain = chain(&mut scopes, 3);
    let beside = scopes.open(Some(chain[0]), Body);
    scopes.cancel(chain[1], T0, by(7), ms(1000));
    assert!(scopes.cancelled(chain[0]).is_none() && scopes.cancelled(beside).is_none());
    assert_eq!(due(&mut scopes), [chain[2]]);
    scopes.close(chain[2]);
    assert_eq!(due(&mut scopes), [chain[1]]);
    scopes.close(chain[1]);
    assert_eq!(due(&mut scopes), []);
}

#[test]
fn p_c2_a_scope_opened_in_a_cancelled_one_is_born_cancelled_and_due_first() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    assert_eq!(due(&mut scopes), [task]);
    let inner = scopes.open(Some(task), Body);
    assert!(!scopes.due(task));
    assert_eq!(scopes.cancelled(inner), scopes.cancelled(task));
    assert_eq!(due(&mut scopes), [inner]);
    scopes.close(inner);
    assert_eq!(due(&mut scopes), [task], "due again, so told again");
}

#[test]
fn p_c2_what_became_undue_before_it_was_told_is_not_told() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    let shield = scopes.open(Some(task), Shield);
    assert_eq!(due(&mut scopes), []);
    scopes.close(shield);
    assert_eq!(due(&mut scopes), [task]);
}

#[test]
fn p_c2_a_task_is_never_due_over_a_scope_whose_owner_was_closed() {
    let mut scopes = Scopes::new();
    let chain = chain(&mut scopes, 3);
    scopes.close(chain[1]);
    scopes.cancel(chain[0], T0, by(7), ms(1000));
    assert_eq!(due(&mut scopes), [chain[2]]);
    scopes.close(chain[2]);
    assert_eq!(due(&mut scopes), [chain[0]]);
}

// ---- who and by when ----

#[test]
fn p_c3_the_first_canceller_stays_and_a_repeat_may_only_shorten() {
    let mut scopes = Scopes::new();
    let chain = chain(&mut scopes, 2);
    scopes.cancel(chain[1], T0, by(1), ms(500));
    assert_eq!(due(&mut scopes), [chain[1]]);
    scopes.cancel(chain[0], T0, by(2), ms(1000));
    let inner = scopes.cancelled(chain[1]).unwrap();
    assert_eq!((inner.by.canceller.uuid, inner.deadline), (1, at(500)));
    assert_eq!(scopes.cancelled(chain[0]).unwrap().by.canceller.uuid, 2);
    assert_eq!(due(&mut scopes), [], "a longer time is no news");
    scopes.cancel(chain[0], at(10), by(3), ms(100));
    for (id, first) in [(chain[0], 2), (chain[1], 1)] {
        let state = scopes.cancelled(id).unwrap();
        assert_eq!((state.by.canceller.uuid, state.deadline), (first, at(110)));
    }
    assert_eq!(due(&mut scopes), [chain[1]], "whose deadline came forward is told again");
}

#[test]
fn p_c2_each_scope_has_its_share_of_what_is_left() {
    let mut scopes = Scopes::new();
    let chain = chain(&mut scopes, 4);
    scopes.set_holding(chain[1], true);
    scopes.set_holding(chain[2], true);
    scopes.set_holding(chain[3], true);
    assert_eq!(scopes.share(chain[3], T0), Duration::ZERO, "not cancelled");
    scopes.cancel(chain[0], T0, by(7), ms(1200));
    assert_eq!(scopes.share(chain[3], T0), ms(400), "two further out hold children");
    scopes.close(chain[3]);
    assert_eq!(scopes.share(chain[2], at(200)), ms(500));
    scopes.set_holding(chain[1], false);
    assert_eq!(scopes.share(chain[2], at(200)), ms(1000), "all its children have ended");
    assert_eq!(scopes.share(chain[0], at(2000)), Duration::ZERO, "nothing is left");
}

#[test]
fn p_c2_scopes_around_that_are_not_cancelled_need_no_share() {
    let mut scopes = Scopes::new();
    let chain = chain(&mut scopes, 2);
    scopes.set_holding(chain[0], true);
    scopes.cancel(chain[1], T0, by(7), ms(1000));
    assert_eq!(scopes.share(chain[1], T0), ms(1000));
}

#[test]
fn p_c2_shares_used_up_one_by_one_fit_the_grace_at_any_depth() {
    for depth in 1..=20 {
        let mut scopes = Scopes::new();
        let chain = chain(&mut scopes, depth);
        for id in &chain {
            scopes.set_holding(*id, true);
        }
        scopes.cancel(chain[0], T0, by(7), ms(4400));
        let mut now = T0;
        let mut least = ms(4400);
        while let Some(id) = scopes.poll_due() {
            let share = scopes.share(id, now);
            least = least.min(share);
            now = now + share;
            scopes.close(id);
        }
        assert!(scopes.is_empty() && now <= at(4400), "{depth}: {now:?}");
        assert!(least >= ms(4400) / 21, "{depth}: someone was left only {least:?}");
    }
}

// ---- shields ----

#[test]
fn p_c2_a_shield_runs_on_until_it_is_closed() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let shield = scopes.open(Some(task), Shield);
    let inside = scopes.open(Some(shield), Body);
    assert_eq!(scopes.poll_timeout(), None);
    scopes.cancel(task, T0, by(7), ms(1000));
    assert!(scopes.cancelled(shield).is_some(), "it may ask");
    assert!(scopes.cancelled(inside).is_none(), "what is in it is not cancelled");
    assert_eq!(due(&mut scopes), []);
    let later = scopes.open(Some(shield), Body);
    assert!(scopes.cancelled(later).is_none());
    for id in [inside, later, shield] {
        scopes.close(id);
    }
    assert_eq!((due(&mut scopes), scopes.poll_timeout()), (vec![task], None));
}

#[test]
fn p_c2_a_shield_ends_with_its_share_of_the_grace() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    scopes.set_holding(task, true);
    let shield = scopes.open(Some(task), Shield);
    let inside = scopes.open(Some(shield), Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    assert_eq!(scopes.poll_timeout(), Some((at(500), Why::ShieldShare)));
    scopes.handle_timeout(at(499));
    assert_eq!(due(&mut scopes), []);
    scopes.handle_timeout(at(500));
    assert_eq!(scopes.poll_timeout(), None);
    assert_eq!(due(&mut scopes), [inside], "what is in it first");
    assert_eq!(scopes.cancelled(inside).unwrap().deadline, at(1000));
    scopes.close(inside);
    assert_eq!(due(&mut scopes), [shield], "then the shield itself");
    scopes.close(shield);
    assert_eq!(due(&mut scopes), [task]);
}

#[test]
fn p_c2_a_shield_leaves_the_scopes_in_it_their_share() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let shield = scopes.open(Some(task), Shield);
    let nursery = scopes.open(Some(shield), Body);
    scopes.set_holding(nursery, true);
    scopes.cancel(task, T0, by(7), ms(1000));
    assert_eq!(scopes.poll_timeout(), Some((at(500), Why::ShieldShare)));
    scopes.handle_timeout(at(500));
    assert_eq!(due(&mut scopes), [nursery]);
    assert_eq!(scopes.share(nursery, at(500)), ms(500), "what is in it has the rest");
}

#[test]
fn p_c2_a_scope_that_comes_to_hold_children_in_a_shield_shortens_its_share() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let shield = scopes.open(Some(task), Shield);
    let outer = scopes.open(Some(shield), Body);
    scopes.cancel(task, T0, by(7), ms(900));
    assert_eq!(scopes.poll_timeout(), Some((at(900), Why::ShieldShare)));
    scopes.set_holding(outer, true);
    assert_eq!(scopes.poll_timeout(), Some((at(450), Why::ShieldShare)));
    let inner = scopes.open(Some(outer), Body);
    scopes.set_holding(inner, true);
    assert_eq!(scopes.poll_timeout(), Some((at(300), Why::ShieldShare)));
    scopes.handle_timeout(at(300));
    assert_eq!(due(&mut scopes), [inner]);
    assert_eq!(scopes.share(inner, at(300)), ms(300));
}

#[test]
fn p_c2_a_shield_opened_while_cleaning_up_has_its_share_too() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    let shield = scopes.open(Some(task), Shield);
    assert!(!scopes.due(task) && !scopes.due(shield));
    // The machine has no clock: the share begins when it is told the time.
    assert_eq!(scopes.poll_timeout(), Some((T0, Why::ShieldOpened)));
    scopes.handle_timeout(at(400));
    assert_eq!(scopes.poll_timeout(), Some((at(1000), Why::ShieldShare)));
    scopes.handle_timeout(at(1000));
    assert_eq!(due(&mut scopes), [shield]);
}

#[test]
fn p_c2_a_shield_opened_when_no_grace_is_left_holds_nothing_off() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    scopes.cancel(task, T0, by(7), Duration::ZERO);
    let shield = scopes.open(Some(task), Shield);
    scopes.handle_timeout(T0);
    assert_eq!((due(&mut scopes), scopes.poll_timeout()), (vec![shield], None));
}

#[test]
fn p_c2_shields_in_shields_each_have_their_time_and_no_more_than_there_is() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let outer = scopes.open(Some(task), Shield);
    scopes.set_holding(outer, true);
    scopes.set_holding(task, true);
    let inner = scopes.open(Some(outer), Shield);
    scopes.cancel(task, T0, by(7), ms(1200));
    assert_eq!(scopes.poll_timeout(), Some((at(600), Why::ShieldShare)));
    scopes.handle_timeout(at(600));
    assert_eq!(due(&mut scopes), []);
    assert_eq!(scopes.poll_timeout(), Some((at(800), Why::ShieldShare)), "a third of 600 ms");
    scopes.handle_timeout(at(800));
    assert_eq!(due(&mut scopes), [inner]);
    scopes.close(inner);
    assert_eq!(due(&mut scopes), [outer]);
}

#[test]
fn p_c1_a_repeat_shortens_a_shields_share() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let shield = scopes.open(Some(task), Shield);
    scopes.cancel(task, T0, by(7), ms(1000));
    scopes.cancel(task, at(100), by(8), ms(2000));
    assert_eq!(scopes.poll_timeout(), Some((at(1000), Why::ShieldShare)));
    scopes.cancel(task, at(100), by(8), ms(50));
    assert_eq!(scopes.poll_timeout(), Some((at(150), Why::ShieldShare)));
    scopes.handle_timeout(at(150));
    assert!(scopes.due(shield));
}

#[test]
fn p_c2_scopes_handed_out_of_a_shield_hear_the_cancel_it_held_off() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let shield = scopes.open(Some(task), Shield);
    let inside = scopes.open(Some(shield), Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    scopes.close(shield);
    assert_eq!(scopes.cancelled(inside), scopes.cancelled(task));
    assert_eq!(due(&mut scopes), [inside]);
    assert_eq!(scopes.poll_timeout(), None);
}

#[test]
fn p_c2_scopes_handed_on_within_a_shield_stay_in_it() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    let shield = scopes.open(Some(task), Shield);
    let inside = scopes.open(Some(shield), Body);
    let innermost = scopes.open(Some(inside), Body);
    scopes.cancel(task, T0, by(7), ms(1000));
    scopes.close(inside);
    assert!(scopes.cancelled(innermost).is_none());
    scopes.handle_timeout(at(1000));
    assert_eq!(due(&mut scopes), [innermost]);
}

// ---- total and cheap ----

#[test]
fn what_names_no_open_scope_does_nothing() {
    let mut other = Scopes::new();
    let strange = chain(&mut other, 5)[4];
    let mut scopes = Scopes::new();
    let task = scopes.open(None, Body);
    scopes.close(strange);
    scopes.cancel(strange, T0, by(7), ms(1));
    scopes.set_holding(strange, true);
    scopes.handle_timeout(T0);
    assert!(!scopes.due(strange) && scopes.cancelled(strange).is_none());
    assert_eq!(scopes.share(strange, T0), Duration::ZERO);
    let root = scopes.open(Some(strange), Body);
    scopes.close(task);
    scopes.close(task);
    assert_eq!((scopes.len(), due(&mut scopes)), (1, vec![]));
    scopes.close(root);
    assert!(scopes.is_empty());
}

#[test]
fn ten_thousand_scopes_are_cancelled_and_closed_in_no_time() {
    let began = Clock::now();
    let mut scopes = Scopes::new();
    let top = scopes.open(None, Body);
    let tasks = (0..10_000).map(|_| scopes.open(Some(top), Shield)).collect::<Vec<_>>();
    let deep = chain(&mut scopes, 10_000);
    for id in [top, deep[0]] {
        scopes.cancel(id, T0, by(7), ms(1000));
    }
    for _ in 0..1000 {
        scopes.cancel(top, T0, by(7), ms(1000));
    }
    scopes.handle_timeout(at(1000));
    assert_eq!(due(&mut scopes).len(), tasks.len() + 1);
    for id in tasks.into_iter().chain(deep.into_iter().rev()) {
        scopes.close(id);
    }
    assert_eq!(due(&mut scopes), [top]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A small generator of its own, so that a failure names one number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick(&mut self, from: &[ScopeId]) -> Option<ScopeId> {
        let sides = u64::try_from(from.len()).unwrap().max(1);
        from.get(usize::try_from(self.roll(sides)).unwrap()).copied()
    }
}

#[test]
fn p_c2_any_tree_unwinds_completely_after_a_cancel_of_its_root() {
    for seed in 1..2000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut scopes = Scopes::new();
        let root = scopes.open(None, Body);
        let mut open = vec![root];
        let mut now = T0;
        let mut cancelled = false;
        for _ in 0..60 {
            let id = dice.pick(&open).unwrap();
            match dice.roll(8) {
                0..=2 => {
                    open.push(scopes.open(Some(id), if dice.roll(3) == 0 { Shield } else { Body }))
                }
                3 if id != root => {
                    scopes.close(id);
                    open.retain(|known| *known != id);
                }
                4 => scopes.set_holding(id, dice.roll(2) == 0),
                5 => {
                    scopes.cancel(id, now, by(seed.into()), ms(dice.roll(500)));
                    cancelled |= id == root;
                }
                6 => {
                    now = now + ms(dice.roll(50));
                    scopes.handle_timeout(now);
                    let next = scopes.poll_timeout();
                    assert!(next.is_none_or(|(when, _)| when > now), "seed {seed}: {next:?}");
                }
                _ => {}
            }
        }
        if !cancelled {
            scopes.cancel(root, now, by(seed.into()), ms(500));
        }
        // What is due now was told, or is told next; from here on whoever is told closes.
        for id in open.iter().filter(|id| scopes.due(**id)).copied().collect::<Vec<_>>() {
            scopes.close(id);
        }
        let mut rounds = 0;
        while !scopes.is_empty() {
            for id in due(&mut scopes) {
                assert!(scopes.due(id), "seed {seed}");
                scopes.close(id);
            }
            if let Some((when, _)) = scopes.poll_timeout() {
                now = now.max(when);
                scopes.handle_timeout(now);
            }
            rounds += 1;
            assert!(rounds < 500, "seed {seed}: stuck with {} open", scopes.len());
        }
        assert!(now <= T0 + ms(60 * 50 + 500), "seed {seed}: {now:?}");
    }
}

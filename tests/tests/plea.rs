//! What an actor does about a SIGTERM of its own: its parent's word first, then its own end, then
//! haste, and at last what the signal does by default (P-C7, P-T1).

use std::time::Duration;

use hatchery_proto::Instant;
use hatchery_proto::actor::plea::{PATIENCE, Plea, PleaStep, RUSH};

use PleaStep::{CancelItself, Die, Probe, Rush};

const T0: Instant = Instant::from_micros(1_000_000);
const BIT: Duration = Duration::from_millis(1);

/// One that got the signal at `T0`, of an actor that was `ending` or not.
fn signalled(ending: bool) -> Plea {
    let mut plea = Plea::new();
    assert_eq!(plea.poll_timeout(), None);
    plea.handle_signal(T0, ending);
    assert_eq!(plea.poll_step(), Some(Probe));
    plea
}

fn assert_idle(plea: &mut Plea) {
    assert_eq!((plea.poll_step(), plea.poll_timeout()), (None, None));
    assert_eq!(*plea, Plea::new());
}

#[test]
fn p_c7_the_parents_word_goes_first() {
    // Before the executor has answered, and after it.
    for heard in [false, true] {
        let mut plea = signalled(false);
        if heard {
            plea.handle_heard(T0 + BIT);
        }
        plea.handle_asked();
        assert_idle(&mut plea);
        plea.handle_timeout(T0 + PATIENCE * 2);
        assert_idle(&mut plea);
    }
}

#[test]
fn p_c7_an_actor_that_nobody_else_ends_ends_itself() {
    let mut plea = signalled(false);
    plea.handle_heard(T0 + BIT);
    assert_eq!(plea.poll_timeout(), Some(T0 + PATIENCE));
    plea.handle_timeout(T0 + (PATIENCE - BIT));
    assert_eq!(plea.poll_step(), None);
    plea.handle_timeout(T0 + PATIENCE);
    assert_eq!(plea.poll_step(), Some(CancelItself));
    // What comes of that is heard too, and changes nothing.
    plea.handle_asked();
    assert_idle(&mut plea);
}

#[test]
fn p_t1_an_actor_that_is_ending_is_rushed_and_then_ended() {
    let mut plea = signalled(true);
    // That it was asked is known.
    plea.handle_asked();
    plea.handle_heard(T0 + BIT);
    assert_eq!(plea.poll_step(), Some(Rush));
    assert_eq!(plea.poll_timeout(), Some(T0 + BIT + RUSH));
    plea.handle_timeout(T0 + BIT + RUSH);
    assert_eq!((plea.poll_step(), plea.poll_timeout()), (Some(Die), None));
    plea.handle_signal(T0 + PATIENCE, true);
    assert_eq!(plea.poll_step(), None);
}

#[test]
fn p_t1_an_actor_that_does_not_hear_is_ended_soon() {
    for ending in [false, true] {
        let mut plea = signalled(ending);
        plea.handle_timeout(T0 + PATIENCE);
        assert_eq!(plea.poll_step(), Some(Die));
    }
}

#[test]
fn p_t1_a_second_signal_means_haste() {
    for heard in [false, true] {
        let mut plea = signalled(false);
        if heard {
            plea.handle_heard(T0 + BIT);
        }
        plea.handle_signal(T0 + BIT * 2, false);
        assert_eq!(plea.poll_step(), Some(Probe));
        plea.handle_heard(T0 + BIT * 3);
        assert_eq!(plea.poll_step(), Some(Rush));
    }
}

//! Scopes whose time is limited (P-C8): when they are cancelled, and what they leave to others.

use super::*;

const GRACE: Duration = Duration::from_millis(400);

fn canceller(scopes: &Scopes, id: ScopeId) -> Option<u128> {
    scopes.cancelled(id).map(|state| state.by.canceller.uuid)
}

#[test]
fn p_c8_a_scope_is_cancelled_when_its_time_is_over_and_not_before() {
    let mut scopes = Scopes::new();
    let top = scopes.open(None, Body);
    let bounded = scopes.open(Some(top), Body);
    let inner = scopes.open(Some(bounded), Body);
    scopes.bound(bounded, T0, at(1000), by(1), GRACE);
    assert_eq!(scopes.poll_timeout(), Some((at(1000), Why::Bound)));
    scopes.handle_timeout(at(999));
    assert_eq!((due(&mut scopes), canceller(&scopes, bounded)), (vec![], None));
    scopes.handle_timeout(at(1000));
    assert_eq!(due(&mut scopes), [inner], "innermost first");
    assert_eq!(scopes.cancelled(bounded).unwrap().deadline, at(1400));
    assert!(scopes.expired(bounded) && !scopes.expired(inner));
    assert_eq!((canceller(&scopes, top), scopes.poll_timeout()), (None, None));
}

#[test]
fn p_c8_of_two_bounds_the_earlier_holds() {
    for bounds in [[500, 900], [900, 500]] {
        let mut scopes = Scopes::new();
        let id = scopes.open(None, Body);
        for bound in bounds {
            scopes.bound(id, T0, at(bound), by(1), GRACE);
        }
        assert_eq!(scopes.poll_timeout(), Some((at(500), Why::Bound)));
        scopes.handle_timeout(at(500));
        assert!(scopes.expired(id));
        assert_eq!(scopes.poll_timeout(), None, "each once");
    }
}

#[test]
fn p_c3_a_bound_that_ends_after_a_cancel_only_shortens_it() {
    let mut scopes = Scopes::new();
    let id = scopes.open(None, Body);
    scopes.bound(id, T0, at(100), by(1), GRACE);
    scopes.cancel(id, T0, by(7), ms(5000));
    scopes.handle_timeout(at(100));
    assert_eq!(canceller(&scopes, id), Some(7));
    assert!(!scopes.expired(id));
    assert_eq!(scopes.cancelled(id).unwrap().deadline, at(500));
}

#[test]
fn p_c8_a_scope_that_has_closed_is_not_waited_for() {
    let mut scopes = Scopes::new();
    let id = scopes.open(None, Body);
    scopes.bound(id, T0, at(100), by(1), GRACE);
    scopes.close(id);
    assert_eq!(scopes.poll_timeout(), None);
    scopes.bound(id, T0, at(100), by(1), GRACE);
    assert_eq!(scopes.poll_timeout(), None);
    scopes.handle_timeout(at(1000));
}

#[test]
fn p_c8_what_is_opened_gets_at_most_what_is_left_of_deadline_and_grace_around_it() {
    let mut scopes = Scopes::new();
    let top = scopes.open(None, Body);
    let outer = scopes.open(Some(top), Body);
    let inner = scopes.open(Some(outer), Body);
    assert_eq!(scopes.left(inner, T0), None, "no limit");
    scopes.bound(outer, T0, at(1000), by(1), GRACE);
    scopes.bound(inner, T0, at(3000), by(1), GRACE);
    assert_eq!(scopes.left(inner, at(200)), Some(ms(800)));
    assert_eq!(scopes.left(top, at(200)), None);
    assert_eq!(scopes.left(inner, at(2000)), Some(Duration::ZERO), "never less than nothing");
    scopes.handle_timeout(at(1000));
    assert_eq!(scopes.left(inner, at(1100)), Some(ms(300)), "then the grace");
    scopes.cancel(top, at(1100), by(7), ms(50));
    assert_eq!(scopes.left(inner, at(1100)), Some(ms(50)));
}

#[test]
fn p_c8_a_shield_keeps_a_deadline_off_until_it_has_been_broken() {
    let mut scopes = Scopes::new();
    let outer = scopes.open(None, Body);
    scopes.bound(outer, T0, at(100), by(1), GRACE);
    let shield = scopes.open(Some(outer), Shield);
    let inner = scopes.open(Some(shield), Body);
    assert_eq!(scopes.left(inner, T0), None);
    scopes.handle_timeout(at(100));
    assert_eq!(due(&mut scopes), []);
    assert_eq!(scopes.poll_timeout(), Some((at(500), Why::ShieldShare)));
    scopes.handle_timeout(at(500));
    assert_eq!(due(&mut scopes), [inner]);
    assert_eq!(scopes.left(inner, at(500)), Some(Duration::ZERO));
}

#[test]
fn p_c8_after_a_timeout_the_next_is_later_whatever_is_due_at_once() {
    let mut scopes = Scopes::new();
    let top = scopes.open(None, Body);
    for offset in [5, 1, 3, 3, 9] {
        let kind = if offset == 3 { Shield } else { Body };
        let id = scopes.open(Some(top), kind);
        scopes.open(Some(id), Body);
        scopes.bound(id, T0, at(offset), by(1), ms(offset));
    }
    for now in 0..20 {
        scopes.handle_timeout(at(now));
        assert!(scopes.poll_timeout().is_none_or(|(next, _)| next > at(now)));
    }
    assert_eq!(scopes.poll_timeout(), None);
}

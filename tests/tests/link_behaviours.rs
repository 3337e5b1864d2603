//! What two linked actors can rely on, row by row, where it is a matter of the messages alone: what
//! is said how often, what comes too late, and what one link cannot do to another.

use std::time::Duration;

use hatchery_proto::wire::{Tag, put_frame};
use hatchery_proto::{
    CancelRequest, Code, Connection, DialogId, Event, Kind, Limits, LostCause, Outcome, Recv,
    Report, SendError, Terminal,
};
use hatchery_tests::pair::{Pair, actor, asked_by, cancel_by, small_limits, wish};

const SECOND: Duration = Duration::from_secs(1);

/// The kinds of the frames in these bytes.
fn kinds(mut bytes: &[u8]) -> Vec<Tag> {
    let mut kinds = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (frame, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        kinds.push(Tag::of(frame[0]).unwrap());
        bytes = rest;
    }
    kinds
}

/// Carries all there is, until nothing is left; gives the kinds that either end has sent.
fn carry(pair: &mut Pair) -> (Vec<Tag>, Vec<Tag>) {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        let forth = pair.a.bytes(pair.now);
        pair.b.core.handle_input(pair.now, &forth);
        let back = pair.b.bytes(pair.now);
        pair.a.core.handle_input(pair.now, &back);
        if forth.is_empty() && back.is_empty() {
            pair.a.look();
            pair.b.look();
            return (of_a, of_b);
        }
        of_a.extend(kinds(&forth));
        of_b.extend(kinds(&back));
    }
}

fn count(kinds: &[Tag], of: Tag) -> usize {
    kinds.iter().filter(|kind| **kind == of).count()
}

fn failure() -> Terminal {
    let report = Report::new((2, 1), Code::Error, actor(2), "the cause".to_owned());
    Terminal::Failed { report: Box::new(report), payload: Vec::new() }
}

fn unbroken(pair: &mut Pair) -> bool {
    (pair.a.broken(), pair.b.broken()) == (None, None)
}

#[test]
fn ctx_31_what_comes_late_for_a_task_that_is_over_is_dropped_without_a_word() {
    for terminal in [Terminal::Return(b"over".to_vec()), failure()] {
        let mut pair = Pair::up();
        let id = pair.context();
        pair.finish(id, terminal);
        // The callee has written its terminal; what the opener says crosses it.
        let back = pair.b.bytes(pair.now);
        let mut forth = Vec::new();
        pair.a.core.caller(id).unwrap().send(b"late").unwrap();
        forth.extend(pair.a.bytes(pair.now));
        pair.a.core.caller(id).unwrap().stop().unwrap();
        forth.extend(pair.a.bytes(pair.now));
        pair.a.core.caller(id).unwrap().stop_reading();
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
        forth.extend(pair.a.bytes(pair.now));
        let mut said = kinds(&forth);
        said.sort_by_key(|kind| *kind as u8);
        assert_eq!(said, [Tag::Yield, Tag::Stop, Tag::Cancel, Tag::Credit]);
        let _ = pair.b.saw(&Event::Flushed(id));
        pair.b.events.clear();
        pair.b.core.handle_input(pair.now, &forth);
        assert_eq!(kinds(&pair.b.bytes(pair.now)), [], "no answer");
        pair.b.look();
        assert_eq!(pair.b.events, [], "and nobody is told");
        pair.a.core.handle_input(pair.now, &back);
        assert_eq!(carry(&mut pair), (vec![], vec![]));
        assert!(unbroken(&mut pair) && pair.outcome(id).is_some());
    }
}

#[test]
fn ctx_32_a_callee_says_one_terminal_and_an_opener_none() {
    let ends = [Terminal::Return(vec![7; 5000]), failure(), Terminal::Cancelled(asked_by(2))];
    for end in ends {
        let mut pair = Pair::up_with(&small_limits());
        let id = pair.context();
        // Full both ways, so that everything there is to complain of is there.
        while pair.a.core.caller(id).unwrap().send(&[1; 200]) != Err(SendError::Full) {}
        while pair.b.core.callee(id).unwrap().send(&[2; 200]) != Err(SendError::Full) {}
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
        pair.finish(id, end);
        // Before anything of it is written there is nothing left to end once more, or to send on.
        assert!(pair.b.core.callee(id).is_none());
        let (of_a, of_b) = carry(&mut pair);
        let lasts = |kinds: &[Tag]| {
            // A `Return` of several frames counts once: nothing but its parts follows its first.
            let returns = usize::from(count(kinds, Tag::Return) > 0);
            returns + count(kinds, Tag::Error)
        };
        assert_eq!((lasts(&of_a), lasts(&of_b)), (0, 1), "{of_b:?}");
        assert!(matches!(of_b.last(), Some(Tag::Return | Tag::Error)), "{of_b:?}");
        assert_eq!(pair.a.count(&Event::Finished(id)), 1);
        assert!(pair.b.core.callee(id).is_none(), "there is nothing to end once more");
        assert!(unbroken(&mut pair));
    }
}

/// A link that has a context open, and another one of the same two actors' programs.
fn two_links() -> (Pair, DialogId, Pair) {
    let mut first = Pair::up();
    let id = first.context();
    (first, id, Pair::up())
}

fn cancel_frame(id: DialogId) -> Vec<u8> {
    let request = CancelRequest { by: asked_by(9), grace: SECOND };
    let mut out = Vec::new();
    let content = postcard::to_allocvec(&request).unwrap();
    put_frame(&mut out, Tag::Cancel, id, 0, |out| out.extend_from_slice(&content));
    out
}

fn was_cancelled(core: &mut Connection, id: DialogId) -> bool {
    core.callee(id).unwrap().cancel_request().is_some()
}

#[test]
fn ctx_38_only_the_link_that_opened_a_dialog_can_cancel_it() {
    let (mut first, id, mut second) = two_links();
    // A dialog of the same number, finished: nothing happens.
    let same = second.open(Kind::Call, b"");
    assert_eq!(id, same);
    second.finish(same, Terminal::Return(Vec::new()));
    second.settle();
    second.b.core.handle_input(second.now, &cancel_frame(id));
    assert_eq!(kinds(&second.b.bytes(second.now)), []);
    assert_eq!(second.b.broken(), None);
    // One that this link has never opened: that is a lie, and ends this link alone.
    let mut other = Pair::up();
    other.b.core.handle_input(other.now, &cancel_frame(id));
    assert!(other.b.broken().is_some());
    assert!(!was_cancelled(&mut first.b.core, id));
    // The callee of the dialog is not its opener either.
    first.a.core.handle_input(first.now, &cancel_frame(id));
    assert!(first.a.broken().is_some(), "a callee ends its task, and asks nobody to");
    assert!(first.a.core.callee(id).is_none());
    // Who did open it can.
    let (mut honest, id, _) = two_links();
    honest.b.core.handle_input(honest.now, &cancel_frame(id));
    assert!(was_cancelled(&mut honest.b.core, id) && unbroken(&mut honest));
}

#[test]
fn str_03_each_side_says_once_that_it_stops_whatever_the_other_said() {
    for b_first in [false, true] {
        let mut pair = Pair::up();
        let id = pair.context();
        let stops = |pair: &mut Pair, of_b: bool| {
            if of_b {
                pair.b.core.callee(id).unwrap().stop().unwrap();
            } else {
                pair.a.core.caller(id).unwrap().stop().unwrap();
            }
        };
        let mut sent = (0, 0);
        for of_b in [b_first, !b_first, b_first, !b_first] {
            stops(&mut pair, of_b);
            let (of_a, of_b) = carry(&mut pair);
            sent.0 += count(&of_a, Tag::Stop);
            sent.1 += count(&of_b, Tag::Stop);
        }
        pair.finish(id, Terminal::Return(Vec::new()));
        let (of_a, of_b) = carry(&mut pair);
        sent.0 += count(&of_a, Tag::Stop);
        sent.1 += count(&of_b, Tag::Stop);
        assert_eq!(sent, (1, 1), "b first: {b_first}");
        assert_eq!(pair.received_at_a(id), (vec![], Recv::End));
        assert!(unbroken(&mut pair));
    }
}

#[test]
fn str_15_an_end_and_an_outcome_pass_where_there_is_no_room_for_a_value() {
    let ends: [fn() -> Terminal; 3] =
        [|| Terminal::Return(vec![9; 3000]), failure, || Terminal::Cancelled(asked_by(2))];
    for (end, stops) in ends.into_iter().flat_map(|end| [(end, true), (end, false)]) {
        let mut pair = Pair::up_with(&small_limits());
        let id = pair.context();
        let mut sent = 0;
        while pair.b.core.callee(id).unwrap().send(&[3; 100]).is_ok() {
            sent += 1;
        }
        assert!(sent > 1);
        pair.settle();
        assert_eq!(pair.b.core.callee(id).unwrap().send(b""), Err(SendError::Full));
        if stops {
            pair.b.core.callee(id).unwrap().stop().unwrap();
        }
        let ends_well = stops || matches!(end(), Terminal::Return(_));
        pair.finish(id, end());
        pair.settle();
        assert!(pair.outcome(id).is_some(), "nothing was read, and it is here");
        let (values, last) = pair.received_at_a(id);
        assert_eq!(values.len(), sent, "and nothing was lost for it");
        assert_eq!(last, if ends_well { Recv::End } else { Recv::Ended });
    }
}

#[test]
fn str_10_who_ends_by_an_error_or_a_cancel_says_no_graceful_end_first() {
    for end in [failure(), Terminal::Cancelled(asked_by(2))] {
        let mut pair = Pair::up();
        let id = pair.context();
        pair.b.core.callee(id).unwrap().send(b"one").unwrap();
        pair.finish(id, end);
        let (_, of_b) = carry(&mut pair);
        assert_eq!(count(&of_b, Tag::Stop), 0, "{of_b:?}");
        assert_eq!(pair.received_at_a(id), (vec![b"one".to_vec()], Recv::Ended));
    }
    // The opener's end is a cancel: its own stop that was not written yet goes with it.
    let mut pair = Pair::up();
    let id = pair.context();
    pair.a.core.caller(id).unwrap().stop().unwrap();
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    let (of_a, _) = carry(&mut pair);
    assert_eq!((count(&of_a, Tag::Stop), count(&of_a, Tag::Cancel)), (0, 1), "{of_a:?}");
    assert_eq!(pair.received_at_b(id), (vec![], Recv::Ended), "no end that looks graceful");
}

/// Where a call is when its caller goes away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Arrived,
    Taken,
    Accepted,
    Acked,
    Failing,
    Failed,
}

#[test]
fn rpc_07_08_11_12_a_caller_that_is_gone_at_any_step_harms_nothing_and_leaves_nothing() {
    use Step::*;
    for step in [Arrived, Taken, Accepted, Acked, Failing, Failed] {
        let mut pair = Pair::up();
        let id = pair.start(Kind::Call, b"");
        let other = pair.b.core.start(pair.now, wish(Kind::Call), b"").unwrap();
        pair.forth();
        assert_eq!(pair.b.incoming(), id);
        if step != Arrived {
            let _ = pair.b.core.callee(id).unwrap().take_start().unwrap();
        }
        if !matches!(step, Arrived | Taken) {
            pair.b.core.callee(id).unwrap().accept();
        }
        if step == Acked {
            pair.settle();
        }
        if matches!(step, Failing | Failed) {
            pair.finish(id, failure());
        }
        if step == Failed {
            pair.settle();
        }
        // Writing breaks before reading does, as with a peer that has died.
        pair.b.core.handle_write_closed();
        pair.b.core.handle_eof(pair.now);
        pair.b.look();
        // Its task is told once, unless it had ended before; what this side had asked for ends too.
        let told = usize::from(!matches!(step, Failing | Failed));
        assert!(pair.b.count(&Event::Finished(id)) <= 1, "{step:?}");
        assert!(pair.b.count(&Event::Finished(id)) >= told, "{step:?}: nobody tells its task");
        assert_eq!(pair.b.count(&Event::Finished(other)), 1, "{step:?}");
        assert!(pair.b.core.callee(id).is_none(), "{step:?}");
        let outcome = pair.b.core.caller(other).unwrap().outcome().cloned();
        assert_eq!(outcome, Some(Outcome::Lost(LostCause::LinkEnded)), "{step:?}");
        pair.b.core.caller(other).unwrap().release(pair.now, asked_by(2));
        assert_eq!(pair.b.core.known_dialogs(), 0, "{step:?}");
        assert_eq!(pair.b.broken(), None, "{step:?}");
    }
}

#[test]
fn rpc_12_nothing_is_kept_of_what_is_over_at_either_end() {
    let mut pair = Pair::up();
    for kind in [Kind::Call, Kind::Context, Kind::Stream] {
        for end in [Terminal::Return(b"x".to_vec()), failure(), Terminal::Cancelled(asked_by(1))] {
            let id = pair.open(kind, b"args");
            if kind == Kind::Context {
                pair.b.core.callee(id).unwrap().started(b"").unwrap();
            }
            pair.finish(id, end);
            pair.settle();
            pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
            pair.settle();
        }
    }
    assert_eq!((pair.a.core.known_dialogs(), pair.b.core.known_dialogs()), (0, 0));
    assert_eq!((pair.a.core.held(), pair.b.core.held()), (0, 0));
}

#[test]
fn rpc_09_who_greets_again_as_somebody_else_loses_that_link_alone() {
    let (mut first, id, mut second) = two_links();
    // A request names nobody: who asks is who greeted on that link, and that is said once.
    let call = second.open(Kind::Call, b"");
    let mut somebody = Pair::peers(&Limits::default(), &Limits::default());
    let greeting = somebody.a.bytes(somebody.now);
    assert_eq!(kinds(&greeting), [Tag::Hello]);
    assert_eq!(second.b.core.peer(), Some(&actor(1)));
    second.b.core.handle_input(second.now, &greeting);
    assert_eq!(second.b.broken(), Some("P-L1"));
    assert_eq!(second.b.core.peer(), Some(&actor(1)), "it is still who it was");
    assert!(second.b.saw(&Event::Finished(call)), "its tasks go with its link");
    // The other link of the same process goes on.
    first.b.core.callee(id).unwrap().send(b"x").unwrap();
    first.settle();
    assert_eq!(first.received_at_a(id), (vec![b"x".to_vec()], Recv::Empty));
}

#[test]
fn msg_01_payloads_are_handed_on_as_they_are_whatever_is_in_them() {
    // The core looks into none: bytes that are no encoding of anything pass as well.
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let mut pair = Pair::up();
    let id = pair.open(Kind::Context, &bytes[..0]);
    pair.b.core.callee(id).unwrap().started(&bytes).unwrap();
    pair.settle();
    assert_eq!(pair.a.core.caller(id).unwrap().take_started().as_deref(), Some(&bytes[..]));
    pair.a.core.caller(id).unwrap().send(&bytes).unwrap();
    pair.b.core.callee(id).unwrap().send(&bytes).unwrap();
    pair.settle();
    assert_eq!(pair.received_at_a(id), (vec![bytes.clone()], Recv::Empty));
    assert_eq!(pair.received_at_b(id), (vec![bytes.clone()], Recv::Empty));
    pair.finish(id, Terminal::Return(bytes.clone()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(Outcome::Returned(bytes)));
}

//! Two cores against the reference model, and against themselves: how bytes are split and what is
//! polled how often changes nothing.

use std::time::Duration;

use hatchery_proto::{
    Capacity, DialogId, Event, Kind, Limits, Outcome, Overrun, Recv, SendError, Terminal,
};
use hatchery_tests::model::{Dialog, End};
use hatchery_tests::pair::{Pair, Split, asked_by, cancel_by};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

/// What a user does with one of the dialogs; sides are 0 for the opener, 1 for the callee.
#[derive(Clone, Copy, Debug)]
enum Call {
    Open(u8, u8),
    Start(u8),
    Send(usize, u16),
    Recv(usize),
    Stop(usize),
    StopReading(usize),
    OnOverrun(usize, u8, u16),
    Cancel(u8),
    Return(u16),
    End,
}

fn calls() -> impl Strategy<Value = Vec<(u8, Call)>> {
    let side = || 0..2_usize;
    let call = prop_oneof![
        2 => (any::<u8>(), any::<u8>()).prop_map(|(kind, args)| Call::Open(kind, args)),
        2 => any::<u8>().prop_map(Call::Start),
        6 => (side(), 0..900_u16).prop_map(|(side, size)| Call::Send(side, size)),
        6 => side().prop_map(Call::Recv),
        1 => side().prop_map(Call::Stop),
        1 => side().prop_map(Call::StopReading),
        1 => (side(), 0..40_u8, 0..2000_u16)
            .prop_map(|(side, policy, bytes)| Call::OnOverrun(side, policy, bytes)),
        1 => any::<u8>().prop_map(Call::Cancel),
        1 => (0..3000_u16).prop_map(Call::Return),
        1 => proptest::strategy::Just(Call::End),
    ];
    vec((0..3_u8, call), 0..80)
}

fn limits() -> Limits {
    Limits {
        max_frame: 1024,
        window: 2048,
        max_message: 4096,
        max_dialogs: 64,
        ..Limits::default()
    }
}

fn kind(number: u8) -> Kind {
    [Kind::Call, Kind::Stream, Kind::Context][usize::from(number % 3)]
}

fn overrun(policy: u8, bytes: u16) -> Overrun {
    let kept = Capacity { items: usize::from(policy / 5), bytes: bytes.into() };
    match policy % 5 {
        0 => Overrun::Wait,
        1 => Overrun::Fail(kept),
        2 => Overrun::DropOldest(kept),
        3 => Overrun::LatestOnly,
        _ => Overrun::WaitWithin(kept),
    }
}

/// The dialogs so far, each with its model.
type Known = Vec<(DialogId, Dialog)>;

fn apply(pair: &mut Pair, known: &mut Known, choice: u8, call: Call) {
    if let Call::Open(number, args) = call {
        let args = vec![0; args.into()];
        let id = pair.open(kind(number), &args);
        known.push((id, Dialog::new(kind(number), 2048, args.len())));
        return;
    }
    let Some(place) = known.len().checked_sub(1 + usize::from(choice)) else { return };
    let (id, model) = &mut known[place];
    let id = *id;
    match call {
        Call::Open(..) => unreachable!(),
        Call::Start(size) => {
            let first = vec![1; size.into()];
            let callee = pair.b.core.callee(id);
            let may = callee.is_some_and(|mut callee| callee.started(&first).is_ok());
            assert_eq!(may, model.start(first.len()), "start");
            pair.settle();
            if may {
                assert_eq!(pair.a.core.caller(id).unwrap().take_started(), Some(first));
            }
        }
        Call::Send(side, size) => {
            let value = vec![2; size.into()];
            let sent = match side {
                0 => pair.a.core.caller(id).unwrap().send(&value),
                _ => match pair.b.core.callee(id) {
                    Some(mut callee) => callee.send(&value),
                    None => Err(SendError::Ended),
                },
            };
            let sent = sent.map_err(|no| if no == SendError::Full { no } else { SendError::Ended });
            assert_eq!(sent, model.send(side, value.len()), "send");
        }
        Call::Recv(side) => {
            let mut value = Vec::new();
            let got = match side {
                0 => pair.a.core.caller(id).unwrap().recv(&mut value),
                _ => match pair.b.core.callee(id) {
                    Some(mut callee) => callee.recv(&mut value),
                    // Its task is gone.
                    None => return,
                },
            };
            let got = if got == Recv::Value { Ok(value.len()) } else { Err(got) };
            assert_eq!(got, model.recv(side), "recv");
        }
        Call::Stop(side) => {
            match side {
                0 => drop(pair.a.core.caller(id).unwrap().stop()),
                _ => drop(pair.b.core.callee(id).map(|mut callee| callee.stop())),
            }
            model.stop(side);
        }
        Call::StopReading(side) => {
            match side {
                0 => pair.a.core.caller(id).unwrap().stop_reading(),
                _ => match pair.b.core.callee(id) {
                    Some(mut callee) => callee.stop_reading(),
                    None => return,
                },
            }
            model.stop_reading(side);
        }
        Call::OnOverrun(side, policy, bytes) => {
            let overrun = overrun(policy, bytes);
            let dropped = match side {
                0 => {
                    let mut caller = pair.a.core.caller(id).unwrap();
                    caller.on_overrun(overrun);
                    caller.dropped()
                }
                _ => match pair.b.core.callee(id) {
                    Some(mut callee) => {
                        callee.on_overrun(overrun);
                        callee.dropped()
                    }
                    None => return,
                },
            };
            model.on_overrun(side, overrun);
            assert_eq!(dropped, model.dropped(side), "dropped");
        }
        Call::Cancel(grace) => {
            let request = cancel_by(1, Duration::from_millis(grace.into()));
            pair.a.core.caller(id).unwrap().cancel(pair.now, request);
            model.cancel();
        }
        Call::Return(size) => finish(pair, id, model, Some(size.into())),
        Call::End => finish(pair, id, model, None),
    }
}

fn finish(pair: &mut Pair, id: DialogId, model: &mut Dialog, result: Option<usize>) {
    let Some(callee) = pair.b.core.callee(id) else { return };
    callee.finish(match result {
        Some(size) => Terminal::Return(vec![3; size]),
        None => Terminal::Cancelled(asked_by(1)),
    });
    model.finish(result);
}

fn end_of(outcome: Option<Outcome>) -> Option<End> {
    outcome.map(|outcome| match outcome {
        Outcome::Returned(value) => End::Returned(value.len()),
        Outcome::Failed { .. } => End::Failed,
        Outcome::Cancelled(_) => End::Cancelled,
        other => panic!("nothing else may come of it: {other:?}"),
    })
}

/// All that was told, and what both ends hold at last.
fn log(script: &[(u8, Call)], split: Split, spurious: bool) -> Vec<String> {
    let (mut pair, mut known) = (Pair::up_with(&limits()), Known::new());
    pair.split = split;
    for (choice, call) in script {
        apply(&mut pair, &mut known, *choice, *call);
        pair.settle();
        for end in [&mut pair.a, &mut pair.b] {
            if spurious {
                // Asked again, out of order: nothing new comes of it.
                let deadline = end.core.poll_timeout();
                end.core.handle_timeout(pair.now);
                end.core.handle_input(pair.now, b"");
                assert_eq!(end.core.poll_timeout(), deadline);
                assert_eq!(end.core.poll_transmit(pair.now, &mut Vec::new(), 1), 0);
                assert_eq!(end.core.poll_event(), None);
            }
        }
    }
    let told = |events: &[Event]| events.iter().map(|event| format!("{event:?}")).collect();
    let mut log: Vec<String> = told(&pair.a.events);
    log.extend(told(&pair.b.events));
    log.extend(known.iter().map(|(id, _)| format!("{id}: {:?}", pair.outcome(*id))));
    log
}

proptest! {
    #[test]
    fn p_d7_p_w1_p_w6_p_w7_two_cores_do_what_the_model_does(script in calls()) {
        let (mut pair, mut known) = (Pair::up_with(&limits()), Known::new());
        for (choice, call) in script {
            apply(&mut pair, &mut known, choice, call);
            pair.settle();
            for (id, model) in &known {
                assert_eq!(end_of(pair.outcome(*id)), model.end, "{id}");
            }
            assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
        }
    }

    #[test]
    fn p_f4_splits_and_spurious_polls_change_nothing(script in calls(), size in 1..50_usize) {
        let whole = log(&script, Split::Whole, false);
        for split in [Split::Whole, Split::Pieces(size), Split::Placed(size)] {
            assert_eq!(whole, log(&script, split, true));
        }
    }

    #[test]
    fn p_c1_time_moves_on_or_there_is_output(
        script in calls(),
        steps in vec(0..3_000_000_u64, 1..20),
    ) {
        let lively = Some((Duration::from_secs(1), Duration::from_secs(2)));
        let mut pair = Pair::up_with(&Limits { liveness: lively, ..limits() });
        let mut known = Known::new();
        let mut steps = steps.iter().cycle();
        for (choice, call) in script {
            apply(&mut pair, &mut known, choice, call);
            pair.settle();
            // `pass` looks whether the next deadline is later or output waits.
            pair.pass(Duration::from_micros(*steps.next().unwrap()));
            pair.settle();
            // The model knows no time: whoever cancelled has stopped waiting (P-C1).
            known.retain(|(id, _)| !matches!(pair.outcome(*id), Some(Outcome::Lost(_))));
            if pair.a.core.is_closed() || pair.b.core.is_closed() {
                break;
            }
        }
    }
}

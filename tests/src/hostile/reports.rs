//! Reports: whatever decodes can be cut to the limits, rendered, and carried in one frame (P-F3).

use hatchery_proto::{
    CancelRequest, Cancelled, Cause, Code, ExitReport, Failure, Kind, Limits, Outcome, Report,
    StartWish, Terminal,
};

use super::{BEGIN, Script, exchange, greeted, small_limits};

/// The first byte says what the rest is: a body as it comes, or instructions to build a report.
///
/// # Panics
/// Panics where a report stays above the limits, or its end does not get it.
pub fn reports_against(bytes: &[u8]) {
    let mut script = Script(bytes);
    let seed = script.byte();
    let report = match seed & 3 {
        0 => postcard::from_bytes::<Report>(script.0).ok(),
        1 => match postcard::from_bytes::<Failure>(script.0).ok() {
            Some(Failure::Failed(report)) => Some(*report),
            _ => None,
        },
        2 => match postcard::from_bytes::<CancelRequest>(script.0).ok() {
            Some(CancelRequest {
                by: Cancelled { cause: Cause::OpenerFailed(report), .. },
                ..
            }) => Some(*report),
            _ => None,
        },
        _ => Some(built(&mut script)),
    };
    if let Some(report) = report {
        cut(&report, &limits(seed));
        carried(report, usize::from(seed) * 8);
    }
}

fn limits(seed: u8) -> Limits {
    let text = 64 << (seed >> 4);
    Limits { max_report_text: text, max_report_chain: text / 64, max_name: 32, ..small_limits() }
}

/// A report with long and many fields.
fn built(script: &mut Script<'_>) -> Report {
    let text = |script: &mut Script<'_>| {
        let size = script.below(8) * usize::from(script.byte());
        // Of one to four bytes, so that a cut may fall inside a letter.
        ["x", "é", "…", "😀"][script.below(4)].repeat(size)
    };
    let mut report = Report::new((1, 1), Code::Error, super::actor(1), text(script));
    report.origin.name = text(script);
    report.type_name = text(script);
    report.backtrace = (script.byte() & 1 == 0).then(|| text(script));
    for _ in 0..script.below(40) {
        report.sources.push(text(script));
    }
    let actor = report.origin.clone();
    for _ in 0..script.below(40) {
        let (task, actor) = (text(script), actor.clone());
        report.hops.push(hatchery_proto::Hop { actor, task });
    }
    for _ in 0..script.below(40) {
        let (message, type_name, origin) = (text(script), text(script), actor.clone());
        report.also.push(hatchery_proto::Also { origin, type_name, message });
    }
    if script.byte() & 1 == 0 {
        report.canceller = Some(actor.clone());
        let mut exit = ExitReport::new(actor.clone(), None, hatchery_proto::Rung::Killed);
        exit.under_way = (0..script.below(40)).map(|_| text(script)).collect();
        exit.rungs = vec![(exit.rung, core::time::Duration::MAX); script.below(80)];
        exit.asked_by = Some(actor);
        (exit.last_message, exit.panics) = (text(script), text(script));
        exit.stderr_tail = text(script);
        report.exit = Some(Box::new(exit));
    }
    report
}

/// Within the limits after one cut, which a second one does not change.
fn cut(report: &Report, limits: &Limits) {
    let mut short = report.clone();
    short.truncate(limits);
    assert!(short.encoded_len() <= bound(limits), "{} {limits:?}", short.encoded_len());
    assert!(report.truncated || short.truncated == (short != *report), "a cut is marked");
    assert!(short.to_string().len() <= limits.max_report_text);
    if let Some(exit) = &short.exit {
        assert!(exit.to_string().len() <= bound(limits));
    }
    let mut again = short.clone();
    again.truncate(limits);
    assert_eq!(again, short, "a second cut changes nothing");
    for room in [0, 100, 1000] {
        let mut fitted = report.clone();
        fitted.truncate_to(limits, room);
        assert!(fitted.encoded_len() <= room.max(1000), "{} for {room}", fitted.encoded_len());
        assert!(fitted == short || fitted.truncated, "a cut is marked");
    }
}

/// The most that a report with these limits encodes to.
fn bound(limits: &Limits) -> usize {
    let (text, chain, name) =
        (limits.max_report_text, limits.max_report_chain, limits.max_name + 40);
    let sources = chain * (text / 16 + 4);
    let hops = chain * 2 * name;
    let also = chain * (text / 64 + 4 + 2 * name);
    let exit = 2 * (text / 4) + text / 16 + chain * (name + 20) + 2 * name + 64;
    2 * text + sources + hops + also + exit + 8 * name + 64
}

/// One frame takes it to its opener, whatever is in it, its typed form along where that fits.
fn carried(report: Report, payload: usize) {
    let (id, code) = (report.id, report.code);
    let (mut opener, mut callee) = greeted(&small_limits());
    let wish = StartWish {
        endpoint: "",
        kind: Kind::Call,
        schema: 0,
        codec: 0,
        deadline: None,
        trace: None,
    };
    let dialog = opener.start(BEGIN, wish, b"").expect("a dialog");
    exchange(&mut opener, &mut callee);
    let report = Box::new(report);
    let terminal = Terminal::Failed { report, payload: vec![7; payload] };
    callee.callee(dialog).expect("a callee").finish(terminal);
    exchange(&mut opener, &mut callee);
    assert!(!opener.is_closed(), "{:?}", super::broken(&mut opener));
    let caller = opener.caller(dialog).expect("a caller");
    let Some(Outcome::Failed { report, payload: got }) = caller.outcome() else {
        panic!("{:?}", caller.outcome());
    };
    assert_eq!((report.id, report.code), (id, code));
    assert!(got.is_empty() || *got == vec![7; payload]);
    assert!(got.len() == payload || report.truncated, "what was left out is marked");
}

//! What is said of a child that ended, or was ended, before it was up.

use hatchery_proto::wire::hello;
use hatchery_proto::{Connection, ExitReport, Rung};

use super::State;
use crate::error::Error;

/// What came from a launcher in place of a greeting, as the end of a sentence.
pub(super) fn said_first(connection: &Connection) -> String {
    /// Where a greeting says what it is.
    const MAGIC: std::ops::Range<usize> = 6..10;
    let first = connection.first_bytes();
    if first.is_empty() || first.get(MAGIC).is_some_and(|magic| *magic == hello::MAGIC) {
        return String::new();
    }
    let first = String::from_utf8_lossy(first);
    format!("; its standard output, which is its link, began with {:?}", first.trim_end())
}

/// The error of a child that ended, or was ended, before it was up, unless it has said why itself.
pub(super) fn never_up(state: &State, exit: &ExitReport, said: &str) -> Option<Error> {
    // The outcome of a `Start` that was taken back is no word of the child's (P-W4).
    if state.up || (state.outcome.is_some() && !state.ladder.was_taken_back()) {
        return None;
    }
    // Two versions without one in common are named here (P-L1).
    let broken =
        state.broken.as_ref().map(|violation| format!("it broke the protocol: {violation}"));
    let hint = match state.launched {
        false => "does its `main` begin with `hatchery::init()` or `#[hatchery::main]`?",
        true => {
            "does its launcher run the program with all its arguments, and the program's `main` begin \
             with `hatchery::init()` or `#[hatchery::main]`?"
        }
    };
    let how = match (&state.asked, exit.status) {
        (Some(by), _) => format!("it was {by} before it was up"),
        (None, Some(status)) if exit.rung == Rung::Unasked => {
            format!("its process {status} before it was up{said}; {hint}")
        }
        (None, _) if exit.link_lost => {
            format!("it closed its link before it was up and had to be ended{said}; {hint}")
        }
        (None, _) => {
            let within = state.connect;
            format!("it was not up within {within:?} and had to be ended{said}; {hint}")
        }
    };
    let broken = broken.map(|broken| broken + said);
    let how = broken.filter(|_| state.asked.is_none()).unwrap_or(how);
    let message = format!("starting actor `{}`: {how}", state.id.name);
    Some(Error::spawn(&state.id, message, Some(exit.clone())))
}

#[cfg(test)]
mod tests {
    use hatchery_proto::nursery::ladder::{Ladder, Policy};
    use hatchery_proto::{ActorId, Cancelled, Cause, Code, ExitStatus, Outcome, Report};

    use super::super::task::SIGKILL;
    use super::*;
    use crate::driver::clock;

    fn state(up: bool, outcome: Option<Outcome>, taken_back: bool) -> State {
        let (id, policy) = (ActorId::default(), Policy::default());
        let mut ladder = Ladder::new(clock::now(), policy);
        ladder.handle_spawned(clock::now());
        if !taken_back {
            ladder.handle_start_written(clock::now());
        }
        ladder.cancel(clock::now(), policy.teardown);
        State {
            ladder,
            connect: policy.connect,
            asked: Some(Cancelled { canceller: id.clone(), cause: Cause::Asked }),
            id,
            link: None,
            greeted: true,
            told: !taken_back,
            waited: false,
            launched: false,
            up,
            outcome,
            end: None,
            wish: None,
            deferred: None,
            asking: None,
            kill_asked: false,
            broken: None,
        }
    }

    #[test]
    fn spn_08_a_start_that_was_taken_back_before_it_was_written_is_told_to_who_started_it_alone() {
        let killed = Some(ExitStatus::Signal { number: SIGKILL, core: false });
        let exit = ExitReport::new(ActorId::default(), killed, Rung::Killed);
        let by = || Cancelled { canceller: ActorId::default(), cause: Cause::Asked };
        // The outcome is this side's own: the child has not said a word.
        let taken_back = state(false, Some(Outcome::Cancelled(by())), true);
        let error = never_up(&taken_back, &exit, "").expect("it was never up");
        assert!(error.to_string().contains("before it was up"), "{error}");
        assert!(never_up(&state(false, None, false), &exit, "").is_some());
        // What it has said itself is its outcome, and so is all that comes later.
        assert!(never_up(&state(true, Some(Outcome::Cancelled(by())), true), &exit, "").is_none());
        let report = Report::new(Default::default(), Code::Error, by().canceller, String::new());
        let failed = Outcome::Failed { report: Box::new(report), payload: Vec::new() };
        assert!(never_up(&state(false, Some(failed), false), &exit, "").is_none());
        assert!(
            never_up(&state(false, Some(Outcome::Cancelled(by())), false), &exit, "").is_none()
        );
    }
}

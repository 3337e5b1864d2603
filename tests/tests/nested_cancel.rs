//! Contexts inside contexts, each of another pair of peers: when all of them are cancelled and the
//! last one hears nothing, who gives up on it is its own opener, and everybody further out hears of
//! the end in time. Time is virtual, each link is a real pair of cores.

use std::time::Duration;

use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, DialogId, Event, LostCause, Outcome, Terminal,
};
use hatchery_tests::pair::Pair;

/// What a message takes.
const HOP: Duration = Duration::from_millis(1);

fn by() -> Cancelled {
    let canceller = ActorId { name: "outermost".to_owned(), uuid: 1, pid: 1 };
    Cancelled { canceller, cause: Cause::Asked }
}

/// Links in a row: the task that serves one of them has opened a context over the next.
struct Row {
    links: Vec<(Pair, DialogId)>,
    /// When each opener knew how its context ended, since the beginning.
    ended: Vec<Option<Duration>>,
    passed: Duration,
}

impl Row {
    fn new(depth: usize) -> Self {
        let link = || {
            let mut pair = Pair::up();
            let id = pair.context();
            (pair, id)
        };
        Self {
            links: (0..depth).map(|_| link()).collect(),
            ended: vec![None; depth],
            passed: Duration::ZERO,
        }
    }

    /// Cancels the outermost context, and lets time pass until its opener knows how it ended.
    fn cancel(&mut self, grace: Duration) {
        let (pair, id) = &mut self.links[0];
        let request = CancelRequest { by: by(), grace };
        pair.a.core.caller(*id).unwrap().cancel(pair.now, request);
        while self.ended[0].is_none() {
            assert!(self.passed < grace + Duration::from_secs(60), "it goes on for ever");
            self.hop();
        }
    }

    fn hop(&mut self) {
        self.passed += HOP;
        for level in 0..self.links.len() {
            let (pair, id) = &mut self.links[level];
            let id = *id;
            pair.step();
            pair.pass(HOP);
            if pair.b.saw(&Event::CancelAsked(id))
                && let Some(grace) = pair.b.core.callee(id).unwrap().cancel_request()
            {
                let grace = grace.grace;
                // The innermost hears nothing.
                if let Some((below, id)) = self.links.get_mut(level + 1) {
                    below.a.core.caller(*id).unwrap().cancel_within(below.now, by(), grace);
                }
            }
            let (pair, id) = &mut self.links[level];
            if pair.a.saw(&Event::Finished(*id)) {
                self.ended[level] = Some(self.passed);
                // Its task was only waiting for this.
                if level > 0 {
                    let (above, id) = &mut self.links[level - 1];
                    above.finish(*id, Terminal::Cancelled(by()));
                }
            }
        }
    }
}

#[test]
fn p_c1_the_innermost_opener_gives_up_first_however_deep_contexts_are_nested() {
    for millis in [250, 1000, 4400] {
        for depth in 1..=10 {
            let grace = Duration::from_millis(millis);
            let mut row = Row::new(depth);
            row.cancel(grace);
            let what = format!("{depth} within {grace:?}: {:?}", row.ended);
            let bound = grace + Duration::from_millis(500) + HOP;
            assert!(row.ended[0].is_some_and(|at| at <= bound), "{what}");
            for level in 0..depth {
                let (pair, id) = &mut row.links[level];
                let outcome = pair.outcome(*id);
                if level + 1 == depth {
                    let lost = Some(Outcome::Lost(LostCause::Unresponsive));
                    assert_eq!(outcome, lost, "{what}");
                } else {
                    assert_eq!(outcome, Some(Outcome::Cancelled(by())), "{what}");
                    assert!(row.ended[level] > row.ended[level + 1], "{what}");
                }
            }
        }
    }
}

#[test]
fn p_c1_a_repeat_with_less_time_shortens_the_wait_too() {
    let mut pair = Pair::up();
    let id = pair.context();
    let millis = Duration::from_millis;
    let request = CancelRequest { by: by(), grace: millis(900) };
    pair.a.core.caller(id).unwrap().cancel(pair.now, request);
    // Its grace is not shorter, but who asks now has no half a second more.
    pair.a.core.caller(id).unwrap().cancel_within(pair.now, by(), millis(1000));
    pair.settle();
    pair.pass(millis(999));
    assert_eq!(pair.outcome(id), None);
    pair.pass(millis(1));
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::Unresponsive)));
}

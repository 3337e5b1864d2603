//! The reference model: what the two ends of one dialog should make of a sequence of calls, where
//! every byte arrives at once. It knows values, credit and outcomes, nothing of frames or queues.

use std::collections::VecDeque;

use hatchery_proto::{Kind, Recv};

/// What a value of this size costs (P-W1); all here fit into one frame.
fn cost(size: usize) -> i64 {
    i64::try_from(size).expect("a small value") + 16
}

/// Why a value is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// For now: credit will come.
    Full,
    /// For ever, or not yet by the kind and state of the dialog.
    Never,
}

/// One direction of a stream.
#[derive(Debug)]
struct Way {
    window: i64,
    balance: i64,
    owed: i64,
    waiting: VecDeque<usize>,
    /// Ended gracefully (P-D7), or otherwise.
    stopped: bool,
    cut: bool,
    /// Nobody reads, and the sender was told (P-D8).
    done: bool,
}

impl Way {
    fn new(window: i64) -> Self {
        let waiting = VecDeque::new();
        Self { window, balance: window, owed: 0, waiting, stopped: false, cut: false, done: false }
    }

    /// Credit goes back in batches of a quarter of the window (P-W1).
    fn consumed(&mut self, cost: i64) {
        self.owed += cost;
        if self.owed >= self.window / 4 {
            self.balance += std::mem::take(&mut self.owed);
        }
    }
}

/// How a dialog ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a result of this size.
    Returned(usize),
    /// With an error, as a context does that never started (P-D2).
    Failed,
    /// As cancelled.
    Cancelled,
}

/// One dialog, both of its sides: 0 is the opener, 1 the callee.
#[derive(Debug)]
pub struct Dialog {
    kind: Kind,
    /// What each side sends.
    ways: [Way; 2],
    accepted: bool,
    started: bool,
    cancelled: bool,
    /// What it came to.
    pub end: Option<End>,
}

impl Dialog {
    /// A dialog that was opened, with arguments of this size that the callee took at once.
    #[must_use]
    pub fn new(kind: Kind, window: u32, args: usize) -> Self {
        let mut ways = [Way::new(window.into()), Way::new(window.into())];
        ways[0].balance -= cost(args);
        // Credited when the task takes them, but not to who sends nothing more (P-W1).
        if kind != Kind::Call {
            ways[0].consumed(cost(args));
        }
        Self { kind, ways, accepted: true, started: false, cancelled: false, end: None }
    }

    /// The callee starts a context, and the opener takes its first value; says whether it may.
    pub fn start(&mut self, first: usize) -> bool {
        let may = self.kind == Kind::Context && !self.started && self.end.is_none();
        if may {
            self.started = true;
            self.ways[1].balance -= cost(first);
            self.ways[1].consumed(cost(first));
        }
        may
    }

    /// Whether values may flow from this side at all (P-D2, P-D3).
    fn flows(&self, side: usize) -> bool {
        let kind = match self.kind {
            Kind::Context => self.started,
            Kind::Stream => side == 1 && self.accepted,
            Kind::Call | Kind::Actor => false,
        };
        kind && self.end.is_none() && !(side == 0 && self.cancelled)
    }

    /// A side sends a value of this size.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn send(&mut self, side: usize, size: usize) -> Result<(), No> {
        let flows = self.flows(side);
        let way = &mut self.ways[side];
        if !flows || way.stopped || way.done {
            return Err(No::Never);
        }
        if way.balance <= 0 {
            return Err(No::Full);
        }
        way.balance -= cost(size);
        way.waiting.push_back(size);
        Ok(())
    }

    /// A side receives: the size of a value, or why there is none.
    ///
    /// # Errors
    /// What stands in place of a value.
    pub fn recv(&mut self, side: usize) -> Result<usize, Recv> {
        let way = &mut self.ways[1 - side];
        match way.waiting.pop_front() {
            Some(size) => {
                way.consumed(cost(size));
                Ok(size)
            }
            None if way.stopped => Err(Recv::End),
            None if way.cut => Err(Recv::Ended),
            None => Err(Recv::Empty),
        }
    }

    /// A side ends its own direction gracefully (P-D7).
    pub fn stop(&mut self, side: usize) {
        self.ways[side].stopped |= self.flows(side);
    }

    /// A side reads no more, and says so (P-D8).
    pub fn stop_reading(&mut self, side: usize) {
        self.ways[1 - side].done = true;
        self.ways[1 - side].waiting.clear();
    }

    /// The opener asks the callee to end; what it sends ends with that (P-D3).
    pub fn cancel(&mut self) {
        if self.end.is_none() {
            self.cancelled = true;
            self.ways[0].cut = true;
        }
    }

    /// The callee ends: with a result of this size, or as cancelled (P-D4).
    pub fn finish(&mut self, result: Option<usize>) {
        let ready = self.kind != Kind::Context || self.started;
        let end = result
            .map_or(End::Cancelled, |size| if ready { End::Returned(size) } else { End::Failed });
        // A result is a graceful end of what the callee sends (P-D7).
        self.ways[1].stopped |= matches!(end, End::Returned(_));
        self.ways[1].cut = true;
        self.end = Some(end);
    }
}

//! The reference model: what two ends of a dialog should make of any calls, where every byte arrives
//! at once. It knows values, credit and outcomes, nothing of frames or queues.

use std::collections::VecDeque;

use hatchery_proto::{Capacity, Kind, Overrun, Recv, SendError};

/// What a value of this size costs (P-W1); all here fit into one frame.
const fn cost(size: usize) -> i64 {
    size as i64 + 16
}

/// One direction of a stream.
#[derive(Debug)]
struct Way {
    window: i64,
    balance: i64,
    owed: i64,
    /// Sizes, and what each is still to give back.
    waiting: VecDeque<(usize, i64)>,
    overrun: Overrun,
    /// More came than is kept (P-W6), and how much was dropped.
    overran: bool,
    dropped: u64,
    // Ended gracefully (P-D7), or otherwise; nobody reads, and the sender was told (P-D8).
    stopped: bool,
    cut: bool,
    done: bool,
}

impl Way {
    fn new(window: i64) -> Self {
        let waiting = VecDeque::new();
        Self {
            window,
            balance: window,
            owed: 0,
            waiting,
            overrun: Overrun::Wait,
            overran: false,
            dropped: 0,
            stopped: false,
            cut: false,
            done: false,
        }
    }

    /// Keeps what is to be kept, and gives back what is not waited for (P-W6).
    fn keep(&mut self) {
        let (kept, fails) = match self.overrun {
            Overrun::Fail(kept) => (kept, true),
            Overrun::DropOldest(kept) => (kept, false),
            Overrun::LatestOnly => (Capacity { items: 1, bytes: usize::MAX }, false),
            _ => return self.consumed(0),
        };
        let bytes = |all: &VecDeque<(usize, i64)>| all.iter().map(|(size, _)| size).sum::<usize>();
        let at_once = self.waiting.iter_mut().map(|(_, cost)| std::mem::take(cost)).sum();
        while self.waiting.len() > kept.items.max(1)
            || (self.waiting.len() > 1 && bytes(&self.waiting) > kept.bytes)
        {
            if fails {
                self.waiting.pop_back();
                self.overran = true;
            } else {
                self.waiting.pop_front();
                self.dropped += 1;
            }
        }
        self.consumed(at_once);
    }

    /// Credit goes back in batches of half the window (P-W1), or of a quarter of the room (P-W7).
    fn consumed(&mut self, cost: i64) {
        self.owed += cost;
        let Overrun::WaitWithin(within) = self.overrun else {
            if self.owed >= self.window / 2 {
                self.balance += std::mem::take(&mut self.owed);
            }
            return;
        };
        let bytes: usize = self.waiting.iter().map(|(size, _)| size).sum();
        let room = |items: usize, bytes: usize| {
            let items = within.items.max(1).saturating_sub(items) * 16;
            items.min(within.bytes.saturating_sub(bytes)) as i64
        };
        let least = i64::from(self.waiting.is_empty());
        let left = room(self.waiting.len(), bytes).max(least);
        if left == 0 {
            return;
        }
        let give = self.owed.min(left - self.balance);
        if give > 0 && give >= room(0, 0).min(self.window) / 4 {
            self.owed -= give;
            self.balance += give;
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
    ways: [Way; 2],
    started: bool,
    cancelled: bool,
    /// What it came to.
    pub end: Option<End>,
}

impl Dialog {
    /// A dialog that was opened, with arguments of this size that the callee took at once.
    pub fn new(kind: Kind, window: u32, args: usize) -> Self {
        let mut ways = [Way::new(window.into()), Way::new(window.into())];
        ways[0].balance -= cost(args);
        // Credited when the task takes them, but not to who sends nothing more (P-W1).
        if kind != Kind::Call {
            ways[0].consumed(cost(args));
        }
        Self { kind, ways, started: false, cancelled: false, end: None }
    }

    /// The callee starts a context, and the opener takes its first value; says whether it may.
    pub fn start(&mut self, first: usize) -> bool {
        if self.kind != Kind::Context || self.started || self.end.is_some() {
            return false;
        }
        self.started = true;
        self.ways[1].balance -= cost(first);
        self.ways[1].consumed(cost(first));
        true
    }

    /// Whether values may flow from this side at all (P-D2, P-D3).
    fn flows(&self, side: usize) -> bool {
        let kind = match self.kind {
            Kind::Context => self.started,
            Kind::Stream => side == 1,
            Kind::Call | Kind::Actor => false,
        };
        kind && self.end.is_none() && !(side == 0 && self.cancelled)
    }

    /// A side sends a value of this size; `Full` is for now, `Ended` for ever.
    pub fn send(&mut self, side: usize, size: usize) -> Result<(), SendError> {
        let flows = self.flows(side);
        let way = &mut self.ways[side];
        match () {
            () if !flows || way.stopped || way.done || way.overran => Err(SendError::Ended),
            () if way.balance <= 0 => Err(SendError::Full),
            () => {
                way.balance -= cost(size);
                way.waiting.push_back((size, cost(size)));
                way.keep();
                Ok(())
            }
        }
    }

    /// A side receives: the size of a value, or what stands in its place.
    pub fn recv(&mut self, side: usize) -> Result<usize, Recv> {
        let way = &mut self.ways[1 - side];
        match way.waiting.pop_front() {
            Some((size, cost)) => Ok((way.consumed(cost), size).1),
            None if way.overran => Err(Recv::Overrun),
            None if way.stopped => Err(Recv::End),
            None => Err(if way.cut { Recv::Ended } else { Recv::Empty }),
        }
    }

    /// A side says what becomes of what it does not receive in time (P-W6).
    pub fn on_overrun(&mut self, side: usize, overrun: Overrun) {
        let way = &mut self.ways[1 - side];
        way.overrun = overrun;
        way.keep();
    }

    /// How many values a side has dropped.
    pub fn dropped(&self, side: usize) -> u64 {
        self.ways[1 - side].dropped
    }

    /// A side ends its own direction gracefully (P-D7).
    pub fn stop(&mut self, side: usize) {
        self.ways[side].stopped |= self.flows(side);
    }

    /// A side reads no more, and says so (P-D8).
    pub fn stop_reading(&mut self, side: usize) {
        let way = &mut self.ways[1 - side];
        (way.done, way.waiting) = (true, VecDeque::new());
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

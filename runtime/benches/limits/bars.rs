//! The bars of `design/performance.md`, and the work that is measured for them: who does it, what it
//! is compared with, and where the two tiers are.

use std::io;
use std::time::Duration;

use crate::{blocking, coalesced, control, counted, frame, smallest, starts, tree};

/// How much one sample does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// How often.
    pub(crate) times: u32,
    /// Where the peer runs, if not on the core of this process.
    pub(crate) other_core: Option<usize>,
}

/// Who does the work of a row, and how it is called in the table.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) sample: fn(Scale) -> io::Result<f64>,
}

/// Where a tier is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// So many times what this contender takes; of a rate, so many times less.
    Times(f64, &'static str),
    /// This much.
    Is(f64),
}

/// One bar: who is held to it, and what it is compared with.
pub(crate) struct Bar {
    pub(crate) id: &'static str,
    pub(crate) work: &'static str,
    pub(crate) ours: &'static str,
    /// What the ratio is to; nothing where the limit is nought, or nobody else does it.
    pub(crate) limit: Option<&'static str>,
    pub(crate) t1: Bound,
    pub(crate) t2: Bound,
}

/// One piece of work, done by each contender in turn.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    /// Whether a bigger number is better.
    pub(crate) more_is_better: bool,
    pub(crate) across_cores: bool,
    /// Rounds of a run that is not quick: one where it comes out the same every time.
    pub(crate) rounds: usize,
    pub(crate) times: u32,
    pub(crate) contenders: &'static [Contender],
    pub(crate) bars: &'static [Bar],
}

/// A time on one core.
const TIME: Row = Row {
    key: "",
    unit: "µs",
    more_is_better: false,
    across_cores: false,
    rounds: 11,
    times: 1,
    contenders: &[],
    bars: &[],
};
/// A rate on one core.
const RATE: Row = Row { unit: "million/s", more_is_better: true, ..TIME };
/// A number that is the same every time.
const COUNT: Row = Row { unit: "", rounds: 1, ..TIME };

const fn by(name: &'static str, sample: fn(Scale) -> io::Result<f64>) -> Contender {
    Contender { name, sample }
}

/// A bar of ours against one limit, which both tiers are multiples of.
const fn bar(
    id: &'static str,
    work: &'static str,
    limit: &'static str,
    (t1, t2): (f64, f64),
) -> Bar {
    let (t1, t2) = (Bound::Times(t1, limit), Bound::Times(t2, limit));
    Bar { id, work, ours: OURS, limit: Some(limit), t1, t2 }
}

/// A bar whose tiers are numbers.
const fn absolute(
    id: &'static str,
    work: &'static str,
    limit: Option<&'static str>,
    (t1, t2): (f64, f64),
) -> Bar {
    Bar { id, work, ours: OURS, limit, t1: Bound::Is(t1), t2: Bound::Is(t2) }
}

pub(crate) const OURS: &str = "hatchery";
/// The same by `send_many`.
const SEND_MANY: &str = "hatchery, many";
const BLOCK: &str = "block";
const SMOL: &str = "smol";
const SPIN: &str = "block, spinning";
#[cfg(feature = "parker")]
const SPINNING: &str = "hatchery, spinning";
const TINY: &str = "tiny static";
const ONE: &str = "hatchery, one context";
const SMALL: &str = "hatchery, small parent";
const WARM: &str = "hatchery, from one that waits";

/// Everything that is measured, in the order of the bars.
pub(crate) const ROWS: &[Row] = &[
    Row {
        key: "round-trip",
        times: 20_000,
        contenders: &[
            by(BLOCK, |s| Ok(micros(blocking::round_trip(s)?))),
            by(SMOL, |s| Ok(micros(smallest::round_trip(s)?))),
            by("hatchery, stream", |s| Ok(micros(tree::talk::stream_round_trip(s)?))),
            by("hatchery, call", |s| Ok(micros(tree::talk::call_round_trip(s)?))),
        ],
        bars: &[
            Bar {
                id: "B1",
                work: "stream round trip, 32 B, one core",
                ours: "hatchery, stream",
                limit: Some(BLOCK),
                t1: Bound::Times(1.2, SMOL),
                t2: Bound::Times(1.2, BLOCK),
            },
            Bar {
                id: "B2",
                work: "call round trip, 32 B, one core",
                ours: "hatchery, call",
                limit: Some(BLOCK),
                t1: Bound::Times(1.3, SMOL),
                t2: Bound::Times(1.25, BLOCK),
            },
        ],
        ..TIME
    },
    Row {
        key: "round-trip-across",
        across_cores: true,
        times: 4_000,
        contenders: &[
            by(BLOCK, |s| Ok(micros(blocking::round_trip(s)?))),
            by(SPIN, |s| Ok(micros(blocking::round_trip_spinning(s)?))),
            by(SMOL, |s| Ok(micros(smallest::round_trip(s)?))),
            by(OURS, |s| Ok(micros(tree::talk::call_round_trip(s)?))),
            #[cfg(feature = "parker")]
            by(SPINNING, |s| Ok(micros(tree::spinning::call_round_trip(s)?))),
        ],
        bars: &[
            Bar {
                id: "B3",
                work: "call round trip, 32 B, across cores",
                ours: OURS,
                limit: Some(BLOCK),
                t1: Bound::Times(1.1, SMOL),
                t2: Bound::Times(1.3, SPIN),
            },
            #[cfg(feature = "parker")]
            Bar {
                id: "B3",
                work: "the same, both ends spinning",
                ours: SPINNING,
                limit: Some(SPIN),
                t1: Bound::Times(1.1, SMOL),
                t2: Bound::Times(1.3, SPIN),
            },
        ],
        ..TIME
    },
    Row {
        key: "system-calls",
        // Being traced, the two ends do not always meet in the same order.
        rounds: 5,
        times: 1_000,
        contenders: &[
            by(BLOCK, |s| counted::system_calls(s, "round-trip", BLOCK)),
            by(SMOL, |s| counted::system_calls(s, "round-trip", SMOL)),
            by(OURS, |s| counted::system_calls(s, "round-trip", "hatchery, call")),
        ],
        bars: &[Bar {
            id: "B4",
            work: "system calls per call round trip, both ends",
            ours: OURS,
            limit: Some(BLOCK),
            t1: Bound::Times(1.0, SMOL),
            t2: Bound::Is(6.0),
        }],
        ..COUNT
    },
    Row {
        key: "allocations-call",
        times: 1_000,
        contenders: &[
            by(OURS, tree::counts::per_call_big),
            by("hatchery, 32 B", tree::counts::per_call_small),
        ],
        bars: &[absolute("B5", "allocations per call, 4 KiB, both ends", None, (2.0, 0.0))],
        ..COUNT
    },
    Row {
        key: "allocations-item",
        times: 1_000,
        contenders: &[
            by(OURS, tree::counts::per_item_big),
            by("hatchery, 32 B", tree::counts::per_item_small),
        ],
        bars: &[absolute("B5", "allocations per stream item, 4 KiB, both ends", None, (1.0, 0.0))],
        ..COUNT
    },
    Row {
        key: "calls-64",
        times: 50_000,
        contenders: &[
            by(BLOCK, |s| rate(s.longer(16), |s| coalesced::calls(s, 64))),
            by(OURS, |s| rate(s, |s| tree::talk::calls(s, 64))),
        ],
        bars: &[bar("B6", "calls, 64 in flight, a task each", BLOCK, (6.0, 3.5))],
        ..RATE
    },
    Row {
        key: "calls-1000",
        times: 50_000,
        contenders: &[
            by(BLOCK, |s| rate(s.longer(80), |s| coalesced::calls(s, 1_000))),
            by(OURS, |s| rate(s, |s| tree::talk::calls(s, 1_000))),
        ],
        bars: &[bar("B7", "calls, 1,000 in flight", BLOCK, (25.0, 13.0))],
        ..RATE
    },
    Row {
        key: "stream-16",
        times: 1_000_000,
        contenders: &[
            by(BLOCK, |s| rate(s.longer(10), |s| coalesced::items::<16>(s, "count-16"))),
            by("hatchery, bytes", |s| rate(s, tree::streams::bytes_16)),
            by("hatchery, typed", |s| rate(s, tree::streams::typed_16)),
            by("hatchery, bytes, many", |s| rate(s, tree::streams::bytes_16_many)),
            by("hatchery, typed, many", |s| rate(s, tree::streams::typed_16_many)),
        ],
        bars: &[
            Bar {
                ours: "hatchery, bytes",
                ..bar("B8", "stream of 16 B, bytes", BLOCK, (8.0, 2.0))
            },
            Bar {
                ours: "hatchery, typed",
                ..bar("B8", "stream of 16 B, typed", BLOCK, (12.0, 4.5))
            },
            Bar {
                ours: "hatchery, bytes, many",
                ..bar("B8", "the same, bytes, by `send_many`", BLOCK, (8.0, 2.0))
            },
            Bar {
                ours: "hatchery, typed, many",
                ..bar("B8", "the same, typed, by `send_many`", BLOCK, (12.0, 4.5))
            },
        ],
        ..RATE
    },
    Row {
        key: "stream-64",
        times: 1_500_000,
        contenders: &[
            by(BLOCK, |s| rate(s.longer(6), |s| coalesced::items::<64>(s, "count-64"))),
            by(OURS, |s| rate(s, tree::streams::bytes_64)),
            by(SEND_MANY, |s| rate(s, tree::streams::bytes_64_many)),
        ],
        bars: &[
            bar("B9", "stream of 64 B", BLOCK, (4.0, 1.5)),
            Bar { ours: SEND_MANY, ..bar("B9", "the same, by `send_many`", BLOCK, (4.0, 1.5)) },
        ],
        ..RATE
    },
    Row {
        key: "stream-1024",
        times: 400_000,
        contenders: &[
            by(BLOCK, |s| rate(s.longer(3), |s| coalesced::items::<1024>(s, "count-1024"))),
            by(OURS, |s| rate(s, tree::streams::bytes_1024)),
        ],
        bars: &[bar("B9", "stream of 1 KiB", BLOCK, (1.8, 1.25))],
        ..RATE
    },
    Row {
        key: "stream-64k",
        unit: "GB/s",
        times: 8_000,
        contenders: &[
            by(BLOCK, |s| Ok(giga(s, 65_536, blocking::copy(s)?))),
            by(SMOL, |s| Ok(giga(s, 65_536, smallest::copy(s)?))),
            by(OURS, |s| Ok(giga(s, 65_536, tree::streams::large(s, 65_536)?))),
        ],
        bars: &[bar("B10", "stream of 64 KiB", BLOCK, (1.3, 0.9))],
        ..RATE
    },
    Row {
        key: "value-256m",
        unit: "GB/s",
        times: 2 * HUGE,
        contenders: &[
            by(BLOCK, |s| Ok(giga(s, MESSAGE, blocking::values(s, MESSAGE)?))),
            by(OURS, |s| Ok(giga(s, MESSAGE, tree::streams::large(s, MESSAGE)?))),
        ],
        bars: &[bar("B10", "256 MiB in messages of 4 MiB", BLOCK, (1.3, 1.1))],
        ..RATE
    },
    Row {
        key: "spawn",
        unit: "ms",
        times: 60,
        contenders: &[
            by(TINY, |s| Ok(millis(starts::tiny(s)?))),
            by("this image by std", |s| Ok(millis(starts::own_image(s)?))),
            by(OURS, |s| Ok(millis(tree::lives::spawn(s)?))),
            by(WARM, |s| Ok(millis(tree::lives::spawn_warm(s)?))),
        ],
        bars: &[
            bar("B11", "spawn until up, own image", TINY, (2.2, 1.8)),
            Bar { ours: WARM, ..bar("B11", "spawn until up, from a pool", TINY, (2.2, 0.05)) },
        ],
        ..TIME
    },
    Row {
        key: "spawn-512m",
        unit: "ms",
        times: 60,
        contenders: &[
            by(SMALL, |s| Ok(millis(tree::lives::spawn(s)?))),
            by(OURS, |s| Ok(millis(tree::lives::spawn_from_large(s)?))),
        ],
        bars: &[bar("B12", "spawn, 512 MiB in the parent", SMALL, (1.5, 1.25))],
        ..TIME
    },
    Row {
        key: "hundred",
        unit: "ms",
        times: 100,
        contenders: &[
            by(TINY, |s| Ok(millis(starts::hundred(s)?))),
            by(OURS, |s| Ok(millis(tree::lives::hundred(s)?))),
        ],
        bars: &[bar("B13", "100 children up, cancelled, reaped", TINY, (1.8, 1.25))],
        ..TIME
    },
    Row {
        key: "idle-memory",
        unit: "KiB",
        contenders: &[by(SMOL, smallest::memory), by(OURS, tree::lives::memory)],
        bars: &[bar("B14", "idle child: private dirty memory", SMOL, (1.5, 1.2))],
        ..TIME
    },
    Row {
        key: "idle-threads",
        contenders: &[by(SMOL, smallest::threads), by(OURS, tree::lives::threads)],
        bars: &[absolute("B14", "idle child: threads", Some(SMOL), (3.0, 2.0))],
        ..COUNT
    },
    Row {
        key: "cancel",
        times: 4_000,
        contenders: &[
            by(BLOCK, |s| Ok(micros(blocking::round_trip(s)?))),
            by(OURS, |s| Ok(micros(tree::cancels::outcome(s)?))),
        ],
        bars: &[bar("B15", "cancel until the outcome is in", BLOCK, (2.0, 1.3))],
        ..TIME
    },
    Row {
        key: "cancel-under-load",
        times: 1_000,
        contenders: &[
            by(BLOCK, |s| Ok(micros(control::under_load(s)?))),
            by(OURS, |s| Ok(micros(tree::cancels::under_load(s)?))),
        ],
        bars: &[absolute("B16", "cancel ack under bulk, p99", Some(BLOCK), (2_000.0, 500.0))],
        ..TIME
    },
    Row {
        key: "kill",
        times: 60,
        contenders: &[
            by(BLOCK, |s| Ok(micros(starts::kill(s)?))),
            by(OURS, |s| Ok(micros(tree::lives::kill(s)?))),
        ],
        bars: &[bar("B17", "SIGKILL until the nursery knows", BLOCK, (2.0, 1.2))],
        ..TIME
    },
    Row {
        key: "core-frame",
        times: 4_000,
        contenders: &[by(OURS, |s| counted::instructions(s, "core-loop", OURS))],
        bars: &[absolute(
            "B18",
            "the core: 16 B in, delivered, out; instructions",
            None,
            (400.0, 200.0),
        )],
        ..COUNT
    },
    Row {
        key: "core-frames",
        times: 4_096,
        contenders: &[by(OURS, |s| counted::instructions(s, "core-run", OURS))],
        bars: &[absolute(
            "B18",
            "the same for each of 64 that come together",
            None,
            (400.0, 200.0),
        )],
        ..COUNT
    },
    Row {
        key: "contexts",
        times: MANY,
        contenders: &[
            by(ONE, |s| Ok(micros(tree::many::round_trip(s, 1)?))),
            by(OURS, |s| Ok(micros(tree::many::round_trip(s, s.times)?))),
        ],
        bars: &[bar("B19", "round trip, 4,000 contexts open", ONE, (1.3, 1.1))],
        ..TIME
    },
    Row {
        key: "context-memory",
        unit: "KiB",
        times: MANY,
        contenders: &[by(OURS, tree::many::memory)],
        bars: &[absolute("B19", "an idle context, the larger side", None, (2.0, 1.0))],
        ..COUNT
    },
    Row {
        key: "crates",
        contenders: &[
            by("hatchery-proto", |_| counted::crates("hatchery-proto")),
            by(OURS, |_| counted::crates("hatchery")),
        ],
        bars: &[
            Bar {
                ours: "hatchery-proto",
                ..absolute("B20", "crates without macros, proto", None, (6.0, 6.0))
            },
            absolute("B20", "crates without macros, runtime", None, (55.0, 45.0)),
        ],
        ..COUNT
    },
];

/// What is not a bar, but is run by a program that counts, or counts itself.
pub(crate) const INNER: &[Row] = &[
    inner("core-loop", &[by(OURS, frame::pass)]),
    inner("core-run", &[by(OURS, frame::stream)]),
    inner("core-call", &[by(OURS, frame::call)]),
    inner("core-calls", &[by(OURS, frame::calls)]),
    inner("core-start", &[by(OURS, frame::start)]),
    inner("core-credit", &[by(OURS, frame::credit)]),
    inner("core-late", &[by(OURS, frame::late)]),
    inner("core-broken", &[by(OURS, frame::broken)]),
    inner("wire-frame", &[by(OURS, frame::wire)]),
    inner("wire-bodies", &[by(OURS, frame::bodies)]),
    inner("core-loop-allocations", &[by(OURS, frame::pass_allocations)]),
    inner("core-call-allocations", &[by(OURS, frame::call_allocations)]),
];

const fn inner(key: &'static str, contenders: &'static [Contender]) -> Row {
    Row { key, contenders, ..COUNT }
}

/// Contexts on one link, of the 4,096 that a child takes.
const MANY: u32 = 4_000;
/// The largest message that a child takes, but for its own length.
const MESSAGE: usize = 4 * 1024 * 1024 - 16;
/// Messages that make 256 MiB.
const HUGE: u32 = 64;

impl Scale {
    /// So many times as much, for a contender so much faster: each is timed for about as long as the
    /// others, since whatever has just begun is slow for a while.
    const fn longer(self, times: u32) -> Self {
        Self { times: self.times * times, ..self }
    }
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Millions in a second.
fn rate(scale: Scale, work: impl FnOnce(Scale) -> io::Result<Duration>) -> io::Result<f64> {
    Ok(f64::from(scale.times) / micros(work(scale)?))
}

/// Thousands of millions of bytes in a second.
fn giga(scale: Scale, size: usize, took: Duration) -> f64 {
    f64::from(scale.times) * size as f64 / 1e3 / micros(took)
}

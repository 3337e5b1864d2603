//! Looking for what comes next before a thread sleeps, for as long as was asked for:
//! [`Options::spin`](crate::Options::spin).
//!
//! Knows how long that is, here and in the actors below. What may not happen here: a look that has no
//! end, or one where there is no other core for whoever is to answer.

use std::env;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The environment variable with how long a child looks, in microseconds.
const VARIABLE: &str = "HATCHERY_SPIN";

/// No thread looks for longer: many times what it takes to be woken.
pub(crate) const MOST: Duration = Duration::from_millis(1);

/// How long threads of this process look, in microseconds: a process is one actor.
static BOUND: AtomicU64 = AtomicU64::new(0);
/// This process may use one core only.
static CROWDED: AtomicBool = AtomicBool::new(false);

/// Has threads of this process, and the children that it starts from here on, look for so long.
pub(crate) fn set(bound: Duration) {
    let micros = u64::try_from(bound.min(MOST).as_micros()).unwrap_or(0);
    let crowded = micros > 0 && thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    CROWDED.store(crowded, Ordering::Relaxed);
    BOUND.store(micros, Ordering::Relaxed);
}

/// The same, as the parent of this process has told it.
pub(crate) fn hear() {
    let told = env::var(VARIABLE).ok().and_then(|told| told.parse().ok());
    set(Duration::from_micros(told.unwrap_or(0)));
}

/// What was asked for here.
#[cfg(feature = "test-support")]
pub(crate) fn asked() -> Duration {
    Duration::from_micros(BOUND.load(Ordering::Relaxed))
}

/// What a child is to find in its environment, or not to find of what its ancestors have told.
pub(crate) fn told_children() -> Option<(OsString, Option<OsString>)> {
    let micros = BOUND.load(Ordering::Relaxed);
    Some((VARIABLE.into(), (micros > 0).then(|| micros.to_string().into())))
}

/// How long a thread looks from here on; nothing where it is not to.
pub(super) fn bound() -> Option<Duration> {
    match BOUND.load(Ordering::Relaxed) {
        0 => None,
        _ if CROWDED.load(Ordering::Relaxed) => None,
        micros => Some(Duration::from_micros(micros)),
    }
}

/// Until when a thread looks; it sleeps where it does not.
#[derive(Debug, Default)]
pub(super) struct Spin {
    until: Option<Instant>,
    /// It has found nothing since this was begun.
    vain: bool,
}

impl Spin {
    /// Begins anew.
    pub(super) fn begin(&mut self, bound: Duration) {
        *self = Self { until: Instant::now().checked_add(bound), vain: false };
    }

    /// Whether to look once more. Whoever else wants this core is let have it first.
    pub(super) fn goes_on(&mut self) -> bool {
        let Some(until) = self.until else { return false };
        if self.vain {
            if Instant::now() >= until {
                self.until = None;
                return false;
            }
            thread::yield_now();
        }
        self.vain = true;
        true
    }
}

//! The process's monotonic clock, in the core's units. The only place that reads it.

use std::sync::OnceLock;
use std::time::Instant as Std;

use async_io::Timer;
use hatchery_proto::Instant;
#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

/// A moment by the standard library's clock and by this one, which is read first: what is due by that
/// one is due by this.
fn epoch() -> (Std, Instant) {
    static EPOCH: OnceLock<(Std, Instant)> = OnceLock::new();
    *EPOCH.get_or_init(|| {
        #[cfg(target_os = "linux")]
        let at = now();
        #[cfg(not(target_os = "linux"))]
        let at = Instant::from_micros(0);
        (Std::now(), at)
    })
}

/// The time now. Read over and over: the system's own, which is the standard library's too.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn now() -> Instant {
    read(ClockId::Monotonic)
}

/// The time now.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now() -> Instant {
    point(Std::now())
}

/// The time at the last tick, at most some ten milliseconds ago, which costs a fifth: for what is not
/// looked at that closely.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn lately() -> Instant {
    read(ClockId::MonotonicCoarse)
}

/// The same where there are no ticks to be had.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lately() -> Instant {
    now()
}

#[cfg(target_os = "linux")]
#[inline]
fn read(clock: ClockId) -> Instant {
    let at = clock_gettime(clock);
    // Neither is negative.
    let (whole, rest) = (at.tv_sec.cast_unsigned(), at.tv_nsec.cast_unsigned() / 1_000);
    Instant::from_micros(whole.saturating_mul(1_000_000).saturating_add(rest))
}

/// The standard library's point in time; what is too far away never comes.
pub(crate) fn point(at: Std) -> Instant {
    let (std, epoch) = epoch();
    epoch + at.saturating_duration_since(std)
}

/// Ends at `deadline`, where there is one.
pub(crate) async fn due(deadline: Option<Instant>) {
    match deadline {
        Some(at) => {
            until(at).await;
        }
        None => std::future::pending().await,
    }
}

/// Ends at `deadline`, or never where that is too far away to be represented.
pub(crate) fn until(deadline: Instant) -> Timer {
    match std_point(deadline) {
        Some(at) => Timer::at(at),
        None => Timer::never(),
    }
}

/// The same as a point in time of the standard library's, where it can be one.
pub(crate) fn std_point(at: Instant) -> Option<Std> {
    let (std, epoch) = epoch();
    std.checked_add(at.since(epoch))
}

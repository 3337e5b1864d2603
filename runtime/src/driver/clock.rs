//! The process's monotonic clock, in the core's units. The only place that reads it.

use std::sync::OnceLock;
use std::time::{Duration, Instant as Std};

use async_io::Timer;
use hatchery_proto::Instant;

fn epoch() -> Std {
    static EPOCH: OnceLock<Std> = OnceLock::new();
    *EPOCH.get_or_init(Std::now)
}

/// The time now.
pub(crate) fn now() -> Instant {
    let micros = epoch().elapsed().as_micros();
    Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// The standard library's point in time; what is too far away never comes.
pub(crate) fn point(at: Std) -> Instant {
    let micros = at.saturating_duration_since(epoch()).as_micros();
    Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
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
    epoch().checked_add(Duration::from_micros(at.as_micros()))
}

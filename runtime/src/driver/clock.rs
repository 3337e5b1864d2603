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
    micros(epoch().elapsed())
}

/// In 64 bits all the way, as it is read over and over.
fn micros(since: Duration) -> Instant {
    let whole = since.as_secs().saturating_mul(1_000_000);
    Instant::from_micros(whole.saturating_add(since.subsec_micros().into()))
}

/// The standard library's point in time; what is too far away never comes.
pub(crate) fn point(at: Std) -> Instant {
    micros(at.saturating_duration_since(epoch()))
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

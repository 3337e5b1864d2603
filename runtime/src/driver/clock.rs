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
    match epoch().checked_add(Duration::from_micros(deadline.as_micros())) {
        Some(at) => Timer::at(at),
        None => Timer::never(),
    }
}

/// A clock of somebody who waits for other things too, again and again: it is set anew only where its
/// deadline is another, since the reactor has to be told each time.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<(Instant, Timer)>);

impl Alarm {
    /// Ends at `deadline`, where there is one. Cancel safe.
    pub(crate) async fn due(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            self.0 = None;
            return std::future::pending().await;
        };
        let timer = match &mut self.0 {
            Some((known, timer)) if *known == deadline => timer,
            other => &mut other.insert((deadline, until(deadline))).1,
        };
        timer.await;
        self.0 = None;
    }
}

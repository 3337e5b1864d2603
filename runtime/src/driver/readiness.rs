//! How the library's own tasks wait for descriptors and deadlines, and how a thread of its own waits
//! for them. Chooses, and does nothing itself: async-io everywhere, but for the feature `parker`.

#[cfg(all(feature = "parker", target_os = "linux"))]
use super::parker;
#[cfg(all(feature = "parker", target_os = "linux"))]
pub(crate) use super::parker::{Ready, Sharing, block_on, is_here, spin, stir};

#[cfg(not(all(feature = "parker", target_os = "linux")))]
use stock as parker;
#[cfg(not(all(feature = "parker", target_os = "linux")))]
pub(crate) use stock::{Ready, Sharing, block_on, is_here, spin, stir};

use hatchery_proto::Instant;

use super::clock;

/// Whether the threads that this library runs actors on wait in a way of their own.
pub(crate) const HAS_OWN: bool = cfg!(all(feature = "parker", target_os = "linux"));

/// Ends at `deadline`, where there is one.
///
/// For tasks of the actor's executor, and for the future that runs it: whoever else waits may be
/// blocking the thread that would see the time come, and asks the clock.
pub(crate) async fn due(deadline: Option<Instant>) {
    match deadline {
        Some(at) => until(at).await,
        None => std::future::pending().await,
    }
}

/// Ends at `deadline`, or never where that is too far away to be represented; for the same.
pub(crate) async fn until(deadline: Instant) {
    match clock::std_point(deadline) {
        Some(at) => parker::due(at).comes().await,
        None => std::future::pending().await,
    }
}

/// A clock of somebody who waits for other things too, again and again: it is set anew only where its
/// deadline is another, since the reactor has to be told each time.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<(Instant, parker::Due)>);

impl Alarm {
    /// Ends at `deadline`, where there is one. Cancel safe.
    pub(crate) async fn due(&mut self, deadline: Option<Instant>) {
        let at = deadline.and_then(|deadline| Some((deadline, clock::std_point(deadline)?)));
        let Some((deadline, at)) = at else {
            self.0 = None;
            return std::future::pending().await;
        };
        let due = match &mut self.0 {
            Some((known, due)) if *known == deadline => due,
            other => &mut other.insert((deadline, parker::due(at))).1,
        };
        due.comes().await;
        self.0 = None;
    }
}

/// Where there is no other way of waiting.
#[cfg(not(all(feature = "parker", target_os = "linux")))]
mod stock {
    use std::sync::Arc;
    use std::time::Instant;

    use async_executor::Executor;

    pub(crate) use async_io::{Async as Ready, block_on};

    /// A wait for a point in time.
    #[derive(Debug)]
    pub(crate) struct Due(async_io::Timer);

    pub(crate) fn due(at: Instant) -> Due {
        Due(async_io::Timer::at(at))
    }

    impl Due {
        /// Ends then. Cancel safe.
        pub(crate) async fn comes(&mut self) {
            (&mut self.0).await;
        }
    }

    /// Whether this thread waits in a way of its own.
    pub(crate) fn is_here() -> bool {
        false
    }

    /// It has no other way of sleeping either.
    pub(crate) fn stir() {}

    /// No thread spins, and no child is told to.
    pub(crate) mod spin {
        use std::ffi::OsString;
        use std::time::Duration;

        pub(crate) fn set(_bound: Duration) {}

        pub(crate) fn hear() {}

        #[cfg(feature = "test-support")]
        pub(crate) fn asked() -> Duration {
            Duration::ZERO
        }

        pub(crate) fn told_children() -> Option<(OsString, Option<OsString>)> {
            None
        }
    }

    /// Several threads run the actor, of which any may block: nothing to do.
    #[derive(Debug)]
    pub(crate) struct Sharing(());

    impl Sharing {
        pub(crate) fn begin(_executor: &Arc<Executor<'static>>) -> Self {
            Self(())
        }
    }
}

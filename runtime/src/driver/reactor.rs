//! The start of the reactor, which all sockets and clocks of this process share. It panics where the
//! system has no room for it, so it is started apart from everything else.

use std::sync::OnceLock;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future::{block_on, poll_once};

/// Starts the reactor where it does not run yet. Panics where the system refuses that.
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    // Being asked for the first time is what starts it.
    STARTED.get_or_init(|| {
        block_on(poll_once(Timer::after(Duration::from_secs(1))));
    });
}

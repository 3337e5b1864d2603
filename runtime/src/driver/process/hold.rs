//! What stands for a process until it was waited for, and the waiting.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_process::Child;
use hatchery_proto::report::ExitStatus;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus};

use super::Known;
use crate::driver::readiness::Ready;

/// What stands for a process until it was waited for.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) child: Mutex<Child>,
    /// For signals, and for its end: never hits a stranger that got the same pid.
    pub(super) descriptor: OwnedFd,
    pub(super) _known: Known,
}

impl Hold {
    /// How it has ended, where it has. Fails where somebody else has waited for it.
    fn look(&self) -> io::Result<Option<WaitIdStatus>> {
        let id = WaitId::PidFd(self.descriptor.as_fd());
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::io::retry_on_intr(|| rustix::process::waitid(id.clone(), how))?)
    }

    /// Whether it has ended. Fails where somebody else has waited for it.
    pub(super) fn is_over(&self) -> io::Result<bool> {
        Ok(self.look()?.is_some())
    }

    /// Whether one of these signals has ended it.
    pub(super) fn was_ended_by(&self, signals: &[Signal]) -> bool {
        let number = self.look().ok().flatten().and_then(|status| status.terminating_signal());
        signals.iter().any(|signal| Some(signal.as_raw()) == number)
    }

    /// Ends once the process has; at once where that cannot be watched.
    pub(super) async fn ended(&self) {
        let Ok(watch) = Ready::new(self.descriptor.as_fd()) else { return };
        if let Err(error) = watch.readable().await {
            tracing::warn!(target: "hatchery::runtime", %error, "a child cannot be watched");
        }
    }

    /// Waits for its end and reaps it; fails only where its status is not to be had any more.
    pub(super) async fn reap(&self) -> io::Result<ExitStatus> {
        /// Between two looks where the system has no room for watching it.
        const PAUSE: Duration = Duration::from_millis(10);
        let lock = || self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let look = || lock().try_status();
        if let Ok(Some(status)) = look() {
            return Ok(exit_status(status));
        }
        let status = lock().status();
        match status.await {
            Err(error) if error.raw_os_error() != Some(Errno::CHILD.raw_os_error()) => {
                tracing::warn!(
                    target: "hatchery::runtime",
                    %error,
                    "a child cannot be watched and is looked at now and then"
                );
            }
            result => return result.map(exit_status),
        }
        loop {
            // A second wait would rely on a wake-up that failed to be set up.
            if let Some(status) = look()? {
                return Ok(exit_status(status));
            }
            async_io::Timer::after(PAUSE).await;
        }
    }
}

fn exit_status(status: std::process::ExitStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, number) => {
            ExitStatus::Signal { number: number.unwrap_or(0), core: status.core_dumped() }
        }
    }
}

//! The signals that ask a root to end. What they mean is decided elsewhere.

use std::io;

use async_signal::{Signal, Signals as Source};
use futures_lite::StreamExt;

/// Listens to SIGINT, SIGTERM and SIGHUP for as long as it lives.
///
/// Dropping it stops listening and restores nothing: the three stay without their default effect.
#[derive(Debug)]
pub(crate) struct Signals {
    source: Source,
}

impl Signals {
    /// Starts listening.
    pub(crate) fn install() -> io::Result<Self> {
        let source = Source::new([Signal::Int, Signal::Term, Signal::Hup])?;
        Ok(Self { source })
    }

    /// The number of the next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> i32 {
        match self.source.next().await {
            Some(Ok(signal)) => signal as i32,
            Some(Err(error)) => {
                tracing::warn!(%error, "signals cannot be read any more");
                std::future::pending().await
            }
            None => std::future::pending().await,
        }
    }
}

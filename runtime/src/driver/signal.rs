//! The signals that ask a root to end. What they mean is decided elsewhere.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_signal::{Signal, Signals as Source};
use futures_lite::StreamExt;
pub(crate) use signal_hook::consts::SIGINT;
use signal_hook::consts::{SIGHUP, SIGTERM};

/// Listens to SIGINT, SIGTERM and SIGHUP for as long as it lives. Once it is dropped they do again
/// what they do by default.
#[derive(Debug)]
pub(crate) struct Signals {
    source: Source,
    unheard: Arc<AtomicBool>,
}

impl Signals {
    /// Starts listening.
    pub(crate) fn install() -> io::Result<Self> {
        let unheard = default_unless_heard()?;
        let source = Source::new([Signal::Int, Signal::Term, Signal::Hup])?;
        unheard.store(false, Ordering::Release);
        Ok(Self { source, unheard })
    }

    /// The number of the next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> i32 {
        match self.source.next().await {
            Some(Ok(signal)) => signal as i32,
            Some(Err(error)) => {
                tracing::warn!(
                    target: "hatchery::runtime",
                    %error,
                    "signals cannot be read any more"
                );
                std::future::pending().await
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.unheard.store(true, Ordering::Release);
    }
}

/// Has the three signals do what they do by default while the flag that it gives is set: a handler
/// that was installed stays for the life of the process. Installs its own once.
fn default_unless_heard() -> io::Result<Arc<AtomicBool>> {
    static UNHEARD: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);
    let mut known = UNHEARD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(unheard) = &*known {
        return Ok(unheard.clone());
    }
    // Set from the start: a signal that comes before anyone listens must not be lost.
    let unheard = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_default(signal, unheard.clone())?;
    }
    Ok(known.insert(unheard).clone())
}

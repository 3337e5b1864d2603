//! The log filter that a tree inherits. Installs a subscriber only where one was asked for.

use crate::error::{Error, Result};

/// Prints events that pass `filter` to standard error, unless the program has its own subscriber.
#[cfg(feature = "log")]
pub(crate) fn install(filter: &str) -> Result<()> {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;

    let parsed: Targets = filter.parse().map_err(|error| {
        Error::misuse(format!("the log filter `{filter}` cannot be understood: {error}"))
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let installed = tracing_subscriber::registry().with(lines.with_filter(parsed)).try_init();
    if installed.is_err() {
        tracing::debug!(
            target: "hatchery::runtime",
            filter,
            "the program has a subscriber of its own, which stays"
        );
    }
    Ok(())
}

/// Says what is missing.
#[cfg(not(feature = "log"))]
pub(crate) fn install(filter: &str) -> Result<()> {
    Err(Error::misuse(format!(
        "the log filter `{filter}` needs the feature `log` of the crate `hatchery`"
    )))
}

//! The log filter that a tree inherits, and the subscriber that is installed where one was asked for.
//! Which events there are is the matter of whoever tells of them.

#[cfg(feature = "log")]
mod lines;

use crate::error::{Error, Result};

/// The environment variable whose filter wins over any that was given.
const VARIABLE: &str = "HATCHERY_LOG";

/// What the environment says, where it says anything.
fn variable() -> Option<Result<String>> {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty())?;
    Some(value.into_string().map_err(|value| {
        let value = value.display();
        Error::misuse(format!("the log filter `{value}` of the variable {VARIABLE} is no text"))
    }))
}

/// Has a root log as its options say, or as the environment does, which is then what is inherited.
///
/// # Errors
/// `Misuse` where the filter cannot be understood, and says where it is from.
#[cfg(feature = "log")]
pub(crate) fn begin_root(name: &str, filter: &mut Option<String>) -> Result<()> {
    lines::call(name);
    if let Some(value) = variable() {
        let value = value?;
        let parsed = parse(&value, " of the variable HATCHERY_LOG")?;
        lines::install(parsed);
        *filter = Some(value);
        return Ok(());
    }
    match filter {
        Some(filter) => {
            lines::install(parse(filter, "")?);
        }
        // Of a root of this process that was before.
        None => lines::quieten(),
    }
    Ok(())
}

/// Has a child log as its parent says, or as the environment does. What the environment says wrong is
/// no reason not to live: it is told of, and what the parent says holds.
///
/// # Errors
/// `Misuse` where the parent's filter cannot be understood.
#[cfg(feature = "log")]
pub(crate) fn begin_child(name: &str, filter: &mut Option<String>) -> Result<()> {
    lines::call(name);
    let value = variable().map(|value| {
        let value = value?;
        let parsed = parse(&value, " of the variable HATCHERY_LOG")?;
        Ok((value, parsed))
    });
    let refused = match value {
        Some(Ok((value, parsed))) => {
            lines::install(parsed);
            *filter = Some(value);
            return Ok(());
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    let told = match (filter, &refused) {
        (Some(filter), _) => Some(filter.as_str()),
        // Whoever has set the variable wants to read something.
        (None, Some(_)) => Some("hatchery=warn"),
        (None, None) => None,
    };
    if let Some(told) = told {
        lines::install(parse(told, "")?);
    }
    if let Some::<Error>(error) = refused {
        tracing::warn!(target: "hatchery::runtime", %error, "logs as if nothing was said");
    }
    Ok(())
}

#[cfg(feature = "log")]
fn parse(filter: &str, of: &str) -> Result<lines::Filter> {
    filter.parse().map_err(|error| {
        Error::misuse(format!(
            "the log filter `{filter}`{of} cannot be understood ({error}): it is a list of levels \
             and of `target=level`, such as `warn,hatchery::transport=trace`"
        ))
    })
}

/// Changes what this actor logs from here on: a filter as [`Options::log`](crate::Options::log) has it.
/// Actors that it has started, or starts later, go on as they were told.
///
/// # Errors
/// `Misuse` where the filter cannot be understood, where the program has a `tracing` subscriber of its
/// own, and where the library was built without the feature `log`. What was logged so far goes on then.
#[cfg(feature = "log")]
pub fn set_log_filter(filter: &str) -> Result<()> {
    let parsed = parse(filter, "")?;
    if lines::install(parsed) {
        return Ok(());
    }
    Err(Error::misuse(format!(
        "setting the log filter `{filter}`: this program has a `tracing` subscriber of its own, which \
         has to be told in its own way"
    )))
}

/// Says what is missing.
#[cfg(not(feature = "log"))]
pub(crate) fn begin_root(_name: &str, filter: &mut Option<String>) -> Result<()> {
    if variable().is_some() {
        tracing::warn!(target: "hatchery::runtime", "{VARIABLE} needs the feature `log`");
    }
    match filter {
        Some(filter) => set_log_filter(filter),
        None => Ok(()),
    }
}

/// The same in a child.
#[cfg(not(feature = "log"))]
pub(crate) fn begin_child(name: &str, filter: &mut Option<String>) -> Result<()> {
    begin_root(name, filter)
}

/// Changes what this actor logs from here on, which needs the feature `log`.
///
/// # Errors
/// `Misuse`: the feature is not there.
#[cfg(not(feature = "log"))]
pub fn set_log_filter(filter: &str) -> Result<()> {
    Err(Error::misuse(format!(
        "the log filter `{filter}` needs the feature `log` of the crate `hatchery`"
    )))
}

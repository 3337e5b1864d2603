//! The library's own subscriber: a line on standard error for each event that its filter lets through,
//! which names the actor, its process and the task. Its filter can be changed; it is installed once.

use std::fmt;
use std::sync::Mutex;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload::{self, Handle};

use crate::driver::identity;
use crate::driver::link::lock;
use crate::task;

/// Which events are let through.
pub(super) type Filter = tracing_subscriber::filter::Targets;

/// How to change it, once the subscriber is there.
static INSTALLED: Mutex<Option<Handle<Filter, Registry>>> = Mutex::new(None);

/// What this process's actor is called.
static NAME: Mutex<String> = Mutex::new(String::new());

/// What lines call this process's actor from here on.
pub(super) fn call(name: &str) {
    name.clone_into(&mut lock(&NAME));
}

/// Has this filter be the one; says whether it is, and not a subscriber of the program's own.
pub(super) fn install(filter: Filter) -> bool {
    let mut installed = lock(&INSTALLED);
    if let Some(handle) = &*installed {
        return handle.reload(filter).is_ok();
    }
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(Lines)
        .with_filter(filter);
    let is_ours = tracing_subscriber::registry().with(lines).try_init().is_ok();
    if is_ours {
        *installed = Some(handle);
    }
    drop(installed);
    if !is_ours {
        tracing::debug!(
            target: "hatchery::runtime",
            "the program has a subscriber of its own, which stays"
        );
    }
    is_ours
}

/// Lets nothing through from here on.
pub(super) fn quieten() {
    if let Some(handle) = &*lock(&INSTALLED) {
        // It fails only where the subscriber is gone.
        let _ = handle.reload(Filter::new());
    }
}

/// When, how grave, who and in which task, the spans around it, of what, and the event itself.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut line)?;
        let (level, target) = (event.metadata().level(), event.metadata().target());
        write!(line, " {level:>5} {}[{}] ", lock(&NAME), identity::pid())?;
        write!(line, "{} ", task::current_task().unwrap_or("-"))?;
        for span in cx.event_scope().into_iter().flat_map(|spans| spans.from_root()) {
            line.write_str(span.name())?;
            let extensions = span.extensions();
            match extensions.get::<FormattedFields<N>>() {
                Some(fields) if !fields.is_empty() => write!(line, "{{{fields}}}: ")?,
                _ => line.write_str(": ")?,
            }
        }
        write!(line, "{target}: ")?;
        cx.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

//! Hits before an actor runs anything of its program's: on its command line, since nothing else has
//! reached it by then.

use super::{Hit, Phase};
use rustix::process::{Pid, getppid};

/// Introduces a hit on the command line of an actor.
const OPTION: &str = "--be-hit";

/// The argument by which an actor is hit before it is up.
pub fn argument(hit: Hit) -> String {
    let bytes = postcard::to_allocvec(&hit).expect("a hit encodes");
    bytes.iter().fold(OPTION.to_owned(), |text, byte| format!("{text},{byte}"))
}

/// The hit that this process's command line asks for.
pub fn hit_on_command_line() -> Option<Hit> {
    std::env::args().find_map(|argument| {
        let numbers = argument.strip_prefix(OPTION)?.strip_prefix(',')?.split(',');
        let bytes: Vec<u8> = numbers.filter_map(|number| number.parse().ok()).collect();
        postcard::from_bytes::<Hit>(&bytes).ok()
    })
}

/// In an actor whose command line says so: calls `strike` right now, as a process that has said
/// nothing yet, or when it has been told what it is to be and has not said that it is up.
pub fn before_the_entry(strike: fn(Hit)) {
    match hit_on_command_line() {
        // One whose parent has died is an actor no more, and about to see that. Whoever stops it then,
        // which no kernel undoes, has to let it go on.
        Some(hit) if hit.phase == Phase::Spawned && has_parent() => strike(hit),
        Some(hit) if hit.phase == Phase::Connected => {
            at_settings(move || strike(hit));
        }
        _ => {}
    }
}

/// Whether the process that has started this one is still there, as the library will ask.
fn has_parent() -> bool {
    let marker = std::env::var("HATCHERY_ACTOR").unwrap_or_default();
    let parent = marker.split(':').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    parent.is_some() && parent == getppid()
}

/// In an actor that is given a log filter of its own: does `deed` when it has been told what it is to
/// be and has not said that it is up. At most once in a process.
pub fn at_settings(deed: impl Fn() + Send + Sync + 'static) {
    tracing::subscriber::set_global_default(AtSettings(deed)).unwrap_or(());
}

/// Hears that the actor's settings were applied: with a filter of its own, that is an event.
struct AtSettings<F>(F);

impl<F: Fn() + Send + Sync + 'static> tracing::Subscriber for AtSettings<F> {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        about.target() == "hatchery::log"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        (self.0)();
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

//! Hits before an actor runs anything of its program's: on its command line, since nothing else has
//! reached it by then.

use rustix::process::{Pid, getppid};
use tracing::Level;

use super::{Hit, Phase};
use crate::events::at_each;

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
    // With a filter of its own, that its settings were applied is an event.
    at_each("hatchery::log::lines", Level::DEBUG, deed);
}

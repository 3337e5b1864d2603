//! Debugging a tree from one terminal: pauses, crashes, and the prompts that they open, in turn.
//!
//! Says when there is something to ask a person, and what; whose turn it is is decided by the terminal's
//! lock. No system call is made in this room, and nothing costs more than a load where debug mode is off.

mod commands;
mod crash;
mod editor;
pub(crate) mod lock;
mod pause;
mod served;
mod session;
mod shown;
mod station;

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use hatchery_proto::ActorId;

use crate::actor::Actor;
pub use crate::debug::crash::post_mortem;
pub(crate) use crate::debug::crash::{Crash, crashed, ends_here, fails_in};
pub use crate::debug::pause::{Taken, Value, pause, pause_blocking, taken};
pub(crate) use crate::debug::served::{ENTRIES, asks_for_it};
pub(crate) use crate::debug::station::Keeper;
#[cfg(feature = "test-support")]
pub(crate) use crate::debug::station::leave_alone;
use crate::error::{Error, ErrorKind};

/// Whether this actor is in debug mode, and asks.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether the threads that run this actor are the library's own.
static OWN_THREADS: AtomicBool = AtomicBool::new(false);

static FILTER: OnceLock<fn(&Error) -> bool> = OnceLock::new();

/// Whether this actor is in debug mode. A load.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Has this actor ask from here on, or ask no more.
pub(crate) fn set_on(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// The same for a child that was told whether it is in debug mode.
pub(crate) fn set_on_in_child(debug: bool) {
    set_on(debug && station::is_attended(false));
}

/// What a child's environment has to say, beside what it inherits of this process's.
pub(crate) fn told_child(actor: &Actor, child_is_debugged: bool) -> Option<(OsString, OsString)> {
    let wanted = child_is_debugged || actor.settings().debug;
    let alone = wanted && !station::is_attended(actor.parent().is_none());
    alone.then(|| (station::VARIABLE.into(), station::NONE.into()))
}

/// Says that the library runs this process's actor on a thread of its own.
pub(crate) fn on_own_threads() {
    OWN_THREADS.store(true, Ordering::Relaxed);
}

/// Says which errors open a prompt in debug mode, beside those that never do: see
/// [`Options::debug`](crate::Options::debug). By default all others.
///
/// Each process has its own: called before [`init`](crate::init), or at the head of a `main` that begins
/// with that, it holds in every actor of the program. The first call counts.
///
/// ```
/// hatchery::debug_filter(|error| error.report().type_name != "std::io::Error");
/// hatchery::init();
/// ```
pub fn debug_filter(worth: fn(&Error) -> bool) {
    let _ = FILTER.set(worth);
}

/// Whether a person is to be asked about an error of this actor.
fn is_worth(error: &Error, me: &ActorId) -> bool {
    let own = match error.kind() {
        ErrorKind::Cancelled(_) | ErrorKind::Lost(_) => false,
        // Who has quit has seen it; who called the task has not.
        ErrorKind::Quit => error.origin().uuid != me.uuid,
        _ => true,
    };
    own && FILTER.get().is_none_or(|worth| worth(error))
}

/// What a Ctrl-C is to a root: nothing while a prompt is open in its tree, or waited for.
pub(crate) fn takes_interrupt(actor: &Arc<Actor>) -> bool {
    lock::is_busy(actor)
}

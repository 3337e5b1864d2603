//! Pauses: a task stops, a person looks at it, and it goes on or fails.

use std::backtrace::Backtrace;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::OWN_THREADS;
use super::session::{self, Verdict};
use super::shown::{Occasion, What};
use crate::actor::Actor;
use crate::driver::readiness;
use crate::error::{Error, Result};
use crate::task;

use std::sync::atomic::Ordering;

/// Stops this task, shows where it is and the values that are named, and opens a prompt on the one
/// terminal of the tree, once it is this task's turn. The others of the actor go on.
///
/// `pause!(a, &b).await?` is for tasks: what is given needs `Debug`, and is read here and now. It does
/// nothing, and takes one load, where [debug mode](crate::Options::debug) is off or there is no
/// terminal. While it waits for its turn it ends with its task; once the prompt is open, a cancel waits
/// until that is left, and nobody's time runs.
///
/// In a task that is cancelled already there is nothing left to pause: it says so in the log (target
/// `hatchery::debugger`) and goes on being cancelled. [`pause_shielded!`](crate::pause_shielded) is for
/// clean-up.
///
/// ```
/// # async fn example() -> hatchery::Result<()> {
/// let (count, name) = (3, "worker");
/// hatchery::pause!(count, &name).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::Quit`](crate::ErrorKind::Quit) where a person quits, to be passed on by `?`;
/// `Cancelled` in a task that is.
#[macro_export]
macro_rules! pause {
    ($($value:expr),* $(,)?) => {
        $crate::__private::debug::pause($crate::__taken!($($value),*))
    };
}

/// [`pause!`](crate::pause) out of reach of the cancels around it, as in a [`shield`](crate::shield): for
/// the clean-up of a task that is cancelled.
#[macro_export]
macro_rules! pause_shielded {
    ($($value:expr),* $(,)?) => {
        $crate::shield($crate::__private::debug::pause($crate::__taken!($($value),*)))
    };
}

/// [`pause!`](crate::pause) for code that is not async, on any thread: it blocks that. Where it is the
/// thread that runs the actor, another one runs the actor's other tasks meanwhile.
///
/// ```
/// # fn example(left: usize) -> hatchery::Result<()> {
/// hatchery::pause_blocking!(left)?;
/// # Ok(())
/// # }
/// ```
///
/// On a thread that the program itself runs the actor on, by an executor of its own, nobody could run
/// the other tasks: there it says so in the log and goes on.
///
/// # Errors
/// `Quit` where a person quits.
#[macro_export]
macro_rules! pause_blocking {
    ($($value:expr),* $(,)?) => {
        $crate::__private::debug::pause_blocking($crate::__taken!($($value),*))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __taken {
    ($($value:expr),*) => {
        if $crate::__private::debug::is_on() {
            let values = ::std::vec![
                $($crate::__private::debug::Value::new(::std::stringify!($value), &$value)),*
            ];
            let place = (::std::file!(), ::std::line!());
            ::std::option::Option::Some($crate::__private::debug::taken(place, values))
        } else {
            ::std::option::Option::None
        }
    };
}

/// A value as it was at a pause.
#[derive(Clone, Debug)]
pub struct Value {
    pub(super) name: &'static str,
    pub(super) short: String,
    long: String,
}

impl Value {
    /// Reads it.
    pub fn new(name: &'static str, value: &dyn Debug) -> Self {
        let name = name.trim_start_matches('&').trim();
        Self { name, short: format!("{value:?}"), long: format!("{value:#?}") }
    }

    pub(super) fn in_full(&self) -> String {
        format!("{} = {}\n", self.name, self.long)
    }
}

/// What there is to show of a pause.
#[derive(Debug)]
pub struct Taken {
    place: (String, u32),
    values: Vec<Value>,
    trace: Backtrace,
}

/// Takes note of the way here.
pub fn taken((file, line): (&str, u32), values: Vec<Value>) -> Taken {
    Taken { place: (file.to_owned(), line), values, trace: Backtrace::force_capture() }
}

impl Taken {
    fn occasion(self, actor: &Actor) -> Occasion {
        Occasion {
            what: What::Paused,
            actor: actor.id().clone(),
            task: task::current_name().to_owned(),
            place: Some(self.place),
            values: self.values,
            error: None,
            trace: Some(self.trace),
        }
    }
}

/// What [`pause!`](crate::pause) awaits.
pub async fn pause(taken: Option<Taken>) -> Result<()> {
    let Some((taken, actor)) = taken.zip(Actor::running()) else { return Ok(()) };
    let scope = actor.current_scope();
    let due = actor.look(|scopes| match scopes.due(scope) {
        true => scopes.cancelled(scope).map(|state| state.by.clone()),
        false => None,
    });
    if let Some(by) = due {
        let (file, line) = &taken.place;
        tracing::warn!(
            target: "hatchery::debugger",
            actor = %actor.id(), %by, place = format_args!("{file}:{line}"),
            "a task that is cancelled cannot be paused, since it ends at its next await; use \
             `pause_shielded!` in its clean-up"
        );
        return Err(Error::cancelled_by(by));
    }
    let occasion = taken.occasion(&actor);
    let task = occasion.task.clone();
    let verdict = session::open(&actor, occasion, None).await;
    outcome(verdict, &task)
}

fn outcome(verdict: Verdict, task: &str) -> Result<()> {
    match verdict {
        Verdict::Quit => Err(Error::quit(task)),
        Verdict::Continue => Ok(()),
    }
}

/// What [`pause_blocking!`](crate::pause_blocking) calls.
pub fn pause_blocking(taken: Option<Taken>) -> Result<()> {
    let Some((taken, actor)) = taken.zip(Actor::running()) else { return Ok(()) };
    let drives = task::is_driven();
    if drives && !OWN_THREADS.load(Ordering::Relaxed) {
        let (file, line) = &taken.place;
        tracing::warn!(
            target: "hatchery::debugger",
            actor = %actor.id(), place = format_args!("{file}:{line}"),
            "a thread on which the program runs its actor by itself cannot be paused; use \
             `pause!(…).await`, or another thread"
        );
        return Ok(());
    }
    let occasion = taken.occasion(&actor);
    let task = occasion.task.clone();
    let (tell, told) = mpsc::channel();
    let aside = thread::Builder::new()
        .name("hatchery-aside".to_owned())
        .spawn(move || aside(&actor, occasion, tell, drives));
    if let Err(error) = aside {
        tracing::warn!(target: "hatchery::debugger", %error, "no thread for a prompt; it is left out");
        return Ok(());
    }
    outcome(wait(&told), &task)
}

/// Waits for what a person says; where nobody can be asked, it goes on.
fn wait(told: &Receiver<Verdict>) -> Verdict {
    told.recv().unwrap_or(Verdict::Continue)
}

/// Asks for who is blocked, and runs the actor where nobody else would.
fn aside(actor: &Arc<Actor>, occasion: Occasion, tell: Sender<Verdict>, drives: bool) {
    let asked = async {
        // What it comes to is told by the prompt itself: this thread may be held up by what it runs.
        session::open(actor, occasion, Some(tell)).await;
    };
    match drives {
        true => readiness::block_on(task::drive(actor, pin!(asked))),
        false => readiness::block_on(asked),
    }
}

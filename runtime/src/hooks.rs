//! What a process wants done when its actor ends: one stack for the process, last in, first out.
//!
//! When they run is the core's order (P-C7); here they are kept and called.

use std::sync::Mutex;

use crate::driver::link::lock;
use crate::error::Error;
use crate::nursery::TaskReturn;
use crate::task;

type Hook = Box<dyn FnOnce() -> Option<Error> + Send>;

static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new());

/// Has `hook` called when this process's actor ends: after its tasks and children have ended, before
/// its parent hears of it. The last one registered is called first.
///
/// One stack for the whole process: it takes hooks from any thread, and before [`init`](crate::init)
/// or a root. They run on every way out of the actor: its end, its failure, a panic, a cancel, a
/// SIGTERM, the end of its link, a root whose future is dropped; but not where the process is killed
/// (by SIGKILL, which is also what the kernel sends to an actor whose parent's process has died) or
/// ends itself by `exit` or `abort`. In an actor that hears nothing any more they run on another
/// thread, when it is told by SIGTERM. Then the stack is empty again, for a second root in the same
/// process.
///
/// A hook returns nothing or a `Result`. One that fails or panics does not keep the others from
/// running; its failure is the actor's, or is listed with it, or, behind a panic of a root's body, is
/// logged. A hook should be quick: the time it takes is taken from the actor's grace.
pub fn on_exit<F, R>(hook: F)
where
    F: FnOnce() -> R + Send + 'static,
    R: TaskReturn,
{
    lock(&HOOKS).push(Box::new(move || match task::catch_panic_in(hook) {
        Ok(value) => value.into_error(),
        Err(panic) => Some(panic),
    }));
}

/// Calls every hook, those that are registered meanwhile included; gives the failures.
pub(crate) fn run() -> Vec<Error> {
    let mut failures = Vec::new();
    loop {
        // Not called under the lock: a hook may register another, which then comes next.
        let next = lock(&HOOKS).pop();
        let Some(hook) = next else { return failures };
        failures.extend(hook());
    }
}

//! Tests as roots: a hook that lets test binaries be run as actors, and a leak check around each
//! test. Behind the feature `test-support`.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use linkme::distributed_slice;

use crate::actor::Actor;
use crate::debug;
use crate::driver::procfs;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::root;

/// The tests of this binary; where there is none, the hook below does nothing.
#[doc(hidden)]
#[distributed_slice]
pub static TESTS: [&'static str];

/// Whether the threads that this library runs actors on wait in a way of their own.
#[doc(hidden)]
pub const PARKER: bool = cfg!(all(feature = "parker", target_os = "linux"));

/// How long threads of this process were asked to look for more before they sleep.
#[doc(hidden)]
#[must_use]
pub fn spin() -> Duration {
    crate::driver::readiness::spin::asked()
}

/// What the links of this process have sent and received last, a line for each. For whoever looks
/// into a process that hangs; waits for nobody.
#[doc(hidden)]
pub fn last_steps() -> Vec<String> {
    crate::driver::link::roll::last_steps()
}

/// The terminal, taken for as long as this is held, as a debugger's prompt takes it.
#[doc(hidden)]
#[derive(Debug)]
pub struct HeldTerminal(crate::debug::lock::Held);

impl HeldTerminal {
    /// Ends when it was lost from above.
    pub async fn lost(&self) {
        self.0.lost().await;
    }
}

/// Waits for the terminal, in turn over the whole tree.
///
/// # Errors
/// Where debug mode is off, or the parent is gone.
#[doc(hidden)]
pub async fn hold_terminal(task: &str) -> Result<HeldTerminal> {
    let actor = Actor::running().ok_or_else(|| Error::misuse("holding the terminal: no actor"))?;
    crate::debug::lock::acquire(&actor, task).await.map(HeldTerminal)
}

/// Whether anybody in this actor, or below it, has the terminal or waits for it.
#[doc(hidden)]
pub fn terminal_is_busy() -> bool {
    Actor::running().is_some_and(|actor| crate::debug::lock::is_busy(&actor))
}

/// Ends once that many, in this actor and below it, have the terminal or wait for it.
#[doc(hidden)]
pub async fn terminal_is_wanted_by(count: usize) {
    if let Some(actor) = Actor::running() {
        actor.terminal.wanted_by(count).await;
    }
}

/// Ends once nobody does.
#[doc(hidden)]
pub async fn terminal_is_idle() {
    if let Some(actor) = Actor::running() {
        crate::debug::lock::idle(&actor).await;
    }
}

/// What a test returns to libtest.
#[doc(hidden)]
pub type TestResult = Result<()>;

/// What the body of a test may return.
#[doc(hidden)]
pub trait TestReturn {
    /// An error that fails the test.
    fn into_result(self) -> Result<()>;
}

impl TestReturn for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: std::fmt::Display + 'static> TestReturn for std::result::Result<(), E> {
    fn into_result(self) -> Result<()> {
        self.map_err(|error| crate::error::of_block(&error))
    }
}

/// How long what was ended may take to be gone from `/proc`.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs one test as a root, alone in its process, and checks that it leaves nothing behind.
#[doc(hidden)]
pub fn test<F, Fut>(name: &str, options: Options, body: F) -> TestResult
where
    F: FnOnce() -> Fut,
    Fut: Future,
    Fut::Output: TestReturn,
{
    /// A process is one actor, so its tests take turns.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // What they show is taken by the harness.
    debug::leave_alone();
    let before = Owned::now();
    let result = root::run_with(options.name(name), async { body().await.into_result() });
    result.and_then(|()| before.nothing_new(name))
}

/// What this process owns: children, and descriptors of the kinds that actors need.
struct Owned {
    children: Vec<u32>,
    descriptors: Vec<std::path::PathBuf>,
}

impl Owned {
    fn now() -> Self {
        let children = procfs::own_children().unwrap_or_default();
        let descriptors = procfs::own_descriptors().unwrap_or_default();
        let of_actors = |target: &std::path::Path| {
            let target = target.to_string_lossy();
            target.starts_with("socket:")
                || target.contains("[pidfd]")
                || target.contains("hatchery")
        };
        let mut descriptors: Vec<_> =
            descriptors.into_iter().filter(|target| of_actors(target)).collect();
        descriptors.sort();
        Self { children, descriptors }
    }

    /// Fails the test if it left a child, a zombie or a descriptor.
    fn nothing_new(&self, name: &str) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let now = Self::now();
            let children: Vec<_> =
                now.children.iter().filter(|pid| !self.children.contains(pid)).collect();
            let descriptors: Vec<_> = now
                .descriptors
                .iter()
                .filter(|target| !self.descriptors.contains(target))
                .collect();
            if children.is_empty() && descriptors.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::message(format!(
                    "the test `{name}` left something behind: processes {children:?}, descriptors \
                     {descriptors:?}"
                )));
            }
            std::thread::yield_now();
        }
    }
}

/// A test binary's `main` is libtest's, so the entry has to come before it.
mod hook {
    #![allow(unsafe_code, reason = "`ctor` expands to it; nothing else stands in this module")]

    #[ctor::ctor(unsafe)]
    fn enter() {
        if !super::TESTS.is_empty() {
            crate::child::init();
        }
    }
}

//! The tasks of endpoints, ready to be polled, and the rooms that those of calls move into one after
//! the other. Knows no link, and nothing of who asks.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hatchery_proto::Kind;

use super::{Ending, Entry, Part};
use crate::dialog::Dialog;
use crate::driver::link::lock;
use crate::error::Result;

/// A call that took no longer is over as soon as its opener could read that it has begun.
const QUICK: Duration = Duration::from_micros(200);
/// So many rooms of an endpoint are kept, and no more than so many bytes of them.
const ROOMS: usize = 64;
const MOST: usize = 1024 * 1024;

/// An endpoint of this program, and what is known of its calls.
pub(crate) struct Known {
    entry: &'static Entry,
    part: Part,
    /// Whether the last was [`QUICK`].
    quick: AtomicBool,
    rooms: Mutex<Vec<Box<dyn Work>>>,
    /// For all of its contexts, which are many and say it for as long as they live.
    shared_name: Arc<str>,
}

impl Deref for Known {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.entry
    }
}

impl Known {
    pub(super) fn of(entry: &'static Entry) -> Self {
        let part = Part::of(entry.name);
        let (quick, rooms) = (AtomicBool::new(false), Mutex::default());
        Self { entry, part, quick, rooms, shared_name: entry.name.into() }
    }

    /// What it is called, to be held.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.shared_name.clone()
    }

    /// Which part serves it.
    pub(crate) const fn part(&self) -> Part {
        self.part
    }

    /// Whether its tasks are told whom they work for: those of contexts, and a registrar's.
    pub(crate) fn is_told(&self) -> bool {
        self.kind == Kind::Context || self.part == Part::Registrar
    }

    /// Whether a call of it is expected to be over at once, since the last was.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed)
    }

    /// A task of it is over, and took that long.
    pub(crate) fn took(&self, time: Duration) {
        let quick = self.kind == Kind::Call && time < QUICK;
        if quick != self.is_quick() {
            self.quick.store(quick, Ordering::Relaxed);
        }
    }

    /// The task that these arguments ask for; of a call, in the room of one that is over where there is
    /// one.
    pub(crate) fn prepare(
        &'static self,
        args: Vec<u8>,
        dialog: Option<Arc<Dialog>>,
    ) -> std::result::Result<Job, String> {
        let Some(make) = self.entry.work else { return (self.entry.prepare)(args, dialog) };
        let free = lock(&self.rooms).pop();
        let mut work = free.unwrap_or_else(make);
        let begun = work.begin(args);
        let job = Job(Task::Call(Some(work), self));
        begun.map(|()| job)
    }
}

/// A callee's task, ready to be polled. A panic in it has become an error.
pub(crate) struct Job(Task);

enum Task {
    Once(Pin<Box<dyn Future<Output = Result<Ending>> + Send>>),
    /// Nothing while it is being given back.
    Call(Option<Box<dyn Work>>, &'static Known),
}

impl Job {
    /// One that is in a room of its own.
    pub(crate) fn once(task: impl Future<Output = Result<Ending>> + Send + 'static) -> Self {
        Self(Task::Once(Box::pin(task)))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Job {
    /// As a future's: what it comes to, or who is to be woken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ending>> {
        match &mut self.0 {
            Task::Once(task) => task.as_mut().poll(cx),
            Task::Call(Some(work), _) => work.poll(cx),
            Task::Call(None, _) => Poll::Pending,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Task::Call(work, known) = &mut self.0 else { return };
        let Some(mut work) = work.take() else { return };
        work.clear();
        let mut rooms = lock(&known.rooms);
        if rooms.len() < ROOMS && (rooms.len() + 1) * work.size() <= MOST {
            rooms.push(work);
        }
    }
}

/// A room for the tasks of one endpoint, one at a time.
pub(super) trait Work: Send {
    /// Decodes the arguments and moves the task in.
    fn begin(&mut self, args: Vec<u8>) -> std::result::Result<(), String>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ending>>;

    /// Drops the task.
    fn clear(&mut self);

    /// What it takes.
    fn size(&self) -> usize;
}

struct Room<M, F> {
    make: M,
    task: Pin<Box<Option<F>>>,
}

/// A room for what `make` makes of arguments.
pub(super) fn room<M, F>(make: M) -> Box<dyn Work>
where
    M: Fn(Vec<u8>) -> std::result::Result<F, String> + Send + 'static,
    F: Future<Output = Result<Ending>> + Send + 'static,
{
    Box::new(Room { make, task: Box::pin(None) })
}

impl<M, F> Work for Room<M, F>
where
    M: Fn(Vec<u8>) -> std::result::Result<F, String> + Send,
    F: Future<Output = Result<Ending>> + Send,
{
    fn begin(&mut self, args: Vec<u8>) -> std::result::Result<(), String> {
        let task = (self.make)(args)?;
        self.task.set(Some(task));
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ending>> {
        self.task.as_mut().as_pin_mut().map_or(Poll::Pending, |task| task.poll(cx))
    }

    fn clear(&mut self) {
        self.task.set(None);
    }

    fn size(&self) -> usize {
        size_of::<Option<F>>()
    }
}

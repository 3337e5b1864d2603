//! Crashes: an error or a panic that is about to leave a task is shown first, once in each actor that it
//! comes through.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use hatchery_proto::Report;

use super::session;
use super::shown::{Occasion, What};
use super::{is_on, is_worth};
use crate::actor::Actor;
use crate::driver::link::lock;
use crate::endpoint::Part;
use crate::error::Error;
use crate::task::{self, Scope};

/// So many errors are remembered as shown.
const REMEMBERED: usize = 64;

/// The errors that were shown in this process, by their ids.
static SHOWN: Mutex<VecDeque<(u128, u64)>> = Mutex::new(VecDeque::new());

/// What has to end before an error goes on.
pub(crate) type Crash = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What to wait for before a report leaves this actor; nothing where that is nobody's concern.
#[inline]
pub(crate) fn crashed(actor: &Arc<Actor>, report: &Report, task: &str) -> Option<Crash> {
    if !is_on() {
        return None;
    }
    begin(actor, Error::from_report(report.clone()), task)
}

/// The same for the task of a nursery, in the scope that it has ended in.
pub(crate) async fn fails_in(scope: &Scope, error: &Error) {
    if is_on()
        && let Some(crash) = begin(scope.actor(), error.clone(), scope.name())
    {
        let _ = task::run_in(scope, crash).await;
    }
}

/// The same for an error that is at hand.
pub(crate) async fn ends_here(actor: &Arc<Actor>, error: &Error, task: &str) {
    if is_on()
        && let Some(crash) = begin(actor, error.clone(), task)
    {
        crash.await;
    }
}

fn begin(actor: &Arc<Actor>, error: Error, task: &str) -> Option<Crash> {
    // What the library serves by itself is nobody's to debug.
    if Part::of(task) != Part::Program
        || !is_worth(&error, actor.id())
        || !is_new(error.report().id)
    {
        return None;
    }
    let (actor, occasion) = (actor.clone(), occasion(What::Crashed, actor, error, task));
    Some(Box::pin(async move {
        session::open(&actor, occasion, None).await;
    }))
}

fn is_new(id: (u128, u64)) -> bool {
    let mut shown = lock(&SHOWN);
    if shown.contains(&id) {
        return false;
    }
    if shown.len() == REMEMBERED {
        shown.pop_front();
    }
    shown.push_back(id);
    true
}

fn occasion(what: What, actor: &Actor, error: Error, task: &str) -> Occasion {
    let place = error.report().location.as_ref().map(|at| (at.file.clone(), at.line));
    Occasion {
        what,
        actor: actor.id().clone(),
        task: task.to_owned(),
        place,
        values: Vec::new(),
        error: Some(error),
        trace: None,
    }
}

/// Opens a prompt about an error that is at hand, as the one that opens where an error leaves its task:
/// for those that are handled. Nothing where [debug mode](crate::Options::debug) is off.
///
/// # Cancel safety
/// Dropping the future while it waits for its turn gives that up; an open prompt is ended.
pub async fn post_mortem(error: &Error) {
    if !is_on() {
        return;
    }
    if let Some(actor) = Actor::running() {
        let task = task::current_name();
        let occasion = occasion(What::PostMortem, &actor, error.clone(), task);
        session::open(&actor, occasion, None).await;
    }
}

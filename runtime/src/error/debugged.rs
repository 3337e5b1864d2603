//! What errors and prompts have to do with each other: a person's quitting is an error, and one of any type
//! is to be shown.

use std::any::Any;
use std::error::Error as StdError;

use hatchery_proto::{Code, Report};

use super::{Error, ErrorKind, fresh_id};
use crate::task;

/// The type that reports of a person's quitting name: they have no code of its own.
pub(super) const QUIT: &str = "hatchery::Quit";

impl Error {
    pub(crate) fn quit(task: &str) -> Self {
        let message = format!("a person quit at the prompt of task `{task}`");
        let mut report = Report::new(fresh_id(), Code::Error, task::current_actor_id(), message);
        report.type_name = QUIT.to_owned();
        Self::from_parts(ErrorKind::Quit, report, None)
    }
}

/// The error behind any type at all, for a prompt: what can be told of it.
pub(crate) fn of_any<E: 'static>(error: &E) -> Error {
    let any = error as &dyn Any;
    if let Some(known) = any.downcast_ref::<Error>() {
        return known.clone();
    }
    let boxed = any.downcast_ref::<Box<dyn StdError + Send + Sync>>().map(ToString::to_string);
    let plain = any.downcast_ref::<Box<dyn StdError>>().map(ToString::to_string);
    let message = boxed.or(plain).unwrap_or_else(|| {
        format!("an error of type {}, of which no more can be told", std::any::type_name::<E>())
    });
    let mut report = Report::new(fresh_id(), Code::Error, task::current_actor_id(), message);
    report.type_name = std::any::type_name::<E>().to_owned();
    Error::from_parts(ErrorKind::Failed, report, None)
}

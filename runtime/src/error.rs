//! What can go wrong, as one type that keeps everything a relayed failure brought with it.
//!
//! Turns outcomes of the core into errors and errors into reports. Decides nothing about who is
//! told what: that is the verdict's and the context's business.

mod debugged;
mod render;
mod typed;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location as Caller;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use debugged::QUIT;
pub(crate) use debugged::of_any;
use hatchery_proto::actor::peers::Stranger;
use hatchery_proto::{
    ActorId, Also, Cancelled, Code, ExitReport, Hop, Location, LostCause, Outcome, Refusal, Report,
};
pub use typed::{CallError, EndpointError, Never};

use crate::codec::CodecError;
use crate::task;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong in a tree of actors.
///
/// Cheap to clone: clones share one record, so the error that a call returned and the one that its
/// nursery reports are the same. `Display` is one line; `Debug` is the readable report, root cause
/// first, which is what a `main` that returns this error prints.
#[derive(Clone)]
pub struct Error(Arc<Detail>);

struct Detail {
    kind: ErrorKind,
    report: Report,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// The other failures of its nursery, where that was here.
    others: Vec<Error>,
    /// It is the end of a block whose context this actor itself has cancelled (P-C4).
    absorbed: bool,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A task returned an error.
    Failed,
    /// A task panicked.
    Panicked,
    /// A call was refused before it ran.
    Refused(Refusal),
    /// The work was cancelled by someone other than the reader, who is named.
    Cancelled(Cancelled),
    /// The process of the actor ended first.
    Died(Box<ExitReport>),
    /// The link to the actor ended first, and nothing is known of its process.
    Lost(LostCause),
    /// The actor could not be started.
    Spawn,
    /// The API was used in a way that cannot work; the message says which rule forbids it.
    Misuse,
    /// A value did not encode or decode.
    Codec,
    /// The operating system refused something.
    Os,
    /// A receiving half is gone, or its task has returned: the peer will read no more from this
    /// stream.
    ReceiverGone,
    /// So many values were dropped before this reader came to them; it goes on with the oldest that
    /// is kept.
    Lagged(u64),
    /// More values were sent than their receiver keeps for its reader: see
    /// [`Overrun::Fail`](crate::Overrun::Fail).
    Overrun,
    /// A person has quit at a prompt: see [`pause!`](crate::pause).
    Quit,
}

impl Error {
    /// An error around any other, as a task of this actor would report it.
    ///
    /// An `Error` stays what it is. The location is the caller's.
    #[track_caller]
    pub fn new<E>(error: E) -> Self
    where
        E: StdError + Send + Sync + 'static,
    {
        let mut slot = Some(error);
        let known = (&mut slot as &mut dyn Any).downcast_mut::<Option<Self>>();
        if let Some(known) = known.and_then(Option::take) {
            return known;
        }
        match slot {
            Some(error) => {
                let report = Self::describe(&error, std::any::type_name::<E>());
                Self::from_parts(ErrorKind::Failed, report, Some(Box::new(error)))
            }
            None => Self::misuse("an error was lost while it was being wrapped"),
        }
    }

    /// An error with only a message. The location is the caller's.
    #[track_caller]
    pub fn message(message: impl Into<String>) -> Self {
        Self::local(ErrorKind::Failed, Code::Error, message.into())
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Everything known about the failure.
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// The actor in which the failure arose.
    pub fn origin(&self) -> &ActorId {
        &self.0.report.origin
    }

    /// Who cancelled, where this is a cancel.
    pub fn cancelled(&self) -> Option<&Cancelled> {
        match &self.0.kind {
            ErrorKind::Cancelled(by) => Some(by),
            _ => None,
        }
    }

    /// How the process ended, where this is a death.
    pub fn exit(&self) -> Option<&ExitReport> {
        match &self.0.kind {
            ErrorKind::Died(exit) => Some(exit),
            _ => self.0.report.exit.as_deref(),
        }
    }

    /// Other failures of the same nursery, in short: as they travel.
    pub fn also(&self) -> &[Also] {
        &self.0.report.also
    }

    /// Other failures of the same nursery, whole, where the nursery is of this actor: each with its
    /// exit report and whatever else is known. What came over a link has only [`also`](Self::also).
    pub fn others(&self) -> &[Self] {
        &self.0.others
    }

    fn from_parts(
        kind: ErrorKind,
        report: Report,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Detail { kind, report, source, others: Vec::new(), absorbed: false }))
    }

    #[track_caller]
    fn local(kind: ErrorKind, code: Code, message: String) -> Self {
        let caller = Caller::caller();
        let mut report = Report::new(fresh_id(), code, task::current_actor_id(), message);
        report.location = Some(located(caller));
        Self::from_parts(kind, report, None)
    }

    #[track_caller]
    fn describe(error: &(dyn StdError + 'static), type_name: &str) -> Report {
        let mut report =
            Report::new(fresh_id(), Code::Error, task::current_actor_id(), error.to_string());
        report.type_name = type_name.to_owned();
        report.location = Some(located(Caller::caller()));
        let mut source = error.source();
        while let Some(inner) = source {
            report.sources.push(inner.to_string());
            source = inner.source();
        }
        report
    }

    #[track_caller]
    pub(crate) fn misuse(message: impl Into<String>) -> Self {
        Self::local(ErrorKind::Misuse, Code::Misuse, message.into())
    }

    #[track_caller]
    pub(crate) fn codec(what: fmt::Arguments<'_>, error: &CodecError) -> Self {
        let message = format!("{what}: {error}");
        Self::local(ErrorKind::Codec, Code::Error, message)
    }

    #[track_caller]
    pub(crate) fn os(what: impl fmt::Display, error: std::io::Error) -> Self {
        let mut report = Self::describe(&error, "std::io::Error");
        report.code = Code::Os;
        report.message = format!("{what}: {error}");
        Self::from_parts(ErrorKind::Os, report, Some(Box::new(error)))
    }

    #[track_caller]
    pub(crate) fn spawn(actor: &ActorId, message: String, exit: Option<ExitReport>) -> Self {
        let mut report = Report::new(fresh_id(), Code::Spawn, actor.clone(), message);
        report.location = Some(located(Caller::caller()));
        report.exit = exit.map(Box::new);
        Self::from_parts(ErrorKind::Spawn, report, None)
    }

    #[track_caller]
    pub(crate) fn receiver_gone(actor: &ActorId) -> Self {
        let message =
            format!("sending to actor {actor}: its task dropped the receiving half of the stream");
        Self::local(ErrorKind::ReceiverGone, Code::Error, message)
    }

    #[track_caller]
    pub(crate) fn reader_returned(actor: &ActorId, task: &str) -> Self {
        let message = format!(
            "sending to `{task}` on actor {actor}: its task has returned, and reads no more (P-D7)"
        );
        Self::local(ErrorKind::ReceiverGone, Code::Error, message)
    }

    #[track_caller]
    pub(crate) fn overrun_here(actor: &ActorId, task: &str) -> Self {
        let message = format!(
            "receiving from `{task}` on actor {actor}: more values came than are kept unread \
             (P-W6); receive faster, keep more, or have the sender wait"
        );
        Self::local(ErrorKind::Overrun, Code::Overrun, message)
    }

    #[track_caller]
    pub(crate) fn overrun_there(actor: &ActorId, task: &str) -> Self {
        let message = format!(
            "sending to `{task}` on actor {actor}: its reader is slower than this sender and has \
             chosen to fail by that (P-W6); send less at once, or have it keep more"
        );
        Self::local(ErrorKind::Overrun, Code::Overrun, message)
    }

    #[track_caller]
    pub(crate) fn lagged(actor: &ActorId, task: &str, missed: u64) -> Self {
        let message = format!(
            "receiving from `{task}` on actor {actor}: {missed} values were dropped, since this \
             reader was too slow; receive again to go on with the oldest that is left, or have more \
             kept"
        );
        Self::local(ErrorKind::Lagged(missed), Code::Error, message)
    }

    #[track_caller]
    pub(crate) fn gone(actor: &ActorId) -> Self {
        let message = format!("actor {actor} is gone: its nursery has ended");
        let mut report = Report::new(fresh_id(), Code::Lost, actor.clone(), message);
        report.location = Some(located(Caller::caller()));
        Self::from_parts(ErrorKind::Lost(LostCause::Closed), report, None)
    }

    pub(crate) fn cancelled_by(by: Cancelled) -> Self {
        let mut report =
            Report::new(fresh_id(), Code::Cancelled, task::current_actor_id(), by.to_string());
        report.canceller = Some(by.canceller.clone());
        Self::from_parts(ErrorKind::Cancelled(by), report, None)
    }

    pub(crate) fn panicked(
        message: String,
        at: Option<Location>,
        backtrace: Option<String>,
    ) -> Self {
        let mut report = Report::new(fresh_id(), Code::Panic, task::current_actor_id(), message);
        report.location = at;
        report.backtrace = backtrace;
        Self::from_parts(ErrorKind::Panicked, report, None)
    }

    /// The failure that a process's death is, unless it ended as it was asked to.
    pub(crate) fn died(exit: ExitReport) -> Self {
        let mut report = Report::new(fresh_id(), Code::Died, exit.actor.clone(), exit.to_string());
        report.exit = Some(Box::new(exit.clone()));
        Self::from_parts(ErrorKind::Died(Box::new(exit)), report, None)
    }

    /// What an outcome other than `Returned` is to whoever asked for the work.
    pub(crate) fn from_outcome(outcome: &Outcome, peer: &ActorId, task: &str) -> Self {
        match outcome {
            Outcome::Returned(_) => Self::misuse("a value that was returned is no error"),
            Outcome::Refused(refusal, message) => {
                let message = format!("actor {peer} refused `{task}`: {message}");
                let report = Report::new(fresh_id(), Code::Refused, peer.clone(), message);
                Self::from_parts(ErrorKind::Refused(*refusal), report, None)
            }
            Outcome::Failed { report, .. } => Self::from_report((**report).clone()),
            Outcome::Cancelled(by) => {
                let message = format!("`{task}` on actor {peer} was {by}");
                let mut report = Report::new(fresh_id(), Code::Cancelled, peer.clone(), message);
                report.canceller = Some(by.canceller.clone());
                Self::from_parts(ErrorKind::Cancelled(by.clone()), report, None)
            }
            Outcome::Lost(cause) => Self::lost(cause, peer, task),
            Outcome::Died(exit) => {
                let mut exit = (**exit).clone();
                if exit.under_way.is_empty() {
                    exit.under_way.push(format!("`{task}`"));
                }
                Self::died(exit)
            }
        }
    }

    fn lost(cause: &LostCause, peer: &ActorId, task: &str) -> Self {
        let why = match cause {
            LostCause::LinkEnded => "the link to it ended".to_owned(),
            LostCause::Protocol(what) => format!("it broke the protocol: {what}"),
            LostCause::Accused(what) if what == Stranger::TOO_MANY => {
                "it has as many links of this actor as one may have (P-R12); close portals, or share \
                 one"
                    .to_owned()
            }
            LostCause::Accused(what) => {
                format!("it closed the link, since this side broke the protocol: {what}")
            }
            LostCause::Closed => "this side closed the link".to_owned(),
            LostCause::Unresponsive => {
                "it did not answer in the time the cancel gave it".to_owned()
            }
            other => format!("{other:?}"),
        };
        let message = format!("`{task}` on actor {peer} was lost: {why}");
        let report = Report::new(fresh_id(), Code::Lost, peer.clone(), message);
        Self::from_parts(ErrorKind::Lost(cause.clone()), report, None)
    }

    /// A relayed error, as it came in.
    pub(crate) fn from_report(report: Report) -> Self {
        let kind = match (report.code, &report.exit, &report.canceller) {
            (Code::Panic, ..) => ErrorKind::Panicked,
            (Code::Died, Some(exit), _) => ErrorKind::Died(exit.clone()),
            (Code::Spawn, ..) => ErrorKind::Spawn,
            (Code::Misuse, ..) => ErrorKind::Misuse,
            (Code::Os, ..) => ErrorKind::Os,
            (Code::Overrun, ..) => ErrorKind::Overrun,
            (Code::Error, ..) if report.type_name == QUIT => ErrorKind::Quit,
            _ => ErrorKind::Failed,
        };
        Self::from_parts(kind, report, None)
    }

    /// The report as it leaves this actor: with the task that passed it on added to its hops.
    pub(crate) fn to_report(&self, task: &str) -> Report {
        let mut report = self.0.report.clone();
        report.hops.push(Hop { actor: task::current_actor_id(), task: task.to_owned() });
        report
    }

    /// The same failure with others of its scope listed.
    pub(crate) fn with_others(self, others: Vec<Self>) -> Self {
        if others.is_empty() {
            return self;
        }
        let mut report = self.0.report.clone();
        report.also.extend(others.iter().flat_map(Self::as_also_with_its_own));
        let mut all = self.0.others.clone();
        all.extend(others.into_iter().flat_map(|other| {
            let its_own = other.0.others.clone();
            std::iter::once(other).chain(its_own)
        }));
        Self(Arc::new(Detail {
            kind: self.0.kind.clone(),
            report,
            source: Some(Box::new(SharedSource(self))),
            others: all,
            absorbed: false,
        }))
    }

    /// The same where it is no failure, and an error only since there is no value to give.
    pub(crate) fn absorbed(self) -> Self {
        Self(Arc::new(Detail {
            kind: self.0.kind.clone(),
            report: self.0.report.clone(),
            others: self.0.others.clone(),
            source: Some(Box::new(SharedSource(self))),
            absorbed: true,
        }))
    }

    pub(crate) fn is_absorbed(&self) -> bool {
        self.0.absorbed
    }

    /// This failure in short, for the list of another, and those that are listed with it.
    pub(crate) fn as_also_with_its_own(&self) -> impl Iterator<Item = Also> + use<'_> {
        std::iter::once(self.as_also()).chain(self.also().iter().cloned())
    }

    /// This failure in short, for the list of another.
    pub(crate) fn as_also(&self) -> Also {
        let report = &self.0.report;
        Also {
            origin: report.origin.clone(),
            type_name: report.type_name.clone(),
            message: report.message.clone(),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => match source.downcast_ref::<SharedSource>() {
                Some(SharedSource(inner)) => inner.source(),
                None => Some(source.as_ref()),
            },
            None => None,
        }
    }
}

/// Keeps the original of an error that was given company, so that its source chain lives on.
#[derive(Debug)]
struct SharedSource(Error);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for SharedSource {}

/// The error behind any type that a block may fail with, for reports and verdicts.
///
/// Keeps an [`Error`] as it is, so that one failure seen twice stays one.
pub(crate) fn of_block<E: fmt::Display + 'static>(error: &E) -> Error {
    if let Some(known) = (error as &dyn Any).downcast_ref::<Error>() {
        return known.clone();
    }
    let mut report =
        Report::new(fresh_id(), Code::Error, task::current_actor_id(), error.to_string());
    report.type_name = std::any::type_name::<E>().to_owned();
    Error::from_parts(ErrorKind::Failed, report, None)
}

/// A body's own error: absorbed where it only hands on a cancel.
pub(crate) fn handed_on<E: 'static>(error: E) -> E {
    let mut slot = Some(error);
    if let Some(known) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Error>>()
        && known.as_ref().is_some_and(|error| error.cancelled().is_some())
    {
        *known = known.take().map(Error::absorbed);
    }
    match slot {
        Some(error) => error,
        None => unreachable!("the slot is only ever refilled"),
    }
}

/// The body's own error, with the others' where it can hold them.
pub(crate) fn in_company<E: 'static>(error: E, others: Vec<Error>) -> E {
    if others.is_empty() {
        return error;
    }
    let mut slot = Some(error);
    if let Some(known) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Error>>() {
        *known = known.take().map(|error| error.with_others(others));
    } else {
        for other in &others {
            tracing::error!(
                target: "hatchery::runtime",
                actor = %other.origin(), error = %other,
                "failed as well"
            );
        }
    }
    match slot {
        Some(error) => error,
        None => unreachable!("the slot is only ever refilled"),
    }
}

fn located(caller: &Caller<'_>) -> Location {
    Location { file: caller.file().to_owned(), line: caller.line(), column: caller.column() }
}

fn fresh_id() -> (u128, u64) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    (task::current_actor_id().uuid, NEXT.fetch_add(1, Ordering::Relaxed))
}

//! Errors that endpoints declare: to the wire with their bytes, and back as what they were.

use std::error::Error as StdError;
use std::fmt;

use hatchery_proto::{Code, Hop, Report};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::codec::{self, Codec};
use crate::task;

/// A failed call to an endpoint that declares its error type.
#[derive(Debug)]
pub enum CallError<E> {
    /// The endpoint returned this error.
    Endpoint {
        /// The error itself, as the endpoint returned it.
        error: E,
        /// Where it came from and how it got here.
        report: Box<Report>,
    },
    /// Anything else: refused, cancelled, panicked, died, lost.
    Other(Error),
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { error, .. } => fmt::Display::fmt(error, f),
            Self::Other(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: StdError + 'static> StdError for CallError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Endpoint { error, .. } => error.source(),
            Self::Other(error) => error.source(),
        }
    }
}

impl<E> From<CallError<E>> for Error {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::Endpoint { report, .. } => Self::from_report(*report),
            CallError::Other(error) => error,
        }
    }
}

impl<E> From<Error> for CallError<E> {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The error of an endpoint that cannot fail by itself. It has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub enum Never {}

/// What an endpoint may return as its error: any error that serde can carry, or [`Error`].
///
/// Implemented for every `E: std::error::Error + Serialize + DeserializeOwned + Send + Sync`, which
/// comes back typed in a [`CallError`], and for [`Error`], which comes back as itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an endpoint",
    note = "it must implement std::error::Error, serde::Serialize and serde::de::DeserializeOwned, or be hatchery::Error"
)]
pub trait EndpointError: Sized + Send + 'static {
    /// What the opener gets.
    type CallError: From<Error> + Into<Error> + Send + 'static;

    /// The report and the typed bytes that go over the link.
    #[doc(hidden)]
    fn to_wire<C: Codec>(&self, task: &str) -> (Report, Vec<u8>);

    /// What the opener makes of them.
    #[doc(hidden)]
    fn from_wire<C: Codec>(report: Box<Report>, payload: &[u8]) -> Self::CallError;
}

impl<E> EndpointError for E
where
    E: StdError + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type CallError = CallError<E>;

    fn to_wire<C: Codec>(&self, task: &str) -> (Report, Vec<u8>) {
        let mut report = Error::describe(self, std::any::type_name::<E>());
        report.location = None;
        report.hops.push(Hop { actor: task::current_actor_id(), task: task.to_owned() });
        // What has no bytes goes as its text alone.
        let mut payload = Vec::new();
        let put = C::encode(self, &mut payload);
        (report, if put.is_ok() { payload } else { Vec::new() })
    }

    fn from_wire<C: Codec>(report: Box<Report>, payload: &[u8]) -> CallError<E> {
        match codec::take::<C, E>(payload) {
            Ok(error) if report.code == Code::Error => CallError::Endpoint { error, report },
            _ => CallError::Other(Error::from_report(*report)),
        }
    }
}

impl EndpointError for Error {
    type CallError = Self;

    fn to_wire<C: Codec>(&self, task: &str) -> (Report, Vec<u8>) {
        (self.to_report(task), Vec::new())
    }

    fn from_wire<C: Codec>(report: Box<Report>, _payload: &[u8]) -> Self {
        Self::from_report(*report)
    }
}

impl EndpointError for Never {
    type CallError = Error;

    fn to_wire<C: Codec>(&self, _task: &str) -> (Report, Vec<u8>) {
        match *self {}
    }

    fn from_wire<C: Codec>(report: Box<Report>, _payload: &[u8]) -> Error {
        Error::from_report(*report)
    }
}

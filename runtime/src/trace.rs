//! Trace context: bytes that travel with whatever a task asks of others, from process to process.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use crate::error::{Error, Result};

thread_local! {
    /// What belongs to the code that is running right now.
    static CURRENT: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

/// Says that a trace context is this library's: it joins the spans of tasks, and is no [`Trace`] of a
/// user's. What is in front of it is a W3C `traceparent`.
const OWN: &[u8] = b"\ntracestate: hatchery=span";

/// What says to which trace a task belongs. The library does not look into it.
///
/// Set with [`with_trace`], it travels with every call, context and actor that is begun in there: the
/// task over there has it as [`Trace::current`], and so has what that task begins in turn. Between
/// programs of several makers it is best what W3C Trace Context calls a `traceparent`, as text; who
/// uses OpenTelemetry injects it where a call is made and extracts it where a task begins:
///
/// ```
/// # async fn serve() {}
/// # async fn example() -> hatchery::Result<()> {
/// use hatchery::{Trace, with_trace};
///
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// with_trace(Trace::new(parent)?, async {
///     // Here, and in every task that is begun from here, in whatever process:
///     let trace = Trace::current().expect("it was set");
///     assert_eq!(trace.as_bytes(), parent.as_bytes());
///     serve().await;
/// })
/// .await;
/// assert!(Trace::current().is_none());
/// # Ok(())
/// # }
/// # futures_lite::future::block_on(example()).unwrap();
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Trace(Arc<[u8]>);

impl Trace {
    /// The most bytes of one: beside any endpoint's name they fit into what a `Start` may have in
    /// front of its arguments (P-F3).
    pub const MAX: usize = 640;

    /// A trace context of these bytes.
    ///
    /// # Errors
    /// `Misuse` where they are more than [`Trace::MAX`].
    #[track_caller]
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        if bytes.len() > Self::MAX {
            return Err(Error::misuse(format!(
                "a trace context of {} bytes is too long: at most {} travel with a call",
                bytes.len(),
                Self::MAX
            )));
        }
        Ok(Self(bytes.into()))
    }

    /// The one that the running task belongs to, if any.
    pub fn current() -> Option<Self> {
        Self::carried().filter(|trace| !trace.is_own())
    }

    /// The same, or what joins the spans where there is no other: what travels.
    pub(crate) fn carried() -> Option<Self> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Its bytes, as they were given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// One that joins spans.
    pub(crate) fn own(traceparent: &str) -> Self {
        Self([traceparent.as_bytes(), OWN].concat().into())
    }

    /// Whether it is one of these, and no user's.
    pub(crate) fn is_own(&self) -> bool {
        self.0.ends_with(OWN)
    }

    /// What in it is the user's, or would be a `traceparent`.
    pub(crate) fn traceparent(&self) -> &[u8] {
        self.0.strip_suffix(OWN).unwrap_or(&self.0)
    }

    /// What a peer has sent. One that could not be handed on is not taken over.
    pub(crate) fn received(bytes: Option<&[u8]>) -> Option<Self> {
        let trace = bytes.map(Self::new)?;
        trace
            .inspect_err(|error| {
                tracing::debug!(
                    target: "hatchery::runtime",
                    %error,
                    "a peer's trace context is dropped"
                )
            })
            .ok()
    }
}

impl AsRef<[u8]> for Trace {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.0.escape_ascii())
    }
}

/// Runs `body` as part of this trace; `None` takes it out of the one around it.
///
/// Scopes, local tasks, calls, contexts and actors that are begun in `body` belong to it for as long
/// as they live. Those that were begun before stay what they were.
///
/// # Cancel safety
/// That of `body`.
pub async fn with_trace<F: Future>(trace: impl Into<Option<Trace>>, body: F) -> F::Output {
    let trace = trace.into();
    let mut body = pin!(body);
    poll_fn(|cx| {
        let _restore = Restore::set(trace.clone());
        body.as_mut().poll(cx)
    })
    .await
}

/// Restores what was current when it was made.
pub(crate) struct Restore(Option<Trace>);

impl Restore {
    pub(crate) fn set(trace: Option<Trace>) -> Self {
        Self(CURRENT.with(|slot| slot.replace(trace)))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.0.take();
        let _ = CURRENT.try_with(|slot| slot.replace(before));
    }
}

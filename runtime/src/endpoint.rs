//! Endpoints: functions that other actors may ask for by name, and calls to them not yet made.
//!
//! Knows how values become bytes and back. Does not know links.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use futures_core::Stream;
use hatchery_proto::{Kind, Passed, Refusal, Report, Terminal};
use linkme::distributed_slice;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Codec, Encoded, Postcard, encode, encode_into};
use crate::context::{ContextArgument, Seat};
use crate::debug;
use crate::dialog::Dialog;
use crate::discovery;
use crate::error::{EndpointError, Error, Never, Result};
use crate::inspect;
use crate::source;
use crate::task;

mod job;
mod part;

pub(crate) use job::{Job, Known};
use job::{Work, room};
pub(crate) use part::Part;

/// A function that can be run in another actor. Implemented by [`endpoint`](crate::endpoint) and
/// [`context`](macro@crate::context), never by hand.
///
/// The name on the wire is the function's path; the schema is a hash of that name, the signature as it
/// is written, its codec and the attribute's `schema = N`. Two programs that disagree about it refuse
/// each other's calls. What is behind the name of a type is not part of it: where its fields change
/// and programs of before are still there, raise `schema = N`, or use a codec whose fields have names
/// ([`codec`](crate::codec)).
pub trait Endpoint: Send + Sync + 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// What both ends must agree on.
    const SCHEMA: u64;
    /// How its values become bytes.
    type Codec: Codec;
    /// The arguments, as a tuple.
    type Args: Serialize + DeserializeOwned + Send + 'static;
    /// What the function returns.
    type Return: EndpointReturn;
}

/// An endpoint that is called and returns once: `Portal::run`.
pub trait CallEndpoint: Endpoint + Sized {
    /// Runs it here.
    fn run(args: Self::Args) -> impl Future<Output = Self::Return> + Send + 'static;
}

/// An endpoint with a first value, a stream each way and a result: `Portal::open_context`.
pub trait ContextEndpoint: Endpoint + Sized {
    /// The type of its first argument.
    type Context: ContextArgument;

    /// Runs it here, as the callee of an open dialog.
    fn run(
        context: Self::Context,
        args: Self::Args,
    ) -> impl Future<Output = Self::Return> + Send + 'static;
}

/// An endpoint that produces a stream: `Portal::open_stream_from`.
pub trait StreamEndpoint: Endpoint + Sized {
    /// What it yields; of a stream of `Result`s, what those hold.
    type Item: Serialize + DeserializeOwned + Send + 'static;

    /// Opens it here. It ends with its first `Err`.
    fn run(
        args: Self::Args,
    ) -> impl Future<
        Output = impl Stream<Item = Result<Self::Item, DeclaredBy<Self>>> + Send + 'static,
    > + Send
    + 'static;
}

/// What an endpoint returns, taken apart into value and error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of an endpoint",
    note = "the value must implement serde::Serialize and serde::de::DeserializeOwned"
)]
pub trait EndpointReturn: Send + 'static {
    /// The value of a success.
    type Value: Serialize + DeserializeOwned + Send + 'static;
    /// The error it declares; [`Never`] where it declares none.
    type Error: EndpointError;
    /// What the function is written to return.
    type Plain;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, Self::Error>;

    #[doc(hidden)]
    fn into_plain(self) -> Self::Plain;
}

impl<T, E> EndpointReturn for Result<T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: EndpointError,
{
    type Value = T;
    type Error = E;
    type Plain = Self;

    fn into_result(self) -> Self {
        self
    }

    fn into_plain(self) -> Self {
        self
    }
}

/// The result of an endpoint that is not a `Result`.
#[derive(Debug)]
#[doc(hidden)]
pub struct Plain<T>(pub T);

impl<T> EndpointReturn for Plain<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    type Value = T;
    type Error = Never;
    type Plain = T;

    fn into_result(self) -> Result<T, Never> {
        Ok(self.0)
    }

    fn into_plain(self) -> T {
        self.0
    }
}

/// The error that endpoint `E` declares.
pub(crate) type DeclaredBy<E> = <<E as Endpoint>::Return as EndpointReturn>::Error;

/// The value that endpoint `E` returns.
pub type ValueOf<E> = <<E as Endpoint>::Return as EndpointReturn>::Value;

/// The error that a call to endpoint `E` can come to: [`Error`], or a
/// [`CallError`](crate::CallError) where the endpoint declares an error of its own.
pub type ErrorOf<E> = <DeclaredBy<E> as EndpointError>::CallError;

/// A call that has not been made yet: an endpoint and its arguments.
///
/// Give it to a portal to run it over there; `.await` it to run it here. Until then it is a value:
/// nothing has been encoded or sent, and no actor chosen. It can be stored, passed on, and cloned
/// where its arguments can; so can the call of a context or of a stream, which a portal opens.
///
/// ```
/// use hatchery::{Call, Portal, Result};
///
/// #[hatchery::endpoint]
/// async fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// /// Knows what is to be done, and not yet where.
/// struct Job {
///     name: String,
///     call: Call<square>,
/// }
///
/// impl Job {
///     async fn run_on(self, worker: &Portal) -> Result<String> {
///         Ok(format!("{} is {}", self.name, worker.run(self.call).await?))
///     }
/// }
///
/// # fn main() -> Result<()> {
/// # hatchery::init();
/// # hatchery::run(hatchery::open_nursery(async |nursery: hatchery::Nursery| {
/// # let worker = nursery.start_actor("worker").await?;
/// let job = Job { name: "4 squared".into(), call: square(4) };
/// assert_eq!(job.run_on(&worker).await?, "4 squared is 16");
/// # worker.cancel().await
/// # }))
/// # }
/// ```
#[must_use = "a call does nothing until a portal runs it or it is awaited"]
pub struct Call<E: Endpoint> {
    pub(crate) args: E::Args,
    endpoint: PhantomData<fn() -> E>,
}

impl<E: Endpoint<Args: Clone>> Clone for Call<E> {
    fn clone(&self) -> Self {
        Self::new(self.args.clone())
    }
}

impl<E: Endpoint> std::fmt::Debug for Call<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}

impl<E: Endpoint> Call<E> {
    /// Used by the macros.
    #[doc(hidden)]
    pub const fn new(args: E::Args) -> Self {
        Self { args, endpoint: PhantomData }
    }

    pub(crate) fn encode(&self) -> Result<Encoded> {
        encode::<E::Codec, _>(&self.args, "the arguments of", E::NAME)
    }
}

impl<E: CallEndpoint> IntoFuture for Call<E> {
    type Output = <E::Return as EndpointReturn>::Plain;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let run = E::run(self.args);
        Box::pin(async move { run.await.into_plain() })
    }
}

/// The buffer of arguments that is kept for the result has room for no more.
const MOST_KEPT: usize = 16 * 1024;

/// How a task of this actor ended, on its way to the core: the result, with what goes with it.
pub(crate) type Ending = std::result::Result<(Vec<u8>, Passed), Failed>;

/// A task's own error: the report and, where one is declared, the typed bytes.
pub(crate) struct Failed {
    pub(crate) report: Box<Report>,
    pub(crate) payload: Vec<u8>,
}

impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Failed").field(&self.report).finish()
    }
}

impl Failed {
    pub(crate) fn from_error(error: &Error, task: &str) -> Self {
        Self { report: Box::new(error.to_report(task)), payload: Vec::new() }
    }

    pub(crate) fn into_terminal(self) -> Terminal {
        Terminal::Failed { report: self.report, payload: self.payload }
    }
}

type Prepare = fn(Vec<u8>, Option<Arc<Dialog>>) -> std::result::Result<Job, String>;

/// An endpoint in the registry that the linker puts together.
#[doc(hidden)]
pub struct Entry {
    pub(crate) name: &'static str,
    pub(crate) schema: u64,
    pub(crate) kind: Kind,
    pub(crate) codec: u8,
    prepare: Prepare,
    /// Makes room for a call, where it is one.
    work: Option<fn() -> Box<dyn Work>>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Entry {
    /// The entry of a call endpoint.
    pub const fn call<E: CallEndpoint>() -> Self {
        Self { work: Some(work::<E>), ..Self::of::<E>(Kind::Call, prepare_call::<E>) }
    }

    /// The entry of a context endpoint.
    pub const fn context<E: ContextEndpoint>() -> Self {
        Self::of::<E>(Kind::Context, prepare_context::<E>)
    }

    /// The entry of a stream endpoint.
    pub const fn stream<E: StreamEndpoint>() -> Self {
        Self::of::<E>(Kind::Stream, prepare_stream::<E>)
    }

    /// The entry of what does not compile.
    pub const fn none<E: Endpoint>() -> Self {
        Self::of::<E>(Kind::Call, |_, _| Err("it is no endpoint".to_owned()))
    }

    const fn of<E: Endpoint>(kind: Kind, prepare: Prepare) -> Self {
        Self {
            name: E::NAME,
            schema: E::SCHEMA,
            kind,
            codec: E::Codec::NUMBER,
            prepare,
            work: None,
        }
    }
}

/// Every endpoint of this program.
#[doc(hidden)]
#[distributed_slice]
pub static ENDPOINTS: [Entry];

/// The endpoint with this name, if this program has it.
pub(crate) fn find(name: &str) -> std::result::Result<&'static Known, (Refusal, String)> {
    static BY_NAME: OnceLock<BTreeMap<&'static str, Known>> = OnceLock::new();
    thread_local! {
        /// The last that was asked for, which mostly is asked for next.
        static LAST: Cell<Option<&'static Known>> = const { Cell::new(None) };
    }
    let last = LAST.try_with(Cell::get).ok().flatten();
    if let Some(last) = last.filter(|last| last.name == name) {
        return Ok(last);
    }
    let by_name = BY_NAME.get_or_init(|| {
        let own = [discovery::ENTRIES, debug::ENTRIES, inspect::ENTRIES];
        let all = ENDPOINTS.iter().chain(own.into_iter().flatten());
        all.map(|entry| (entry.name, Known::of(entry))).collect()
    });
    let known = by_name.get(name);
    let _ = LAST.try_with(|last| last.set(known));
    known.ok_or_else(|| {
        let message = format!(
            "no endpoint has this name in that program ({} are known there); is it built from the \
             same source, with the crate that defines the endpoint linked in?",
            ENDPOINTS.len()
        );
        (Refusal::Unknown, message)
    })
}

pub(crate) fn prepare_call<E: CallEndpoint>(
    bytes: Vec<u8>,
    _dialog: Option<Arc<Dialog>>,
) -> std::result::Result<Job, String> {
    Ok(Job::once(begin::<E>(bytes)?))
}

fn work<E: CallEndpoint>() -> Box<dyn Work> {
    room(begin::<E>)
}

/// The task of a call, which encodes its result into the buffer of its arguments.
fn begin<E: CallEndpoint>(
    bytes: Vec<u8>,
) -> std::result::Result<impl Future<Output = Result<Ending>> + Send + use<E>, String> {
    let args = decode_args::<E>(&bytes)?;
    // Of large ones nothing is held while the task runs.
    let buffer = if bytes.capacity() > MOST_KEPT { Vec::new() } else { bytes };
    Ok(task::caught(async move || ending::<E>(E::run(args).await, buffer)))
}

fn prepare_context<E: ContextEndpoint>(
    args: Vec<u8>,
    dialog: Option<Arc<Dialog>>,
) -> std::result::Result<Job, String> {
    let args = decode_args::<E>(&args)?;
    let Some(dialog) = dialog else { return Err("a context needs a dialog".to_owned()) };
    Ok(Job::once(task::caught(async move || {
        let context = E::Context::over::<E::Codec>(Seat(dialog.clone()));
        let returned = E::run(context, args).await;
        if !dialog.has_started() {
            let error = Error::misuse(
                "the context's task returned before it called `started` (P-D2); call it, or fail",
            );
            let result = returned.into_result();
            return Err(match result {
                Ok(_) => Failed::from_error(&error, E::NAME),
                Err(error) => failed::<E>(&error),
            });
        }
        // A task may do without a value that could not be decoded; its opener has to hear of it.
        ending::<E>(returned, Vec::new()).and_then(|value| match dialog.check_decoded() {
            Ok(()) => Ok(value),
            Err(undecoded) => Err(Failed::from_error(&undecoded, E::NAME)),
        })
    })))
}

fn prepare_stream<E: StreamEndpoint>(
    args: Vec<u8>,
    dialog: Option<Arc<Dialog>>,
) -> std::result::Result<Job, String> {
    let args = decode_args::<E>(&args)?;
    let Some(dialog) = dialog else { return Err("a stream needs a dialog".to_owned()) };
    Ok(Job::once(task::caught(async move || source::produce::<E>(args, &dialog).await)))
}

/// What a task has returned, in a buffer that is at hand.
fn ending<E: Endpoint>(returned: E::Return, buffer: Vec<u8>) -> Ending {
    match returned.into_result() {
        Ok(value) => encode_into::<E::Codec, _>(&value, buffer, "the result of", E::NAME)
            .map_err(|error| Failed::from_error(&error, E::NAME)),
        Err(error) => Err(failed::<E>(&error)),
    }
}

pub(crate) fn failed<E: Endpoint>(error: &DeclaredBy<E>) -> Failed {
    let (report, payload) = error.to_wire::<E::Codec>(E::NAME);
    Failed { report: Box::new(report), payload }
}

fn decode_args<E: Endpoint>(args: &[u8]) -> std::result::Result<E::Args, String> {
    codec::take::<E::Codec, _>(args)
        .map_err(|error| format!("the arguments could not be decoded: {error}"))
}

/// The codecs of this program's endpoints.
pub(crate) fn codecs() -> &'static [u8] {
    static CODECS: OnceLock<Vec<u8>> = OnceLock::new();
    CODECS.get_or_init(|| {
        let codecs: BTreeSet<u8> = ENDPOINTS.iter().map(|entry| entry.codec).collect();
        codecs.into_iter().collect()
    })
}

/// The hash that both ends compare: FNV-1a over name, signature and number, and, for a codec other
/// than postcard, its name.
#[doc(hidden)]
pub const fn schema<C: Codec>(name: &str, signature: &str, number: u64) -> u64 {
    let hash = hash(0xcbf2_9ce4_8422_2325, name.as_bytes());
    let hash = self::hash(hash, &[0]);
    let hash = self::hash(hash, signature.as_bytes());
    let hash = self::hash(hash, &number.to_le_bytes());
    if C::NUMBER == Postcard::NUMBER { hash } else { self::hash(hash, C::NAME.as_bytes()) }
}

const fn hash(mut state: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        state = (state ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    state
}

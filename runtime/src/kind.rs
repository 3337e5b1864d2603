//! What kind of endpoint a function is: a call or a stream, by the type that it returns.
//!
//! An attribute sees words, so the code that it writes asks the compiler: a [`Probe`] says what is
//! implemented for the type, [`tell`] makes a number of the answers, and [`Told`] a type of the
//! number, on which the traits of the rest are implemented. Used by the macros; nothing here is
//! another's interface, and nothing here runs before an endpoint does.

mod given;

use std::future::Future;
use std::marker::PhantomData;

use futures_core::Stream;
use futures_lite::{StreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::{
    CallEndpoint, DeclaredBy, Endpoint, EndpointReturn, Entry, Plain, StreamEndpoint,
};
use crate::error::{EndpointError, Never};

pub use given::{AtOnce, Boxed, Gives, Later, Opens};

/// What is implemented for `R`: its own constants where the bounds are met, those of [`Otherwise`]
/// where they are not.
#[derive(Debug)]
pub struct Probe<R>(PhantomData<fn() -> R>);

impl<R: Stream> Probe<R> {
    /// It is a stream.
    pub const STREAM: bool = true;
}

impl<R: Serialize + DeserializeOwned> Probe<R> {
    /// It can be sent.
    pub const VALUE: bool = true;
}

impl<T, E> Probe<Result<T, E>> {
    /// It is a `Result`.
    pub const RESULT: bool = true;
}

impl<R: Stream<Item = Result<T, E>>, T, E> Probe<R> {
    /// It is a stream of `Result`s.
    pub const FALLIBLE: bool = true;
}

impl<S: Serialize + DeserializeOwned, E> Probe<Result<S, E>> {
    /// What it holds can be sent.
    pub const HOLDS_VALUE: bool = true;
}

impl<S: Stream, E> Probe<Result<S, E>> {
    /// It is a stream that may fail to open.
    pub const OPENS: bool = true;
}

impl<S: Stream<Item = Result<T, E>>, T, E> Probe<Result<S, E>> {
    /// It is one that may fail later on as well.
    pub const OPENS_FALLIBLE: bool = true;
}

/// What a [`Probe`] says of the rest.
pub trait Otherwise {
    /// It is no stream.
    const STREAM: bool = false;
    /// It cannot be sent.
    const VALUE: bool = false;
    /// It is no `Result`.
    const RESULT: bool = false;
    /// It is no stream of `Result`s.
    const FALLIBLE: bool = false;
    /// It holds nothing that can be sent.
    const HOLDS_VALUE: bool = false;
    /// It holds no stream.
    const OPENS: bool = false;
    /// It holds no stream of `Result`s with its own error.
    const OPENS_FALLIBLE: bool = false;
}

impl<R> Otherwise for Probe<R> {}

/// A call whose value is the result.
pub const CALL: u8 = 0;
/// A call that returns a `Result`.
pub const CALL_RESULT: u8 = 1;
/// A stream of values.
pub const STREAM: u8 = 2;
/// A stream that ends with its first `Err`.
pub const STREAM_RESULT: u8 = 3;
/// A stream that could be sent as a value.
pub const BOTH: u8 = 4;
/// Nothing that an endpoint can return.
pub const NEITHER: u8 = 5;
/// A stream of values that may fail to open.
pub const OPENED: u8 = 6;
/// The same, which ends with its first `Err`.
pub const OPENED_RESULT: u8 = 7;

/// What a [`Probe`] has answered.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is an answer")]
pub struct Answers {
    /// [`Probe::STREAM`]
    pub stream: bool,
    /// [`Probe::VALUE`]
    pub value: bool,
    /// [`Probe::RESULT`]
    pub result: bool,
    /// [`Probe::FALLIBLE`]
    pub fallible: bool,
    /// [`Probe::HOLDS_VALUE`]
    pub holds_value: bool,
    /// [`Probe::OPENS`]
    pub opens: bool,
    /// [`Probe::OPENS_FALLIBLE`]
    pub opens_fallible: bool,
}

/// The kind of an endpoint, where its type tells it.
pub const fn tell(answers: Answers) -> u8 {
    match answers {
        Answers { stream: true, value: true, .. }
        | Answers { opens: true, holds_value: true, .. } => BOTH,
        Answers { stream: true, .. } | Answers { opens: true, .. } => as_stream(answers),
        // Of a `Result` only the parts are sent, and what they lack is told of them.
        Answers { result: true, .. } => CALL_RESULT,
        Answers { value: true, .. } => CALL,
        _ => NEITHER,
    }
}

/// The kind of an endpoint that is declared to be a call.
pub const fn as_call(answers: Answers) -> u8 {
    if answers.result { CALL_RESULT } else { CALL }
}

/// The kind of an endpoint that is declared to be a stream.
pub const fn as_stream(answers: Answers) -> u8 {
    match answers {
        Answers { stream: true, fallible: false, .. } => STREAM,
        Answers { stream: true, .. } => STREAM_RESULT,
        Answers { opens: true, opens_fallible: false, .. } => OPENED,
        Answers { opens: true, .. } => OPENED_RESULT,
        _ => NEITHER,
    }
}

/// A kind as a type.
#[derive(Debug)]
pub struct Told<const KIND: u8>;

/// The `Endpoint::Return` of a function that returns `R`.
pub trait Returns<R> {
    /// See there.
    type Return: EndpointReturn;
}

impl<T> Returns<T> for Told<CALL>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    type Return = Plain<T>;
}

impl<T, E> Returns<Result<T, E>> for Told<CALL_RESULT>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: EndpointError,
{
    type Return = Result<T, E>;
}

impl<R: Stream> Returns<R> for Told<STREAM> {
    type Return = Result<(), Never>;
}

impl<R: Stream<Item = Result<T, E>>, T, E: EndpointError> Returns<R> for Told<STREAM_RESULT> {
    type Return = Result<(), E>;
}

impl<S, E: EndpointError> Returns<Result<S, E>> for Told<OPENED> {
    type Return = Result<(), E>;
}

impl<S, E: EndpointError> Returns<Result<S, E>> for Told<OPENED_RESULT> {
    type Return = Result<(), E>;
}

// So that what was refused elsewhere is refused once.
impl<R> Returns<R> for Told<BOTH> {
    type Return = Result<(), Never>;
}

impl<R> Returns<R> for Told<NEITHER> {
    type Return = Result<(), Never>;
}

/// A kind that is known.
#[diagnostic::on_unimplemented(
    message = "whether this endpoint is a call or a stream cannot be told from its type",
    label = "`{R}` is a stream or holds one, and could be sent whole as well",
    note = "write `#[hatchery::endpoint(stream)]` where its items are to be sent one by one, or \
            `#[hatchery::endpoint(call)]` where it is to be sent whole"
)]
pub trait CanBeTold<R> {}

impl<R> CanBeTold<R> for Told<CALL> {}
impl<R> CanBeTold<R> for Told<CALL_RESULT> {}
impl<R> CanBeTold<R> for Told<STREAM> {}
impl<R> CanBeTold<R> for Told<STREAM_RESULT> {}
impl<R> CanBeTold<R> for Told<OPENED> {}
impl<R> CanBeTold<R> for Told<OPENED_RESULT> {}
impl<R> CanBeTold<R> for Told<NEITHER> {}

/// A kind that an `async fn` can have.
#[diagnostic::on_unimplemented(
    message = "`{R}` cannot be what an endpoint returns: it is neither a value that can be sent \
               nor a stream",
    label = "neither a value that can be sent nor a stream",
    note = "a value that can be sent implements `serde::Serialize` and \
            `serde::de::DeserializeOwned`",
    note = "where this is a stream after another attribute has changed the function, write \
            `#[hatchery::endpoint(stream, item = …)]`"
)]
pub trait CanBeAsync<R> {}

impl<R> CanBeAsync<R> for Told<CALL> {}
impl<R> CanBeAsync<R> for Told<CALL_RESULT> {}
impl<R> CanBeAsync<R> for Told<STREAM> {}
impl<R> CanBeAsync<R> for Told<STREAM_RESULT> {}
impl<R> CanBeAsync<R> for Told<OPENED> {}
impl<R> CanBeAsync<R> for Told<OPENED_RESULT> {}
impl<R> CanBeAsync<R> for Told<BOTH> {}

/// A kind that a plain `fn` can have.
#[diagnostic::on_unimplemented(
    message = "an endpoint that returns no stream is an `async fn`: while a plain `fn` runs, \
               nothing else in its actor does",
    label = "`{R}` is not a stream",
    note = "make it an `async fn`, and await what takes long; blocking work goes through \
            `blocking::unblock(…).await`, and work for whole processes to an `ActorPool`",
    note = "where this is a stream after another attribute has changed the function, write \
            `#[hatchery::endpoint(stream, item = …)]`"
)]
pub trait CanBePlain<R> {}

impl<R> CanBePlain<R> for Told<STREAM> {}
impl<R> CanBePlain<R> for Told<STREAM_RESULT> {}
impl<R> CanBePlain<R> for Told<OPENED> {}
impl<R> CanBePlain<R> for Told<OPENED_RESULT> {}
impl<R> CanBePlain<R> for Told<BOTH> {}

/// A kind that was declared.
#[diagnostic::on_unimplemented(
    message = "this endpoint is declared as a stream, and `{R}` is none",
    label = "not a stream",
    note = "where it is one after another attribute has changed the function, write \
            `#[hatchery::endpoint(stream, item = …)]`"
)]
pub trait CanBeStream<R> {}

impl<R> CanBeStream<R> for Told<STREAM> {}
impl<R> CanBeStream<R> for Told<STREAM_RESULT> {}
impl<R> CanBeStream<R> for Told<OPENED> {}
impl<R> CanBeStream<R> for Told<OPENED_RESULT> {}

/// Fails to compile where `K` is not the kind of a stream.
pub const fn can_be_stream<K: CanBeStream<R>, R>() {}

/// Fails to compile where `K` is not known.
pub const fn can_be_told<K: CanBeTold<R>, R>() {}

/// Fails to compile where no `async fn` is of kind `K`.
pub const fn can_be_async<K: CanBeAsync<R>, R>() {}

/// Fails to compile where no plain `fn` is of kind `K`.
pub const fn can_be_plain<K: CanBePlain<R>, R>() {}

/// An endpoint whose kind follows from its type: every one but a context.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a context, not a call and not a stream",
    note = "open it with `Portal::open_context` or `Portal::with_context`"
)]
pub trait Body: Endpoint + Sized {
    /// What the function is written to return.
    type Written: 'static;
    /// The kind that this makes it.
    type Kind: 'static;

    /// Runs it here.
    fn body(args: Self::Args) -> impl Future<Output = Self::Written> + Send + 'static;
}

/// The kind of a call.
#[diagnostic::on_unimplemented(
    message = "`{E}` is not a call: it returns a stream",
    note = "open it with `Portal::open_stream_from` or `Portal::with_stream_from`",
    note = "where the stream is meant to be sent whole, as one value, write \
            `#[hatchery::endpoint(call)]`"
)]
pub trait IsCall<E, R> {
    /// The endpoint's `Return`.
    type Return;
    /// Makes it of what was written.
    fn returned(written: R) -> Self::Return;
}

impl<E, T> IsCall<E, T> for Told<CALL> {
    type Return = Plain<T>;

    fn returned(written: T) -> Plain<T> {
        Plain(written)
    }
}

impl<E, T, X> IsCall<E, Result<T, X>> for Told<CALL_RESULT> {
    type Return = Result<T, X>;

    fn returned(written: Result<T, X>) -> Self::Return {
        written
    }
}

/// The kind of a stream.
#[diagnostic::on_unimplemented(
    message = "`{E}` is not a stream: it returns one value",
    note = "call it with `Portal::run`"
)]
pub trait IsStream<E, R> {
    /// What it yields, taken apart.
    type Item: Serialize + DeserializeOwned + Send + 'static;
    /// What it may fail with.
    type Error: EndpointError;
    /// The stream of that.
    fn items(written: R) -> impl Stream<Item = Result<Self::Item, Self::Error>> + Send + 'static;
}

impl<E, R> IsStream<E, R> for Told<STREAM>
where
    R: Stream + Send + 'static,
    R::Item: Serialize + DeserializeOwned + Send + 'static,
{
    type Item = R::Item;
    type Error = Never;

    fn items(written: R) -> impl Stream<Item = Result<R::Item, Never>> + Send + 'static {
        written.map(Ok)
    }
}

impl<E, R, T, X> IsStream<E, R> for Told<STREAM_RESULT>
where
    R: Stream<Item = Result<T, X>> + Send + 'static,
    T: Serialize + DeserializeOwned + Send + 'static,
    X: EndpointError,
{
    type Item = T;
    type Error = X;

    fn items(written: R) -> impl Stream<Item = Result<T, X>> + Send + 'static {
        written
    }
}

impl<E, S, X> IsStream<E, Result<S, X>> for Told<OPENED>
where
    S: Stream + Send + 'static,
    S::Item: Serialize + DeserializeOwned + Send + 'static,
    X: EndpointError,
{
    type Item = S::Item;
    type Error = X;

    fn items(written: Result<S, X>) -> impl Stream<Item = Result<S::Item, X>> + Send + 'static {
        opened(written.map(|items| items.map(Ok)))
    }
}

impl<E, S, T, X> IsStream<E, Result<S, X>> for Told<OPENED_RESULT>
where
    S: Stream<Item = Result<T, X>> + Send + 'static,
    T: Serialize + DeserializeOwned + Send + 'static,
    X: EndpointError,
{
    type Item = T;
    type Error = X;

    fn items(written: Result<S, X>) -> impl Stream<Item = Result<T, X>> + Send + 'static {
        opened(written)
    }
}

/// A stream, or that it could not be opened as its only item.
fn opened<S: Stream<Item = Result<T, X>>, T, X>(
    written: Result<S, X>,
) -> impl Stream<Item = Result<T, X>> {
    let (items, failed) = match written {
        Ok(items) => (Some(items), None),
        Err(error) => (None, Some(Err(error))),
    };
    stream::iter(items).flatten().chain(stream::iter(failed))
}

impl<E: Body> CallEndpoint for E
where
    E::Kind: IsCall<E, E::Written, Return = E::Return>,
{
    fn run(args: Self::Args) -> impl Future<Output = Self::Return> + Send + 'static {
        let body = E::body(args);
        async move { E::Kind::returned(body.await) }
    }
}

impl<E: Body> StreamEndpoint for E
where
    E::Kind: IsStream<E, E::Written, Error = DeclaredBy<E>>,
{
    type Item = <E::Kind as IsStream<E, E::Written>>::Item;

    fn run(
        args: Self::Args,
    ) -> impl Future<
        Output = impl Stream<Item = Result<Self::Item, DeclaredBy<Self>>> + Send + 'static,
    > + Send
    + 'static {
        let body = E::body(args);
        async move { E::Kind::items(body.await) }
    }
}

/// The entry of an endpoint of this kind.
pub trait Registers<E> {
    /// See there.
    const ENTRY: Entry;
}

impl<E: CallEndpoint> Registers<E> for Told<CALL> {
    const ENTRY: Entry = Entry::call::<E>();
}

impl<E: CallEndpoint> Registers<E> for Told<CALL_RESULT> {
    const ENTRY: Entry = Entry::call::<E>();
}

impl<E: StreamEndpoint> Registers<E> for Told<STREAM> {
    const ENTRY: Entry = Entry::stream::<E>();
}

impl<E: StreamEndpoint> Registers<E> for Told<STREAM_RESULT> {
    const ENTRY: Entry = Entry::stream::<E>();
}

impl<E: StreamEndpoint> Registers<E> for Told<OPENED> {
    const ENTRY: Entry = Entry::stream::<E>();
}

impl<E: StreamEndpoint> Registers<E> for Told<OPENED_RESULT> {
    const ENTRY: Entry = Entry::stream::<E>();
}

impl<E: Endpoint> Registers<E> for Told<BOTH> {
    const ENTRY: Entry = Entry::none::<E>();
}

impl<E: Endpoint> Registers<E> for Told<NEITHER> {
    const ENTRY: Entry = Entry::none::<E>();
}

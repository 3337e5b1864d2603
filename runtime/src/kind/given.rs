//! What an endpoint's function gives back, taken as it is: now or later, with a name or without.
//!
//! Decides nothing of what kind it is.

use std::future::{Future, Ready, ready};
use std::pin::Pin;

use futures_core::Stream;

/// What a function gives back, which a further attribute may have made something else than is
/// written: a future of `R`, or `R`.
#[diagnostic::on_unimplemented(
    message = "this endpoint does not return what its signature says: another attribute has \
               changed it",
    label = "this gives `{Self}`, and the signature says `{R}`",
    note = "where it is a stream now, write `#[hatchery::endpoint(stream, item = …)]` with the type \
            of its items"
)]
pub trait Gives<R, How> {
    /// The future of it.
    type Future: Future<Output = R>;
    /// Gives it.
    fn give(self) -> Self::Future;
}

/// By a future.
#[derive(Debug)]
pub struct Later;

/// As it is.
#[derive(Debug)]
pub struct AtOnce;

impl<F: Future> Gives<F::Output, Later> for F {
    type Future = F;

    fn give(self) -> F {
        self
    }
}

impl<R> Gives<R, AtOnce> for R {
    type Future = Ready<R>;

    fn give(self) -> Ready<R> {
        ready(self)
    }
}

/// A stream whose own type has no name.
pub type Boxed<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What gives a stream without a name, now or later, surely or perhaps: `R` is that with the stream
/// in a box.
#[diagnostic::on_unimplemented(
    message = "what this endpoint returns is not the stream that it is declared as",
    label = "this gives `{Self}`, of which no `{R}` can be made"
)]
pub trait Opens<R, How> {
    /// Opens it.
    fn open(self) -> impl Future<Output = R> + Send;
}

impl<S, T> Opens<Boxed<T>, AtOnce> for S
where
    S: Stream<Item = T> + Send + 'static,
    T: 'static,
{
    async fn open(self) -> Boxed<T> {
        Box::pin(self)
    }
}

impl<F, S, T> Opens<Boxed<T>, Later> for F
where
    F: Future<Output = S> + Send,
    S: Stream<Item = T> + Send + 'static,
    T: 'static,
{
    async fn open(self) -> Boxed<T> {
        Box::pin(self.await)
    }
}

impl<S, T, X> Opens<Result<Boxed<T>, X>, AtOnce> for Result<S, X>
where
    S: Stream<Item = T> + Send + 'static,
    T: 'static,
    X: Send,
{
    async fn open(self) -> Result<Boxed<T>, X> {
        Ok(Box::pin(self?))
    }
}

impl<F, S, T, X> Opens<Result<Boxed<T>, X>, Later> for F
where
    F: Future<Output = Result<S, X>> + Send,
    S: Stream<Item = T> + Send + 'static,
    T: 'static,
    X: Send,
{
    async fn open(self) -> Result<Boxed<T>, X> {
        Ok(Box::pin(self.await?))
    }
}

//! Futures whose panics become errors. Knows neither tasks nor scopes, and holds what it polls where it
//! was put first.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::catch_panic_in;
use crate::error::Error;

/// Turns a panic in `future` into an error that says where it was.
///
/// It is moved once: handed on by value, a body is stored anew in every future that it goes through.
pub(crate) fn catch_panic<F: Future>(
    future: F,
) -> impl Future<Output = Result<F::Output, Error>> + Unpin {
    let mut future = Box::pin(future);
    poll_fn(move |cx| poll(future.as_mut(), cx))
}

/// Runs what `make` gives and turns a panic in either into an error that says where it was.
pub(crate) async fn caught<F: Future>(make: impl FnOnce() -> F) -> Result<F::Output, Error> {
    // Made in its place: what is handed over is stored twice.
    let mut future = pin!(async { make().await });
    poll_fn(|cx| poll(future.as_mut(), cx)).await
}

fn poll<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Result<F::Output, Error>> {
    match catch_panic_in(|| future.poll(cx)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

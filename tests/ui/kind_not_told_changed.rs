//! A function that another attribute has changed is what its type says; where that does not tell, the
//! way out is named as for any other.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Countdown(u32);

impl Stream for Countdown {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<u32>> {
        let left = self.0;
        self.0 = left.saturating_sub(1);
        Poll::Ready((left > 0).then_some(left))
    }
}

trait Numbers: Stream<Item = u64> {}

impl<S: Stream<Item = u64>> Numbers for S {}

#[tracing::instrument]
#[hatchery::endpoint]
async fn changed_before(from: u32) -> Countdown {
    Countdown(from)
}

#[hatchery::endpoint]
#[tracing::instrument]
async fn changed_after(from: u32) -> Countdown {
    Countdown(from)
}

#[hatchery::endpoint]
#[tracing::instrument]
fn untold() -> impl Numbers {
    futures_lite::stream::iter(0..3)
}

#[tracing::instrument]
#[hatchery::endpoint(stream)]
async fn told_before(from: u32) -> Countdown {
    Countdown(from)
}

#[hatchery::endpoint(stream)]
#[tracing::instrument]
async fn told_after(from: u32) -> Countdown {
    Countdown(from)
}

fn main() {}

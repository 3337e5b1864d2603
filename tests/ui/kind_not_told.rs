//! What could be sent whole and could be sent item by item is neither until that is said.

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

#[hatchery::endpoint]
async fn countdown(from: u32) -> Countdown {
    Countdown(from)
}

#[hatchery::endpoint]
async fn perhaps(from: u32) -> hatchery::Result<Countdown> {
    Ok(Countdown(from))
}

#[hatchery::endpoint(stream)]
async fn item_by_item(from: u32) -> Countdown {
    Countdown(from)
}

#[hatchery::endpoint(call)]
async fn whole(from: u32) -> Countdown {
    Countdown(from)
}

fn main() {}

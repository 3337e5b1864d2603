//! A stream is opened, and a call is run.

use futures_lite::{Stream, stream};

#[hatchery::endpoint]
fn numbers() -> impl Stream<Item = u64> {
    stream::iter(0..3)
}

#[hatchery::endpoint]
async fn number() -> u64 {
    3
}

async fn run(portal: hatchery::Portal) {
    let _ = portal.run(numbers()).await;
}

async fn open(portal: hatchery::Portal) {
    let _ = portal.open_stream_from(number()).await;
}

fn main() {}

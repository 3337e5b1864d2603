//! A type without a name says what its items are, or the attribute does.

use futures_lite::{Stream, stream};

trait Numbers: Stream<Item = u64> {}

impl<S: Stream<Item = u64>> Numbers for S {}

#[hatchery::endpoint]
fn untold() -> impl Numbers {
    stream::iter(0..3)
}

#[hatchery::endpoint(stream, item = u64)]
fn told() -> impl Numbers {
    stream::iter(0..3)
}

#[hatchery::endpoint]
fn no_stream() -> impl Iterator<Item = u64> {
    0..3
}

#[hatchery::endpoint(item = u64)]
fn half_told() -> impl Numbers {
    stream::iter(0..3)
}

#[hatchery::endpoint(call)]
async fn no_value() -> impl Stream<Item = u64> {
    stream::iter(0..3)
}

fn main() {}

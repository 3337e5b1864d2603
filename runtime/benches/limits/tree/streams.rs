//! Streams of items, small and large.

use std::io;
use std::time::{Duration, Instant};

use hatchery::{Blob, Context, MsgStream, Receives, Sends, Starts};
use serde_bytes::ByteArray;

use super::with_child;
use crate::bars::Scale;
use crate::blocking::check_total;

/// An endpoint that counts items of a type, and how long so many take until it has counted them, by each
/// way to send them.
macro_rules! items {
    ($count:ident, $item:ty, $value:expr, $($name:ident by $send:ident),+) => {
        /// Runs in the child: counts items.
        #[hatchery::context]
        async fn $count(
            cx: Context<Starts<()>, Sends<()>, Receives<$item>>,
        ) -> hatchery::Result<u64> {
            let mut stream = cx.started(()).await?.open_stream();
            let mut total = 0;
            while stream.recv().await?.is_some() {
                total += 1;
            }
            Ok(total)
        }

        $(
            /// How long so many items take, until the child has counted them.
            pub(crate) fn $name(scale: Scale) -> io::Result<Duration> {
                let (took, total) = with_child(scale, async |child| {
                    child
                        .with_context($count(), async |mut cx, ()| {
                            let stream = cx.open_stream()?;
                            let began = Instant::now();
                            $send(&stream, scale.times, || $value).await?;
                            stream.close().await?;
                            let total = cx.result().await?;
                            hatchery::Result::Ok((began.elapsed(), total))
                        })
                        .await
                })?;
                check_total(total, scale.times.into()).map(|()| took)
            }
        )+
    };
}

items!(count_typed_16, [u8; 16], [7; 16], typed_16 by one_by_one, typed_16_many by many);
items!(
    count_bytes_16, ByteArray<16>, ByteArray::new([7; 16]),
    bytes_16 by one_by_one, bytes_16_many by many
);
items!(
    count_bytes_64, ByteArray<64>, ByteArray::new([7; 64]),
    bytes_64 by one_by_one, bytes_64_many by many
);
items!(
    count_bytes_1024, ByteArray<1024>, ByteArray::new([7; 1024]),
    bytes_1024 by one_by_one
);

async fn one_by_one<T>(
    stream: &MsgStream<T, ()>,
    times: u32,
    value: impl Fn() -> T,
) -> hatchery::Result<()> {
    for _ in 0..times {
        stream.send(value()).await?;
    }
    Ok(())
}

/// Of items that are at hand, as many as there is room for.
async fn many<T>(
    stream: &MsgStream<T, ()>,
    times: u32,
    value: impl Fn() -> T,
) -> hatchery::Result<()> {
    let items: Vec<T> = std::iter::repeat_with(value).take(64).collect();
    let mut left = usize::try_from(times).map_err(hatchery::Error::new)?;
    while left > 0 {
        let mut some = items.get(..left).unwrap_or(&items);
        left -= some.len();
        while !some.is_empty() {
            some = &some[stream.send_many(some).await?..];
        }
    }
    Ok(())
}

/// Runs in the child: counts the bytes of items.
#[hatchery::context]
async fn count_large(cx: Context<Starts<()>, Sends<()>, Receives<Blob>>) -> hatchery::Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut total = 0;
    while let Some(bytes) = stream.recv().await? {
        total += bytes.len() as u64;
    }
    Ok(total)
}

/// How long items of so many bytes take, until the child has counted them.
pub(crate) fn large(scale: Scale, size: usize) -> io::Result<Duration> {
    let value = Blob::from(vec![7; size]);
    let (took, total) = with_child(scale, async |child| {
        child
            .with_context(count_large(), async |mut cx, ()| {
                let stream = cx.open_stream()?;
                let began = Instant::now();
                for _ in 0..scale.times {
                    stream.send(value.clone()).await?;
                }
                stream.close().await?;
                let total = cx.result().await?;
                hatchery::Result::Ok((began.elapsed(), total))
            })
            .await
    })?;
    check_total(total, u64::from(scale.times) * size as u64).map(|()| took)
}

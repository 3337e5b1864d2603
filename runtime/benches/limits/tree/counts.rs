//! Allocations of both ends, for each call and each item of a stream.

use std::io;

use hatchery::{Context, Portal, Receives, Sends, Starts};

use super::{allocated, with_child};
use crate::bars::Scale;
use crate::counted;
use crate::measure::WARM_UP;

/// 4 KiB that allocate nothing themselves.
type Big = [[[u8; 32]; 32]; 4];
const BIG: Big = [[[7; 32]; 32]; 4];
type Small = [u8; 32];
const SMALL: Small = [7; 32];

macro_rules! counted {
    ($call:ident, $item:ident, $answer:ident, $take:ident, $value:ty, $make:expr) => {
        /// Runs in the child: gives back what it got.
        #[hatchery::endpoint]
        async fn $answer(value: $value) -> $value {
            value
        }

        /// Runs in the child: takes so many items, then says so, again and again.
        #[hatchery::context]
        async fn $take(
            cx: Context<Starts<()>, Sends<()>, Receives<$value>>,
            times: u32,
        ) -> hatchery::Result<()> {
            let mut stream = cx.started(()).await?.open_stream();
            let mut taken = 0;
            while stream.recv().await?.is_some() {
                taken += 1;
                if taken % times == 0 {
                    stream.send(()).await?;
                }
            }
            Ok(())
        }

        /// Allocations for each call.
        pub(crate) fn $call(scale: Scale) -> io::Result<f64> {
            with_child(scale, async |child| {
                let calls = async |times| {
                    for _ in 0..times {
                        child.run($answer($make)).await?;
                    }
                    hatchery::Result::Ok(())
                };
                of_each(scale, child, calls).await
            })
        }

        /// Allocations for each item.
        pub(crate) fn $item(scale: Scale) -> io::Result<f64> {
            with_child(scale, async |child| {
                child
                    .with_context($take(WARM_UP), async |mut cx, ()| {
                        let mut stream = cx.open_stream()?;
                        let items = async |times: u32| {
                            for _ in 0..times.div_ceil(WARM_UP) {
                                for _ in 0..WARM_UP {
                                    stream.send($make).await?;
                                }
                                stream.recv().await?;
                            }
                            hatchery::Result::Ok(())
                        };
                        let times = scale.times.next_multiple_of(WARM_UP);
                        let count = of_each(Scale { times, ..scale }, child, items).await?;
                        stream.close().await?;
                        cx.result().await?;
                        hatchery::Result::Ok(count)
                    })
                    .await
            })
        }
    };
}

counted!(per_call_big, per_item_big, answer_big, take_big, Big, BIG);
counted!(per_call_small, per_item_small, answer_small, take_small, Small, SMALL);

/// How many allocations come with each further time, in this process and the child.
async fn of_each(
    scale: Scale,
    child: &Portal,
    mut work: impl AsyncFnMut(u32) -> hatchery::Result<()>,
) -> hatchery::Result<f64> {
    let mut counts = [0; 3];
    work(WARM_UP).await?;
    for (times, count) in [1, 1, 2].into_iter().zip(&mut counts) {
        let before = counted::allocated().0 + child.run(allocated()).await?.0;
        work(times * scale.times).await?;
        *count = child.run(allocated()).await?.0 + counted::allocated().0 - before;
    }
    // The first was to warm up.
    Ok((counts[2] as f64 - counts[1] as f64) / f64::from(scale.times))
}

//! The same in a tree of actors.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use hatchery::{Context, Portal, Receives, Sends, Starts};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::{Serialize, Serializer};
use smol::Timer;

use crate::blocking::check_total;
use crate::place;
use crate::rows::{SETTLE, Scale, WARM_UP};

/// Bytes that are encoded as such, not one by one.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Owned;
        impl Visitor<'_> for Owned {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        from.deserialize_byte_buf(Owned).map_err(D::Error::custom)
    }
}

/// Runs in the child: moves it to another core.
#[hatchery::endpoint]
async fn move_to(core: usize) -> hatchery::Result<()> {
    place::move_to(core).map_err(hatchery::Error::new)
}

/// Runs in the child: gives back what it got.
#[hatchery::endpoint]
async fn answer(value: [u8; 32]) -> [u8; 32] {
    value
}

/// Runs in the child: gives back each value that it gets.
#[hatchery::context]
async fn answers(
    cx: Context<Starts<()>, Sends<[u8; 32]>, Receives<[u8; 32]>>,
) -> hatchery::Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
    }
    Ok(())
}

/// Runs in the child: counts items.
#[hatchery::context]
async fn count_small(
    cx: Context<Starts<()>, Sends<()>, Receives<[u8; 16]>>,
) -> hatchery::Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut total = 0;
    while stream.recv().await?.is_some() {
        total += 1;
    }
    Ok(total)
}

/// Runs in the child: counts the bytes of items.
#[hatchery::context]
async fn count_large(cx: Context<Starts<()>, Sends<()>, Receives<Bytes>>) -> hatchery::Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut total = 0;
    while let Some(Bytes(bytes)) = stream.recv().await? {
        total += bytes.len() as u64;
    }
    Ok(total)
}

/// Opens a tree of two, and hands the child to `work`.
fn with_child<T>(
    scale: Scale,
    work: impl AsyncFnOnce(&Portal) -> hatchery::Result<T>,
) -> io::Result<T> {
    let result: hatchery::Result<T> = hatchery::run(async {
        hatchery::open_nursery(async |nursery| {
            let child = nursery.start_actor("child").await?;
            if let Some(core) = scale.other_core {
                child.run(move_to(core)).await?;
            }
            let done = work(&child).await?;
            child.cancel().await?;
            Ok(done)
        })
        .await
    });
    result.map_err(io::Error::other)
}

/// Calls of 32 bytes each way: how long each takes.
pub(crate) fn call_round_trip(scale: Scale) -> io::Result<Duration> {
    with_child(scale, async |child| {
        let mut value = [7; 32];
        let mut began = Instant::now();
        for time in 0..WARM_UP + scale.times {
            if time == WARM_UP {
                began = Instant::now();
            }
            value = child.run(answer(value)).await?;
        }
        Ok(began.elapsed() / scale.times)
    })
}

/// Values of 32 bytes to and fro on a stream: how long each takes.
pub(crate) fn stream_round_trip(scale: Scale) -> io::Result<Duration> {
    with_child(scale, async |child| {
        child
            .with_context(answers(), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                let mut value = [7; 32];
                let mut began = Instant::now();
                for time in 0..WARM_UP + scale.times {
                    if time == WARM_UP {
                        began = Instant::now();
                    }
                    stream.send(value).await?;
                    value = stream.recv().await?.unwrap_or_default();
                }
                let took = began.elapsed() / scale.times;
                stream.close().await?;
                cx.result().await?;
                hatchery::Result::Ok(took)
            })
            .await
    })
}

/// How long items of 16 bytes take, until the child has counted them.
pub(crate) fn small_items(scale: Scale) -> io::Result<Duration> {
    let (took, total) = with_child(scale, async |child| {
        child
            .with_context(count_small(), async |mut cx, ()| {
                let stream = cx.open_stream()?;
                let began = Instant::now();
                for _ in 0..scale.times {
                    stream.send([7; 16]).await?;
                }
                stream.close().await?;
                let total = cx.result().await?;
                hatchery::Result::Ok((began.elapsed(), total))
            })
            .await
    })?;
    check_total(total, scale.times.into()).map(|()| took)
}

/// How long items of 64 KiB take, until the child has counted their bytes.
pub(crate) fn large_items(scale: Scale) -> io::Result<Duration> {
    let (took, total) = with_child(scale, async |child| {
        child
            .with_context(count_large(), async |mut cx, ()| {
                let stream = cx.open_stream()?;
                let began = Instant::now();
                for _ in 0..scale.times {
                    stream.send(Bytes(vec![7; 65_536])).await?;
                }
                stream.close().await?;
                let total = cx.result().await?;
                hatchery::Result::Ok((began.elapsed(), total))
            })
            .await
    })?;
    check_total(total, u64::from(scale.times) * 65_536).map(|()| took)
}

/// How long an actor takes from being started to being up.
pub(crate) fn spawn(scale: Scale) -> io::Result<Duration> {
    let result: hatchery::Result<Duration> = hatchery::run(async {
        hatchery::open_nursery(async |nursery| {
            let mut took = Duration::ZERO;
            for _ in 0..scale.times {
                let began = Instant::now();
                let child = nursery.start_actor("child").await?;
                took += began.elapsed();
                child.cancel().await?;
            }
            Ok(took / scale.times)
        })
        .await
    });
    result.map_err(io::Error::other)
}

/// What an idle child has to itself, in KiB.
pub(crate) fn memory(scale: Scale) -> io::Result<f64> {
    of_idle(scale, place::private_dirty)
}

/// How many threads an idle child has.
pub(crate) fn threads(scale: Scale) -> io::Result<f64> {
    of_idle(scale, place::threads)
}

fn of_idle(scale: Scale, look: fn(u32) -> io::Result<f64>) -> io::Result<f64> {
    with_child(scale, async |child| {
        Timer::after(SETTLE).await;
        look(child.id().pid).map_err(hatchery::Error::new)
    })
}

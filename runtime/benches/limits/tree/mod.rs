//! The same in a tree of actors: the child that everything is measured with, and what it can be
//! asked to do.

use std::io;

use hatchery::{Options, Portal};

use crate::bars::Scale;
use crate::{counted, place};

pub(crate) mod cancels;
pub(crate) mod counts;
pub(crate) mod lives;
pub(crate) mod many;
#[cfg(feature = "parker")]
pub(crate) mod spinning;
pub(crate) mod streams;
pub(crate) mod talk;

/// Runs in the child: moves it to another core.
#[hatchery::endpoint]
async fn move_to(core: usize) -> hatchery::Result<()> {
    place::move_to(core).map_err(hatchery::Error::new)
}

/// Runs in the child: how often it has allocated, and how much more it holds, since it was asked
/// first.
#[hatchery::endpoint]
async fn allocated() -> (u64, i64) {
    counted::allocated()
}

/// Opens a tree of two, and hands the child to `work`.
fn with_child<T>(
    scale: Scale,
    work: impl AsyncFnOnce(&Portal) -> hatchery::Result<T>,
) -> io::Result<T> {
    with_child_of(Options::new(), scale, work)
}

/// The same in a tree of these options.
fn with_child_of<T>(
    options: Options,
    scale: Scale,
    work: impl AsyncFnOnce(&Portal) -> hatchery::Result<T>,
) -> io::Result<T> {
    let result: hatchery::Result<T> = hatchery::run_with(options, async {
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

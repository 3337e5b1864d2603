//! One idea: one actor, many threads. A program with an executor of its own on several threads opens
//! the root once, and nurseries wherever it likes.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use async_executor::Executor;
use futures_lite::future;
use hatchery::{Error, Options, Result, open_root_actor};

#[path = "embedding/tree.rs"]
mod tree;

fn main() -> Result<()> {
    hatchery::init();
    let executor = Executor::new();
    let (end, ended) = async_channel::bounded::<()>(1);
    let sums = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| future::block_on(executor.run(ended.recv())));
        }
        let sums = future::block_on(open_root_actor(Options::new(), async |_root| {
            let tasks =
                [(3, 4), (5, 12), (8, 15)].map(|(a, b)| executor.spawn(tree::sum_of_squares(a, b)));
            let mut sums = Vec::new();
            for task in tasks {
                sums.push(task.await?);
            }
            // And from a thread that belongs to no executor.
            let (tell, told) = async_channel::bounded(1);
            scope.spawn(move || tell.send_blocking(future::block_on(tree::sum_of_squares(7, 24))));
            sums.push(told.recv().await.map_err(Error::new)??);
            Ok::<_, Error>(sums)
        }));
        drop(end);
        sums
    })?;
    println!("{sums:?}");
    Ok(())
}

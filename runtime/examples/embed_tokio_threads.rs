//! One idea: hatchery in a program on tokio with several threads: a nursery is a task like any other,
//! and moves between them.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "embedding/tree.rs"]
mod tree;

fn main() -> hatchery::Result<()> {
    hatchery::init();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.map_err(hatchery::Error::new)?;
    let sum = tokio.block_on(async {
        let task = tokio::spawn(tree::sum_of_squares(3, 4));
        task.await.map_err(hatchery::Error::new)?
    })?;
    println!("{sum}");
    Ok(())
}

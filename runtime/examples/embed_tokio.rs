//! One idea: hatchery in a program on tokio, on one thread. It is driven by whoever polls it, and its
//! sockets by a reactor of their own: tokio need not know.
//!
//! The runtime is made by hand, so that an actor, which is this program too, does not make one.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "embedding/tree.rs"]
mod tree;

fn main() -> hatchery::Result<()> {
    hatchery::init();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.map_err(hatchery::Error::new)?;
    let sum = tokio.block_on(async {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        tree::sum_of_squares(3, 4).await
    })?;
    println!("{sum}");
    Ok(())
}

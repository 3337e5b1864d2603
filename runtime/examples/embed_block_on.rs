//! One idea: hatchery needs no executor at all. Any `block_on` will do, one root after another.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "embedding/tree.rs"]
mod tree;

fn main() -> hatchery::Result<()> {
    hatchery::init();
    for (a, b) in [(3, 4), (5, 12)] {
        // A root actor of its own each time, which has ended with everything below it by then.
        println!("{}", futures_lite::future::block_on(tree::sum_of_squares(a, b))?);
    }
    Ok(())
}

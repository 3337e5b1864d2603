//! One idea: hatchery in a program on smol. A nursery's future runs wherever it is polled, here as a
//! task of smol's global executor; the first one opens the root actor.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "embedding/tree.rs"]
mod tree;

fn main() -> hatchery::Result<()> {
    // First thing: in a process that was started as an actor it does not return.
    hatchery::init();
    let sum = smol::block_on(smol::spawn(tree::sum_of_squares(3, 4)))?;
    println!("{sum}");
    Ok(())
}

//! One idea: hatchery in a program on async-std. Its attribute is fine, as long as the first thing in
//! `main` is `hatchery::init()`: an actor lives there and never comes to what follows.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "embedding/tree.rs"]
mod tree;

#[async_std::main]
async fn main() -> hatchery::Result<()> {
    hatchery::init();
    let sum = async_std::task::spawn(tree::sum_of_squares(3, 4)).await?;
    println!("{sum}");
    Ok(())
}

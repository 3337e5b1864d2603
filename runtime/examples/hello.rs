//! One idea: a child is a process of its own, and calling it reads like calling a function.
//!
//! Prints `hello from greeter`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::process;

/// Runs in whichever process it is called on.
#[hatchery::endpoint]
async fn greet(name: String) -> (String, u32) {
    (format!("hello from {name}"), process::id())
}

#[hatchery::main]
async fn main() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery| {
        let greeter = nursery.start_actor("greeter").await?;
        let (greeting, pid) = greeter.run(greet(greeter.id().name)).await?;
        assert_ne!(pid, process::id(), "the greeting comes from another process");
        println!("{greeting}");
        greeter.cancel().await
    })
    .await // here the child has ended and been reaped
}

//! A root in debug mode with an actor that has one of its own, which takes the terminal, prints `has`,
//! gives it back once there is a file, and then waits. It prints `gone` when its task is over. The
//! subject of tests that end a tree while somebody has the terminal; the budget of a teardown is 400 ms.
//!
//! `held DOES FILE`: once the terminal is had the root, for `DOES`, `waits` for ever, `fails`, or
//! `cancels` itself.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;
use std::time::Duration;

use hatchery::testing::{hold_terminal, terminal_is_wanted_by};
use hatchery::{Error, Nursery, Options, Result, cancel_soon, open_nursery};
use hatchery_tests::sign::raised;

struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        println!("gone");
    }
}

#[hatchery::endpoint]
async fn holds(gives: String) -> Result<()> {
    let _gone = Gone;
    let held = hold_terminal("a program").await?;
    println!("has");
    raised(&gives).await;
    drop(held);
    pending().await
}

#[hatchery::endpoint]
async fn middle(gives: String) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("leaf", holds(gives)).await?;
        Ok(())
    })
    .await
}

fn options() -> Options {
    Options::new().debug(true).teardown(Duration::from_millis(400))
}

#[hatchery::main(options = options())]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or_else(|| Error::message("held DOES FILE"));
    let (does, gives) = (next()?, next()?);
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("middle", middle(gives)).await?;
        terminal_is_wanted_by(1).await;
        match does.as_str() {
            "fails" => return Err(Error::message("the root fails")),
            "cancels" => cancel_soon()?,
            _ => {}
        }
        pending().await
    })
    .await
}

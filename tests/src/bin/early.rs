//! A root whose child stops itself before it has come to the library, and is let go on by others, if
//! at all. Then it prints `up` and waits.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use futures_lite::future;
use hatchery::{Result, open_nursery};
use rustix::process::{Signal, getpid, kill_process};

const NAME: &str = "early";

fn main() -> Result<()> {
    if std::env::var("HATCHERY_NAME").is_ok_and(|name| name == NAME) {
        kill_process(getpid(), Signal::STOP).expect("a signal to itself");
    }
    hatchery::init();
    println!("begin");
    hatchery::run(open_nursery(async |nursery| {
        nursery.start_actor(NAME).await?;
        println!("up");
        future::pending().await
    }))
}

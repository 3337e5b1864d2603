//! Two roots, one after the other, each of which waits for a signal and takes its time to clean up;
//! then none, and the process waits.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;
use std::time::Duration;

use hatchery::{Result, cancel_scope, open_nursery, shield};

fn main() {
    hatchery::init();
    for turn in ["first", "second"] {
        let ended: Result<()> = hatchery::run(open_nursery(async |nursery| {
            nursery.start_actor("idle").await?;
            println!("{turn} is up");
            let waits = cancel_scope(async |_scope| pending::<Result<()>>().await);
            let ended = waits.await;
            shield(async_io::Timer::after(Duration::from_millis(20))).await;
            println!("{turn} cleaned up");
            ended.map(drop)
        }));
        assert!(ended.is_err_and(|error| error.cancelled().is_some()));
    }
    println!("no root");
    loop {
        std::thread::park();
    }
}

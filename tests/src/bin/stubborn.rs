//! A root whose actor hears nothing: it blocks its thread. Prints `ready`, and `cancelled` when its
//! main task is dropped. An argument is the budget of teardowns, in milliseconds; a second one a file
//! whose end makes it drop its nursery as it is.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures_lite::FutureExt as _;
use hatchery::{Context, Options, Receives, Result, Sends, Starts, open_nursery};
use hatchery_tests::sign::until;

#[hatchery::context]
async fn blocks(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> Result<()> {
    let started = cx.started(()).await?;
    drop(started);
    loop {
        std::thread::park();
    }
}

struct Cancelled;

impl Drop for Cancelled {
    fn drop(&mut self) {
        println!("cancelled");
    }
}

fn options() -> Options {
    let budget = std::env::args().nth(1).and_then(|millis| millis.parse().ok());
    let budget = budget.map(Duration::from_millis);
    budget.map_or_else(Options::new, |budget| Options::new().teardown(budget))
}

mod root {
    use super::*;

    #[hatchery::main(options = super::options())]
    pub(super) async fn main() -> Result<()> {
        let gate = std::env::args().nth(2);
        let dropped = async {
            let Some(gate) = gate else { return pending().await };
            until("the gate is open", || !Path::new(&gate).exists()).await;
            Ok(())
        };
        let block = open_nursery(async |nursery| {
            let _cancelled = Cancelled;
            let worker = nursery.start_actor("worker").await?;
            let (_cx, ()) = worker.open_context(blocks()).await?;
            println!("ready");
            pending().await
        });
        block.or(dropped).await
    }
}

fn main() -> ExitCode {
    hatchery_tests::strike::tell_last_steps_when_asked();
    root::main()
}

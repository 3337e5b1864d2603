//! A root in whose nursery processes wait. Its argument says what becomes of them:
//! - `holds`: three wait and one is an actor; prints `ready`, and waits for ever.
//! - `fills`: it prints `ready` as soon as the first of many is being started, and waits for ever.
//! - `drops`: its block is dropped as it is, with three that wait and one on its way.
//! - `dies`: what is to wait ends before it is anything, and adds a byte to the file that is the second
//!   argument of the root; prints the error, how often that was, and `up` when an actor is.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "what it prints is its result")]

use std::env;
use std::fs::{self, OpenOptions};
use std::future::pending;
use std::io::Write as _;
use std::process::ExitCode;

use futures_lite::FutureExt as _;
use hatchery::{Error, Nursery, Result, open_nursery};
use hatchery_tests::worker::alive;

/// The file that whoever dies at its start adds to.
const DEATHS: &str = "WAITING_DEATHS";

mod root {
    use super::*;

    #[hatchery::main]
    pub(super) async fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            Some("fills") => open_nursery(fills).await,
            Some("drops") => {
                let block = open_nursery(async |nursery: Nursery| {
                    nursery.warm(3)?;
                    nursery.warmed().await?;
                    nursery.warm(4)
                });
                // It is in its block's end or before it when it is dropped.
                block.or(async { Ok(()) }).await
            }
            Some("dies") => open_nursery(dies).await,
            _ => open_nursery(holds).await,
        }
    }
}

async fn holds(nursery: Nursery) -> Result<()> {
    nursery.warm(3)?;
    nursery.warmed().await?;
    nursery.start_actor("worker").await?;
    nursery.warmed().await?;
    println!("ready");
    pending().await
}

async fn fills(nursery: Nursery) -> Result<()> {
    nursery.warm(200)?;
    println!("ready");
    pending().await
}

async fn dies(nursery: Nursery) -> Result<()> {
    let deaths = env::var(DEATHS).map_err(Error::new)?;
    nursery.warm(2)?;
    let error = nursery.warmed().await.expect_err("none lives");
    println!("{error}\n{error:?}");
    println!("deaths {}", fs::read(&deaths).map_err(Error::new)?.len());
    let worker = nursery.start_actor("worker").await?;
    if worker.run(alive()).await? {
        println!("up");
    }
    worker.cancel().await
}

fn main() -> ExitCode {
    let deaths =
        env::var_os(DEATHS).filter(|_| env::var("HATCHERY_NAME").is_ok_and(|n| n == "waiting"));
    if let Some(deaths) = deaths {
        let file = OpenOptions::new().append(true).create(true).open(deaths);
        file.and_then(|mut file| file.write_all(b".")).expect("a place for it");
        eprintln!("no luck");
        return ExitCode::from(7);
    }
    root::main()
}

//! One idea: an error from deep down a tree arrives at the root whole, and says how it got there.
//!
//! The root starts `middle`, `middle` starts `leaf`, and the drawer that the root asks for is not
//! in the leaf. Prints what the root then knows, and exits with 0, since that is what it expects.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error, fmt};

use serde::{Deserialize, Serialize};

/// What the leaf has to say. Any error will do that serde can carry.
#[derive(Debug, Serialize, Deserialize)]
struct NoSuchDrawer(String);

impl fmt::Display for NoSuchDrawer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no drawer {:?}", self.0)
    }
}

impl error::Error for NoSuchDrawer {}

/// Runs in `leaf`.
#[hatchery::endpoint]
async fn open_drawer(drawer: String) -> Result<String, NoSuchDrawer> {
    Err(NoSuchDrawer(drawer))
}

/// Runs in `middle`, which is to its own child what the root is to it.
#[hatchery::endpoint]
async fn ask_a_leaf(drawer: String) -> hatchery::Result<String> {
    hatchery::open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let found = leaf.run(open_drawer(drawer)).await?;
        leaf.cancel().await?;
        Ok(found)
    })
    .await
}

#[hatchery::main]
async fn main() -> hatchery::Result<()> {
    let asked: hatchery::Result<String> = hatchery::open_nursery(async |nursery| {
        let middle = nursery.start_actor("middle").await?;
        let found = middle.run(ask_a_leaf("a/b/c".into())).await?;
        middle.cancel().await?;
        Ok(found)
    })
    .await;
    let Err(error) = asked else {
        return Err(hatchery::Error::message("the drawer is not there, and yet it was found"));
    };
    println!("{error}");
    let report = error.report();
    println!("  type {}", report.type_name);
    println!("  from {}", report.origin.name);
    for hop in &report.hops {
        println!("  through {} in {}", hop.task, hop.actor.name);
    }
    Ok(())
}

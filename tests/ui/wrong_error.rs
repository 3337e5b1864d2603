//! The error of a call is the one that its endpoint declares, and one that can be sent.

use std::fmt;

use hatchery::{CallError, Portal};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Broke;

impl fmt::Display for Broke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it broke")
    }
}

impl std::error::Error for Broke {}

#[derive(Debug)]
struct Bare;

#[hatchery::endpoint]
async fn breaks() -> Result<u32, Broke> {
    Err(Broke)
}

#[hatchery::endpoint]
async fn cannot_be_sent() -> Result<u32, Bare> {
    Err(Bare)
}

async fn runs(portal: &Portal) -> Result<u32, CallError<std::num::ParseIntError>> {
    let ended: Result<u32, Broke> = portal.run(breaks()).await;
    drop(ended);
    portal.run(breaks()).await
}

fn main() {}

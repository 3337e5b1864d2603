//! A program to be started as an actor by another one, whose endpoints it has built from other
//! signatures, or not at all.

use std::collections::BTreeMap;

/// The one that asks has this with two numbers.
#[hatchery::endpoint(name = "misuse::add")]
async fn add(a: u64) -> u64 {
    a
}

/// Of the same signature on both sides.
#[hatchery::endpoint(name = "misuse::double")]
async fn double(a: u64) -> u64 {
    a * 2
}

/// Written as on the other side, and something else, so that only the arguments' bytes can tell.
type Body = String;

#[hatchery::endpoint(name = "misuse::text")]
async fn text(body: Body) -> u64 {
    body.len() as u64
}

/// Nobody else has this one: it can only be called by its name.
#[hatchery::endpoint]
async fn greets(names: Vec<String>, times: u32) -> BTreeMap<String, u32> {
    names.into_iter().map(|name| (name, times)).collect()
}

/// The same, and it fails.
#[hatchery::endpoint]
async fn fails(number: String) -> hatchery::Result<u64> {
    number.parse().map_err(hatchery::Error::new)
}

#[hatchery::main]
async fn main() -> hatchery::Result<()> {
    Err(hatchery::Error::message("this program is only good as an actor of another one"))
}

//! One idea: a program that serves others of this user, which find it by name. It is the registrar of
//! that name's place, or joins the one that is there, and ends with Ctrl-C or when a peer ends it.
//!
//! `daemon [PLACE]`; then, elsewhere, `client [PLACE]`. Prints `serving` once it can be found.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "dictionary/words.rs"]
mod words;

use hatchery::{Options, Result, local_address, run_daemon};
use words::meaning;

fn main() -> Result<()> {
    hatchery::init();
    let place = std::env::args().nth(1).unwrap_or_else(|| "dictionary".to_owned());
    let options = Options::new().name("dictionary").expose::<meaning>();
    run_daemon(options.registry(local_address(&place)?), || println!("serving"))
}

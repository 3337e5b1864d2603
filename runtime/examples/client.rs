//! One idea: a program that finds a daemon by name and asks it. The daemon lives on.
//!
//! `client [PLACE [WORD…]]`; prints what each word means.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "dictionary/words.rs"]
mod words;

use hatchery::{Error, Options, Portal, Result, local_address, run_with, with_actor};
use words::meaning;

fn main() -> Result<()> {
    hatchery::init();
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "dictionary".to_owned());
    let words: Vec<_> = arguments.collect();
    let options = Options::new().name("client").join_registry(local_address(&place)?);
    run_with(options, async {
        let asked = with_actor("dictionary", async |dictionary: Portal| {
            for word in words {
                let known = dictionary.run(meaning(word.clone())).await?;
                println!("{word}: {}", known.as_deref().unwrap_or("not known"));
            }
            Ok::<_, Error>(())
        });
        asked.await?.ok_or_else(|| Error::message("no dictionary is to be found"))
    })
}

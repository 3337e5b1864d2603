//! One idea: looking into a task while it runs. In debug mode, `pause!` opens a prompt on the terminal of
//! the root, whichever process the task is in, and so does the error at the end. `help` says what can be
//! asked there, and `c` goes on. Where there is no terminal, it runs through.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;

use hatchery::{Nursery, Options, Result, open_nursery};

/// Counts words, for somebody who wants to see how.
#[hatchery::endpoint]
async fn count(text: String) -> Result<BTreeMap<String, u32>> {
    let mut found = BTreeMap::new();
    for word in text.split_whitespace() {
        hatchery::pause!(word, &found).await?;
        *found.entry(word.to_owned()).or_insert(0) += 1;
    }
    Ok(found)
}

fn main() -> Result<()> {
    hatchery::init();
    let options = Options::new().debug(true);
    let counted = hatchery::run_with(options, async {
        open_nursery(async |nursery: Nursery| {
            let counter = nursery.start_actor("counter").await?;
            let counted = counter.run(count("to be or not to be".to_owned())).await?;
            counter.cancel().await?;
            Ok::<_, hatchery::Error>(counted)
        })
        .await
    })?;
    for (word, times) in counted {
        println!("{word} {times}");
    }
    Ok(())
}

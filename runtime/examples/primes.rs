//! One idea: a pool of workers for work that fills a processor. Which of these numbers are prime? Each
//! is asked of whichever worker is free; the answers come in the order of the questions.
//!
//! `primes [FROM] [COUNT]`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use futures_lite::StreamExt;
use hatchery::{Error, Result, open_pool};

/// By trial division, to keep a processor busy.
#[hatchery::endpoint]
async fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[hatchery::main]
async fn main() -> Result<()> {
    let argument = |place, otherwise| match std::env::args().nth(place) {
        Some(text) => text.parse().map_err(Error::new),
        None => Ok(otherwise),
    };
    let (from, count): (u64, u64) = (argument(1, 112_272_535_095_000)?, argument(2, 200)?);
    let workers = std::thread::available_parallelism().map_err(Error::new)?;
    open_pool(workers.get(), async |pool| {
        let numbers = from..from.saturating_add(count);
        let mut answers = pool.in_order(numbers.map(is_prime));
        while let Some((place, answer)) = answers.next().await {
            if answer? {
                println!("{}", from + place as u64);
            }
        }
        Ok(())
    })
    .await
}

//! A registrar that says who comes and goes: for tests of programs that meet.
#![allow(clippy::print_stdout, reason = "what it is for")]

use hatchery::{Change, Options, Result, get_registry, local_address, run_with};

fn main() -> Result<()> {
    hatchery::init();
    let options = Options::new().name("registrar").found_registry(local_address("dictionary")?);
    let ended: Result<()> = run_with(options, async {
        let mut watching = get_registry()?.remove(0).watch(None).await?;
        loop {
            match watching.recv().await? {
                Change::Came(one) => println!("{} came", one.id.name),
                Change::Went(uuid) => println!("{uuid:x} went"),
                Change::Missed => println!("missed some"),
            }
        }
    });
    match ended {
        Err(error) if matches!(error.kind(), hatchery::ErrorKind::Cancelled(_)) => Ok(()),
        ended => ended,
    }
}

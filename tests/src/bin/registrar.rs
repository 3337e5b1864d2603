//! A registrar that says when it serves, and who comes and goes: for tests of programs that meet. Its
//! argument is the name of its place; `dictionary` where there is none.
#![allow(clippy::print_stdout, reason = "what it is for")]

use hatchery::{Change, Options, Result, get_registry, local_address, run_with};

fn main() -> Result<()> {
    hatchery::init();
    let place = std::env::args().nth(1).unwrap_or_else(|| "dictionary".to_owned());
    let options = Options::new().name("registrar").found_registry(local_address(&place)?);
    let ended: Result<()> = run_with(options, async {
        let mut watching = get_registry()?.remove(0).watch(None).await?;
        println!("serving");
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

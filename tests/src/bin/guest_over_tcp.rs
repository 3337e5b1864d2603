//! A program that comes into another one's tree over a network, with the credentials on its standard
//! input, or with none.
#![allow(clippy::print_stdout, reason = "what it is for")]

use std::io::IsTerminal as _;

use hatchery::{Address, Credentials, Error, Options, Result, find_actor, run_with};

fn main() -> Result<()> {
    hatchery::init();
    let place = std::env::args().nth(1).unwrap_or_default();
    let place: Address = place.parse().map_err(Error::new)?;
    let mut options = Options::new().name("guest").join_registry(place);
    assert!(!std::io::stdin().is_terminal(), "credentials come by a pipe");
    let given = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned();
    match Credentials::read_from(given.map_err(Error::new)?) {
        Ok(credentials) => options = options.credentials(credentials),
        Err(error) => tracing::debug!(%error, "it comes with keys of its own"),
    }
    run_with(options, async {
        let found = find_actor("serves").await?;
        let serves = found.ok_or_else(|| Error::message("nobody is found"))?;
        println!("{}", serves.call_named::<u64>("networks::doubled", (4_u64,)).await?);
        Ok(())
    })
}

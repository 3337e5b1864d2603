//! What costs less where actors look for an answer for a while before they sleep: `Options::spin`.

use std::io;
use std::time::Duration;

use hatchery::{Error, Options};

use super::talk::round_trips;
use super::with_child_of;
use crate::bars::Scale;
use crate::blocking::SPIN;
use crate::place;

/// Calls of 32 bytes each way: how long each takes.
pub(crate) fn call_round_trip(scale: Scale) -> io::Result<Duration> {
    let own = place::cores().last().copied();
    // Each end is kept to its core only once it has been asked how many it may use.
    place::let_go()?;
    with_child_of(Options::new().spin(SPIN), scale, async |child| {
        own.map_or(Ok(()), place::move_to).map_err(Error::new)?;
        round_trips(child, scale).await
    })
}

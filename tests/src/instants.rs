//! Made-up times for tests of the core, which has no clock, and who asks for an end at them.

use std::time::Duration;

use hatchery_proto::{ActorId, Cancelled, Cause, Instant};

/// When a test begins.
pub const T0: Instant = Instant::from_micros(1_000_000);

/// So many milliseconds.
#[must_use]
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many milliseconds behind the beginning.
#[must_use]
pub fn at(millis: u64) -> Instant {
    T0 + ms(millis)
}

/// That an actor told by this number has asked for an end.
#[must_use]
pub fn by(uuid: u128) -> Cancelled {
    let canceller = ActorId { name: format!("actor-{uuid}"), uuid, pid: 1 };
    Cancelled { canceller, cause: Cause::Asked }
}

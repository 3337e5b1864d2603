//! Proof that the core needs no standard library, on a machine that has only its own target.
//!
//! A static library is a whole program as far as the compiler is concerned: it must have exactly
//! one panic handler and one allocator. Both are here. Were anything below the core to use `std`,
//! its panic handler would be a second one, and this package would not build.
//!
//! Nothing else lives here. With a bare-metal target installed,
//! `cargo build -p hatchery-proto --target x86_64-unknown-none` shows the same.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use core::panic::PanicInfo;

use hatchery_proto::{ActorId, Config, Connection, Instant, Limits, LinkKind, Role};
use static_alloc::Bump;

#[global_allocator]
static HEAP: Bump<[u8; 1 << 16]> = Bump::uninit();

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Greets a peer, and says how many bytes that took: a use of the core, so that it is linked.
#[must_use]
pub extern "C" fn greet() -> usize {
    let config = Config {
        kind: LinkKind::Peer,
        role: Role::Even,
        me: ActorId::default(),
        limits: Limits::default(),
    };
    let mut out = Vec::new();
    let now = Instant::default();
    Connection::new(config, now).poll_transmit(now, &mut out, 4096)
}

//! The protocol core of hatchery, as pure state machines.
//!
//! What two linked actors may say to each other, what a nursery and the teardown of a child come to,
//! and whom a cancel reaches first: every rule about what may happen next is decided here. No clock,
//! no I/O, no randomness, no threads; `no_std` with `alloc`.
//!
//! # How to drive it
//! Every machine has four groups of methods. **Looks** tell its state. **Facts** (`handle_*`) say
//! what has happened: bytes arrived, a process ended, it is now. **Wishes** are what its user wants.
//! **Out** (`poll_*`) is what follows: bytes to write, notices, the next deadline. Any order of calls
//! is legal and spurious ones do nothing; drain the `poll_*` of a machine after anything else.
//!
//! # The rooms
//! - [`wire`]: bytes to frames and back.
//! - [`dialog`]: one dialog as a pure value, made of small declared tables.
//! - [`connection`]: all dialogs of one link, its greeting, its order of writing, its end.
//! - [`nursery`]: children as a set, and the [`ladder`](nursery::ladder) that ends one.
//! - [`registrar`]: who is registered under which name, who waits for one.
//! - [`tty`]: who has the terminal for debugging, and who waits for it.
//! - [`actor`]: the scopes of one actor, and whom a cancel reaches first; its links by peer.
//! - [`address`], [`report`], [`error`], [`id`], [`limits`], [`passed`],
//!   [`mod@slice`], [`time`]: plain data.
//!
//! Rooms import downwards only: `wire` < `dialog` < `connection` < `actor`; `nursery`, `registrar` and
//! `tty` stand beside `connection`. Rule ids (`P-…`) name the rules of `SPEC.md` beside this crate's sources.
//!
//! # Invariants
//! 1. Every dialog ends exactly once on each side.
//! 2. Nothing that a peer sends panics, recurses, or makes memory grow beyond the announced limits.
//! 3. After `handle_timeout(t)` the next deadline is later than `t`, or there is something to poll.
//! 4. A refused wish has changed nothing.

#![no_std]
#![forbid(unsafe_code)]
// P-A5: nothing that a peer says can end in one of these.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable
    )
)]

extern crate alloc;

mod table;

pub mod actor;
pub mod address;
pub mod connection;
pub mod dialog;
pub mod error;
pub mod id;
pub mod limits;
pub mod nursery;
pub mod passed;
pub mod registrar;
pub mod report;
pub mod slice;
pub mod time;
pub mod tty;
pub mod wire;

pub use address::{Address, NoAddress};
pub use connection::{
    Callee, Caller, Config, Connection, Event, Gather, GoodbyeReason, Ledger, LinkKind, Names,
    Note, Recv, Stance, Standing, StartWish, Terminal, Values, Why,
};
pub use dialog::{Incoming, Kind, Overrun};
pub use error::{Misuse, NotPassed, SendError, Violation};
pub use id::{ActorId, DialogId, LinkId, Role};
pub use limits::{Capacity, Limits};
pub use passed::{Handle, Missing, Passed};
pub use report::{
    Also, CancelRequest, Cancelled, Cause, Code, ExitReport, ExitStatus, Failure, Hop, Location,
    LostCause, Outcome, Refusal, Report, Rung, Usage,
};
pub use time::Instant;

//! Everything that touches the operating system, and nothing else: it reports facts and carries
//! out what others decide. It knows the protocol core, and nobody whom users see.

pub(crate) mod adopter;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod dump;
pub(crate) mod entry;
pub(crate) mod greeting;
pub(crate) mod handover;
pub(crate) mod identity;
pub(crate) mod launcher;
pub(crate) mod link;
#[cfg(all(feature = "parker", target_os = "linux"))]
pub(crate) mod parker;
pub(crate) mod patience;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod reactor;
pub(crate) mod readiness;
pub(crate) mod signal;
pub(crate) mod spawner;
mod stacks;
pub(crate) mod terminal;
#[cfg_attr(
    not(feature = "quic"),
    allow(
        dead_code,
        reason = "streams of a network are only for who can prove who is at their ends"
    )
)]
pub(crate) mod transport;
pub(crate) mod watch;
pub(crate) mod way;

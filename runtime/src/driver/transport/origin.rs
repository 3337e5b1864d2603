//! Where a connection comes from, as the system tells. Another user is recognised here; what a process
//! or a host may do is judged elsewhere.

use std::net::SocketAddr;
use std::os::fd::AsFd;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A process of this machine and of this user, as it was when it connected or began to listen.
    Process {
        /// Its number, as this process sees it.
        pid: u32,
        /// Its effective user.
        uid: u32,
    },
    /// An address, which proves nothing.
    Network(SocketAddr),
    /// The member of the tree whose certificate has this uuid.
    #[cfg(feature = "tls")]
    Member(u128),
}

/// Why a connection is not spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// It is of another user.
    User(u32),
    /// It cannot be told whose it is: the peer lives in a pid namespace that this process does not see.
    Unknown,
}

/// This process's effective user.
pub(crate) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The process at the other end of a Unix socket.
///
/// # Errors
///
/// Tells a process of another user, root included.
pub(crate) fn process(socket: impl AsFd) -> Result<Origin, Stranger> {
    // A peer without a number has no credentials here, and what the error says then is nothing.
    let peer = rustix::net::sockopt::socket_peercred(socket).map_err(|_| Stranger::Unknown)?;
    let uid = peer.uid.as_raw();
    if uid != own_user() {
        return Err(Stranger::User(uid));
    }
    Ok(Origin::Process { pid: peer.pid.as_raw_pid().unsigned_abs(), uid })
}

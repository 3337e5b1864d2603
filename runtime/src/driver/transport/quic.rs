//! Links over QUIC: UDP, with the same proofs of who is there as over TLS, and one stream for each link.
//!
//! The protocol is quinn's core, which does no input and output; here is the socket that it speaks through,
//! and the future that moves the datagrams, which the caller's own executor polls. Nothing is spawned.
//!
//! - The end that was dialed opens the one stream, once the other has proven who it is, and its first byte
//!   tells the other so. Any other stream, of any kind, and any unreliable datagram is against what was
//!   agreed on, and ends the connection.
//! - Nothing times out but a handshake and a last farewell: whether the other end is there is asked by the
//!   link's own pings.
//! - A handshake with an address that nobody has seen to receive anything costs a peer nothing, so only so
//!   many may be under way; above a part of that, a peer has to come back from its address first (Retry).
//! - Neither end may change its address.

mod ends;
mod link;
mod settings;
mod state;
mod stream;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use event_listener::{Event as Signal, listener};
use futures_lite::{FutureExt as _, future};

use super::tls::{Keys, Proven, TlsError};
use crate::driver::clock;
use crate::driver::link::lock;
use crate::driver::readiness::{self, Ready};
use state::State;

#[cfg(test)]
use settings::LINGER;
pub(crate) use stream::QuicStream;

/// A socket that is dialed from and that others dial. Dropping it refuses whoever dials from then on, as
/// long as it is driven; the links that there are go on.
#[derive(Debug)]
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// What an endpoint, its driver and its links share.
pub(crate) struct Shared {
    socket: Ready<UdpSocket>,
    state: Mutex<State>,
    /// The driver has to look again.
    rouse: Signal,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Whom somebody has let in.
pub(crate) struct Accepted {
    /// The link's stream.
    pub(crate) stream: QuicStream,
    /// Who is at the other end.
    pub(crate) peer: Proven,
    /// Where that is.
    pub(crate) from: SocketAddr,
}

/// Binds a UDP socket, and says what has to be polled for anything to move: that ends once the endpoint and
/// all of its links are gone, or with an error of the socket's, which ends them.
///
/// # Errors
///
/// What the system says of the address.
pub(crate) fn bind(
    address: SocketAddr,
    keys: &Keys,
) -> io::Result<(Endpoint, impl Future<Output = io::Result<()>> + Send + use<>)> {
    let failed =
        |error: io::Error| io::Error::new(error.kind(), format!("no QUIC on {address}: {error}"));
    let socket = UdpSocket::bind(address).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    let state = State::new(keys, bound).map_err(failed)?;
    let socket = Ready::new(socket).map_err(failed)?;
    let shared = Arc::new(Shared { socket, state: Mutex::new(state), rouse: Signal::new() });
    let driven = shared.clone();
    Ok((Endpoint { shared, address: bound }, async move { driven.drive().await }))
}

impl Endpoint {
    /// Where it is bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for somebody to be let in. Cancel safe: who is not taken by one call is by the next.
    ///
    /// # Errors
    ///
    /// A [`TlsError`] for whoever dialed and was not let in; the next call waits for others.
    pub(crate) async fn accept(&self) -> Result<Accepted, TlsError> {
        let (id, peer, from) =
            poll_fn(|context| self.shared.with(|state, _| state.poll_accept(context.waker())))
                .await?;
        Ok(Accepted { stream: QuicStream::new(self.shared.clone(), id), peer, from })
    }

    /// Dials the actor with the uuid `expected`, or any other member of the tree where that is not known.
    /// When it returns, the other end has taken this one for a member too. `at` is what is dialed, for the
    /// error. Waits for `within` at most, and never longer than any handshake may take; when the future is
    /// dropped, nothing is left of it.
    ///
    /// # Errors
    ///
    /// A [`TlsError`] unless the other end has proven to be who is expected.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        expected: Option<u128>,
        at: &str,
        within: Duration,
    ) -> Result<(QuicStream, Proven), TlsError> {
        let id = self.shared.with(|state, socket| {
            state.dial(address, expected, at, within).inspect(|id| state.settle(*id, socket))
        })?;
        // Dropping it gives the connection up.
        let stream = QuicStream::new(self.shared.clone(), id);
        let peer =
            poll_fn(|context| self.shared.with(|state, _| state.poll_dialed(id, context.waker())))
                .await?;
        Ok((stream, peer))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.with(|state, _| state.end());
        self.shared.rouse.notify(1);
    }
}

impl Shared {
    /// Changes the state, wakes whom that concerns with the lock released, and has the driver look again
    /// where it would come too late.
    fn with<R>(&self, f: impl FnOnce(&mut State, &UdpSocket) -> R) -> R {
        let (value, woken, is_early) = {
            let mut state = lock(&self.state);
            let value = f(&mut state, self.socket.get_ref());
            (value, state.take_woken(), state.is_early())
        };
        woken.into_iter().for_each(Waker::wake);
        if is_early {
            self.rouse.notify(1);
        }
        value
    }

    async fn drive(&self) -> io::Result<()> {
        loop {
            listener!(self.rouse => rouse);
            let turn = self.with(State::turn)?;
            if turn.is_over {
                return Ok(());
            }
            if turn.again {
                future::yield_now().await;
                continue;
            }
            let read = async { self.socket.readable().await };
            let room = async {
                match turn.is_blocked {
                    true => self.socket.writable().await,
                    false => future::pending().await,
                }
            };
            let due = async {
                readiness::due(turn.deadline.map(clock::point)).await;
                Ok(())
            };
            let roused = async {
                rouse.await;
                Ok(())
            };
            read.or(room).or(due).or(roused).await?;
        }
    }
}

/// Nothing yet: whoever asks is woken.
fn pending<T>(slot: &mut Option<Waker>, waker: &Waker) -> Poll<T> {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
    Poll::Pending
}

//! Where this process listens, and who comes in. Tells who that is, and turns away other users; what
//! those who come in may do is judged elsewhere.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hatchery_proto::Address;
use rustix::io::Errno;

use super::carrier::Carrier;
use super::dial::resolve;
use super::origin::{self, Origin, Stranger};
use super::place::{self, File, Place};
use super::trouble::{TransportError, Trouble};
use crate::driver::readiness::Ready;
use crate::driver::{clock, readiness};

const LISTEN: &str = "listening on";
/// How long nobody is let in where the system has nothing left for it: at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];
/// How long the addresses of a host are looked for.
const RESOLVE: Duration = Duration::from_secs(10);

/// Somebody who has come in, or was reached.
pub(crate) struct Arrival {
    /// What a link to it may be opened with.
    pub(crate) carrier: Carrier,
    /// Who it is.
    pub(crate) origin: Origin,
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// An address that is listened on. Dropping it ends that, and removes the file of a socket.
#[derive(Debug)]
pub(crate) struct Listener {
    address: Address,
    // Removed before the socket is closed: see `File`.
    _file: Option<File>,
    socket: Socket,
    /// So many were turned away.
    strangers: AtomicU64,
}

#[derive(Debug)]
enum Socket {
    Unix(Ready<UnixListener>),
    Tcp(Ready<TcpListener>),
}

impl Listener {
    /// Listens on an address at which the system itself tells who comes in.
    ///
    /// A file that nobody listens at any more is taken over. Cancel safe: nothing is left of it.
    ///
    /// # Errors
    ///
    /// Refuses what needs keys: see [`bind_for_keys`](Self::bind_for_keys).
    pub(crate) async fn bind(address: &Address) -> Result<Self, TransportError> {
        match address {
            Address::Unix { path, tls: false } => Self::at(path, address.clone()).await,
            _ => Err(Trouble::Unproven.at(LISTEN, address)),
        }
    }

    /// Listens on an address for somebody who has both ends prove who they are, over each carrier that
    /// arrives, before anything else goes through it. Cancel safe.
    pub(crate) async fn bind_for_keys(address: &Address) -> Result<Self, TransportError> {
        match address {
            Address::Unix { path, .. } => Self::at(path, address.clone()).await,
            Address::Tcp { host, port } => Self::tcp(host, *port, address).await,
            _ => Err(Trouble::Unsupported("it is no stream of bytes").at(LISTEN, address)),
        }
    }

    /// Listens in this user's private directory, under a name that nobody else has. Cancel safe.
    pub(crate) async fn private(place: &Place) -> Result<Self, TransportError> {
        let (socket, file) = place.listen().await?;
        let address = place::address(file.path());
        Self::unix(socket.into(), file, address)
    }

    async fn at(path: &str, address: Address) -> Result<Self, TransportError> {
        let (socket, file) = place::listen_at(Path::new(path)).await?;
        Self::unix(socket.into(), file, address)
    }

    fn unix(socket: UnixListener, file: File, address: Address) -> Result<Self, TransportError> {
        let socket = Ready::new(socket).map_err(|error| at(&address, error.into()))?;
        let socket = Socket::Unix(socket);
        Ok(Self { address, _file: Some(file), socket, strangers: AtomicU64::new(0) })
    }

    async fn tcp(host: &str, port: u16, address: &Address) -> Result<Self, TransportError> {
        let known = resolve(host, port, RESOLVE).await.map_err(|trouble| at(address, trouble))?;
        // The first of them that this machine has.
        let mut last = Trouble::NoHost(ErrorKind::NotFound.into());
        for one in known {
            match TcpListener::bind(one) {
                Ok(socket) => {
                    return Self::over_tcp(socket, host).map_err(|error| at(address, error.into()));
                }
                // Two that want the same are not to have one of its addresses each.
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    return Err(at(address, Trouble::InUse));
                }
                Err(error) => last = error.into(),
            }
        }
        Err(at(address, last))
    }

    fn over_tcp(socket: TcpListener, host: &str) -> io::Result<Self> {
        let port = socket.local_addr()?.port();
        let address = Address::Tcp { host: host.to_owned(), port };
        let socket = Socket::Tcp(Ready::new(socket)?);
        Ok(Self { address, _file: None, socket, strangers: AtomicU64::new(0) })
    }

    /// The address, with the port that was free where any was asked for.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// So many processes of other users have come and were turned away.
    #[allow(dead_code, reason = "tests count them")]
    pub(crate) fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }

    /// Waits for the next who comes in. Where the system has nothing left for another, it waits until
    /// there is: such errors are none here. Cancel safe: whoever came is there for the next call.
    ///
    /// # Errors
    ///
    /// Fails where nobody can come in any more.
    pub(crate) async fn accept(&self) -> Result<Arrival, TransportError> {
        let mut shortage = Shortage::default();
        loop {
            match self.next().await {
                Ok(Some(arrival)) => {
                    shortage.over(&self.address);
                    return Ok(arrival);
                }
                Ok(None) => {}
                Err(error) => match Errno::from_io_error(&error) {
                    // It came and went.
                    Some(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        shortage.wait(&self.address, &error).await;
                    }
                    // Bounded where the network goes on saying so.
                    _ if self.is_networks(&error) => {
                        readiness::until(clock::now() + PAUSE[0]).await
                    }
                    _ => return Err(Trouble::from(error).at("accepting on", &self.address)),
                },
            }
        }
    }

    /// Whether it is an error of the network, of a connection that did not come to be.
    fn is_networks(&self, error: &io::Error) -> bool {
        matches!(self.socket, Socket::Tcp(_))
            && matches!(
                Errno::from_io_error(error),
                Some(
                    Errno::NETDOWN
                        | Errno::NOPROTOOPT
                        | Errno::HOSTDOWN
                        | Errno::NONET
                        | Errno::HOSTUNREACH
                        | Errno::OPNOTSUPP
                        | Errno::NETUNREACH
                        | Errno::TIMEDOUT
                        | Errno::PERM
                )
            )
    }

    async fn next(&self) -> io::Result<Option<Arrival>> {
        match &self.socket {
            Socket::Unix(socket) => {
                let (socket, _) = socket.read_with(UnixListener::accept).await?;
                let origin = origin::process(&socket);
                let arrival = |origin| Arrival { carrier: Carrier::Unix(socket), origin };
                Ok(origin.map(arrival).inspect_err(|stranger| self.turn_away(stranger)).ok())
            }
            Socket::Tcp(socket) => {
                let (socket, from) = socket.read_with(TcpListener::accept).await?;
                let origin = Origin::Network(from);
                Ok(Some(Arrival { carrier: Carrier::Tcp(socket), origin }))
            }
        }
    }

    /// It is told nothing. Not every one is logged: whoever may connect could fill a disk.
    fn turn_away(&self, stranger: &Stranger) {
        let count = self.strangers.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let address = &self.address;
            tracing::warn!(
                target: "hatchery::transport",
                %address, count, ?stranger,
                "somebody else was turned away"
            );
        }
    }
}

fn at(address: &Address, trouble: Trouble) -> TransportError {
    trouble.at(LISTEN, address)
}

/// That the system has nothing left for another connection.
#[derive(Debug, Default)]
struct Shortage {
    pause: Option<Duration>,
}

impl Shortage {
    /// Waits a while, each time longer: it would be told the same at once, and again.
    async fn wait(&mut self, address: &Address, error: &io::Error) {
        let [first, most] = PAUSE;
        if self.pause.is_none() {
            tracing::warn!(
                target: "hatchery::transport",
                %address, %error,
                "nobody is let in until there is room"
            );
        }
        let pause = self.pause.map_or(first, |pause| (pause * 2).min(most));
        self.pause = Some(pause);
        readiness::until(clock::now() + pause).await;
    }

    fn over(&self, address: &Address) {
        if self.pause.is_some() {
            tracing::info!(target: "hatchery::transport", %address, "there is room again");
        }
    }
}

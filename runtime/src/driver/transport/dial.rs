//! How another process is reached. Tells who was reached, and speaks to no other user; what is said is
//! the business of others.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt;
use hatchery_proto::Address;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::carrier::Carrier;
use super::listener::Arrival;
use super::origin::{self, Origin, Stranger};
use super::place;
use super::trouble::{TransportError, Trouble};
use crate::driver::readiness::Ready;
use crate::driver::{clock, readiness};

const CONNECT: &str = "connecting to";
/// Between two attempts where too many wait to be let in already: at first and at most. The system
/// tells nobody when there is room.
const PAUSE: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// Connects to an address at which the system itself tells who is there, at most for `within`. Dropping
/// the future leaves nothing.
///
/// # Errors
///
/// Refuses what needs keys: see [`connect_for_keys`].
pub(crate) async fn connect(
    address: &Address,
    within: Duration,
) -> Result<Arrival, TransportError> {
    match address {
        Address::Unix { path, tls: false } => unix(Path::new(path), within).await,
        _ => Err(Trouble::Unproven),
    }
    .map_err(|trouble| trouble.at(CONNECT, address))
}

/// Connects for somebody who has both ends prove who they are before anything else is said.
pub(crate) async fn connect_for_keys(
    address: &Address,
    within: Duration,
) -> Result<Arrival, TransportError> {
    match address {
        Address::Unix { path, .. } => unix(Path::new(path), within).await,
        Address::Tcp { host, port } => tcp(host, *port, within).await,
        _ => Err(Trouble::Unsupported("it is no stream of bytes")),
    }
    .map_err(|trouble| trouble.at(CONNECT, address))
}

async fn unix(path: &Path, within: Duration) -> Result<Arrival, Trouble> {
    let (to, _directory) = place::reach(path).map_err(absent)?;
    let (end, [mut pause, most]) = (clock::now() + within, PAUSE);
    let socket = loop {
        match place::connect(&to) {
            Ok(socket) => break socket,
            Err(Errno::AGAIN) if clock::now() + pause < end => {
                readiness::until(clock::now() + pause).await;
                pause = (pause * 2).min(most);
            }
            Err(Errno::AGAIN) => return Err(Trouble::Late(within)),
            Err(error) => return Err(absent(error.into())),
        }
    };
    match origin::process(&socket) {
        Ok(origin) => Ok(Arrival { carrier: Carrier::Unix(UnixStream::from(socket)), origin }),
        Err(Stranger::User(user)) => Err(Trouble::Stranger(user)),
        Err(Stranger::Unknown) => Err(Trouble::Unknown),
    }
}

/// Says that nobody listens, where that is what the system says.
fn absent(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::System(error) => match Errno::from_io_error(&error) {
            Some(Errno::CONNREFUSED | Errno::NOENT | Errno::NOTDIR) => Trouble::Nobody(error),
            _ => error.into(),
        },
        trouble => trouble,
    }
}

async fn tcp(host: &str, port: u16, within: Duration) -> Result<Arrival, Trouble> {
    let end = clock::now() + within;
    let known = resolve(host, port, within).await?;
    let (mut left, mut last) = (known.len(), Trouble::NoHost(ErrorKind::NotFound.into()));
    for one in known {
        // Each has its share of the time: one that never answers must not take that of the others.
        let share = end.since(clock::now()) / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
        left -= 1;
        let late = async {
            readiness::until(clock::now() + share).await;
            Err(ErrorKind::TimedOut.into())
        };
        match stream(one).or(late).await {
            Ok(socket) => {
                let origin = Origin::Network(one);
                return Ok(Arrival { carrier: Carrier::Tcp(socket), origin });
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => last = Trouble::Late(within),
            Err(error) => last = absent(error.into()),
        }
    }
    Err(last)
}

/// A connection to one address, however long that takes.
async fn stream(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) => return Ok(socket.into()),
        // An interrupted one goes on all the same.
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    // Waited for by something that is gone afterwards: a link waits for it anew, where that is driven.
    let socket = Arc::new(socket);
    Ready::new(socket.clone())?.writable().await?;
    rustix::net::sockopt::socket_error(&socket)??;
    let socket = Arc::into_inner(socket).ok_or(ErrorKind::Other)?;
    Ok(socket.into())
}

/// The addresses of a host, in the order in which they are to be tried.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    within: Duration,
) -> Result<Vec<SocketAddr>, Trouble> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // It blocks for as long as the system wants to, and nobody can end that: a thread of its own, which
    // ends when it is done even where nobody waits for it any more.
    let (sender, receiver) = async_channel::bounded(1);
    let name = host.to_owned();
    thread::Builder::new().name("hatchery-resolve".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let _ = sender.send_blocking(found);
    })?;
    let found = async {
        match receiver.recv().await {
            Ok(found) => found.map_err(Trouble::NoHost),
            Err(_) => Err(Trouble::NoHost(ErrorKind::NotFound.into())),
        }
    };
    let late = async {
        readiness::until(clock::now() + within).await;
        Err(Trouble::Late(within))
    };
    found.or(late).await
}

//! Endpoints on the loopback, driven in one thread, some of them through a network of our own.

mod doors;
mod members;
mod network;
mod strangers;

use std::net::Ipv4Addr;

use futures_lite::future::block_on;

use super::super::tls::Authority;
use super::super::tls::tests::keys;
use super::settings::HANDSHAKE;
use super::*;

type Driver = std::pin::Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn bound(keys: &Keys) -> (Endpoint, Driver) {
    let (endpoint, driver) = bind(ANY, keys).unwrap();
    (endpoint, Box::pin(driver))
}

/// Two members of one tree.
fn members() -> (Authority, (Endpoint, Driver), (Endpoint, Driver)) {
    let authority = Authority::new().unwrap();
    let [one, two] = [1, 2].map(|uuid| bound(&keys(&authority, uuid)));
    (authority, one, two)
}

/// Runs a test while its endpoints are driven.
fn driven<T>(drivers: Vec<Driver>, body: impl Future<Output = T>) -> T {
    let executor = async_executor::LocalExecutor::new();
    for driver in drivers {
        executor.spawn(driver).detach();
    }
    block_on(executor.run(body))
}

/// Both ends of a link.
async fn linked(one: &Endpoint, two: &Endpoint) -> ((QuicStream, Proven), Accepted) {
    let dialing =
        async { one.dial(two.address(), Some(2), "quic:there:1", HANDSHAKE).await.unwrap() };
    let accepting = async { two.accept().await.unwrap() };
    future::zip(dialing, accepting).await
}

/// What went wrong at both ends, where the one that was dialed learns of it.
async fn refused(one: &Endpoint, two: &Endpoint, expected: Option<u128>) -> (TlsError, TlsError) {
    let dialing =
        async { one.dial(two.address(), expected, "quic:there:1", HANDSHAKE).await.unwrap_err() };
    let accepting = async { two.accept().await.map(|_| ()).unwrap_err() };
    future::zip(dialing, accepting).await
}

fn fault(error: &TlsError) -> String {
    format!("{:?}", error.fault())
}

//! In and out by address, whatever that asks for: a plain Unix socket as it is, everything else with both
//! ends proven before anything goes through it. Who proves what is told; what follows from it is judged
//! elsewhere.

use std::fmt;
use std::time::Duration;

use async_executor::Executor;
use hatchery_proto::Address;

use super::dial;
use super::listener::{Arrival, Listener};
use super::proofs::Proofs;
use super::trouble::{TransportError, Trouble};

/// Where somebody may come in.
pub(crate) struct Door {
    address: Address,
    kind: Kind,
}

enum Kind {
    /// The system tells who comes.
    Plain(Listener),
    #[cfg(feature = "tls")]
    Tls(Listener, std::sync::Arc<super::tls::Keys>),
    #[cfg(feature = "quic")]
    Quic(super::quic::Endpoint),
}

/// Somebody who has come, and has perhaps not proven who that is.
pub(crate) enum Coming {
    Known(Arrival),
    #[cfg(feature = "tls")]
    Unproven(Arrival, std::sync::Arc<super::tls::Keys>, String),
}

/// Why nobody is there.
#[derive(Debug)]
pub(crate) enum NoWay {
    Transport(TransportError),
    /// Whoever is has not proven to be who it should be, or did not take this end for one of its own.
    Proof(String),
}

impl From<TransportError> for NoWay {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Proof(why) => f.write_str(why),
        }
    }
}

impl Door {
    /// Opens one at an address. What has to be driven for it is, on `executor`. Cancel safe.
    pub(crate) async fn open(
        address: &Address,
        proofs: &Proofs,
        executor: &Executor<'static>,
    ) -> Result<Self, TransportError> {
        let kind = match address {
            Address::Unix { tls: false, .. } => Kind::Plain(Listener::bind(address).await?),
            #[cfg(feature = "tls")]
            Address::Unix { .. } | Address::Tcp { .. } => {
                let keys = keys(proofs, "listening on", address)?;
                Kind::Tls(Listener::bind_for_keys(address).await?, keys)
            }
            #[cfg(feature = "quic")]
            Address::Quic { host, port } => {
                return Self::quic(address, host, *port, proofs, executor).await;
            }
            _ => {
                let _ = (proofs, executor);
                return Err(Trouble::Unproven.at("listening on", address));
            }
        };
        let address = match &kind {
            Kind::Plain(listener) => listener.address().clone(),
            #[cfg(feature = "tls")]
            Kind::Tls(listener, _) => listener.address().clone(),
            #[cfg(feature = "quic")]
            Kind::Quic(_) => address.clone(),
        };
        Ok(Self { address, kind })
    }

    /// The same for a listener that is there already.
    pub(crate) fn plain(listener: Listener) -> Self {
        Self { address: listener.address().clone(), kind: Kind::Plain(listener) }
    }

    #[cfg(feature = "quic")]
    async fn quic(
        address: &Address,
        host: &str,
        port: u16,
        proofs: &Proofs,
        executor: &Executor<'static>,
    ) -> Result<Self, TransportError> {
        let attempt = "listening on";
        let keys = keys(proofs, attempt, address)?;
        let known = dial::resolve(host, port, RESOLVE).await;
        let known = known.map_err(|trouble| trouble.at(attempt, address))?;
        let mut last = Trouble::NoHost(std::io::ErrorKind::NotFound.into());
        for one in known {
            match super::quic::bind(one, &keys) {
                Ok((endpoint, driver)) => {
                    drive(driver, executor);
                    let (host, port) = (host.to_owned(), endpoint.address().port());
                    let address = Address::Quic { host, port };
                    return Ok(Self { address, kind: Kind::Quic(endpoint) });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    return Err(Trouble::InUse.at(attempt, address));
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last.at(attempt, address))
    }

    /// The address, with the port that was free where any was asked for.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next who comes. Cancel safe.
    ///
    /// # Errors
    ///
    /// Fails where nobody can come any more.
    pub(crate) async fn accept(&self) -> Result<Coming, TransportError> {
        match &self.kind {
            Kind::Plain(listener) => listener.accept().await.map(Coming::Known),
            #[cfg(feature = "tls")]
            Kind::Tls(listener, keys) => {
                let arrival = listener.accept().await?;
                Ok(Coming::Unproven(arrival, keys.clone(), self.address.to_string()))
            }
            #[cfg(feature = "quic")]
            Kind::Quic(endpoint) => loop {
                match endpoint.accept().await {
                    Ok(accepted) => {
                        tracing::trace!(
                            target: "hatchery::transport",
                            peer = %accepted.peer, from = %accepted.from,
                            "was let in"
                        );
                        let origin = super::origin::Origin::Member(accepted.peer.uuid);
                        let carrier = super::carrier::Carrier::stream(accepted.stream);
                        return Ok(Coming::Known(Arrival { carrier, origin }));
                    }
                    Err(error) => tracing::debug!(
                        target: "hatchery::transport",
                        %error,
                        "somebody was not let in"
                    ),
                }
            },
        }
    }
}

impl Coming {
    /// Has it prove who it is, where that is not known, within so long. Dropping the future closes what it
    /// came over.
    pub(crate) async fn proven(self, within: Duration) -> Result<Arrival, NoWay> {
        match self {
            Self::Known(arrival) => {
                let _ = within;
                Ok(arrival)
            }
            #[cfg(feature = "tls")]
            Self::Unproven(Arrival { carrier, .. }, keys, at) => {
                let stream = carrier.into_stream().map_err(|error| proof(&error))?;
                let secured = keys.accept(stream, &at);
                member(in_time(secured, within).await)
            }
        }
    }
}

/// Connects to whoever is at an address, who has to be `expected` where that is said, within so long.
/// Dropping the future leaves nothing.
pub(crate) async fn knock(
    address: &Address,
    expected: Option<u128>,
    proofs: &Proofs,
    executor: &Executor<'static>,
    within: Duration,
) -> Result<Arrival, NoWay> {
    match address {
        Address::Unix { tls: false, .. } => Ok(dial::connect(address, within).await?),
        #[cfg(feature = "tls")]
        Address::Unix { .. } | Address::Tcp { .. } => {
            let keys = keys(proofs, "connecting to", address)?;
            let arrival = dial::connect_for_keys(address, within).await?;
            let stream = arrival.carrier.into_stream().map_err(|error| proof(&error))?;
            let at = address.to_string();
            member(in_time(keys.dial(stream, expected, &at), within).await)
        }
        #[cfg(feature = "quic")]
        Address::Quic { host, port } => {
            knock_over_quic(address, (host, *port), expected, proofs, executor, within).await
        }
        _ => {
            let _ = (expected, proofs, executor);
            Err(Trouble::Unproven.at("connecting to", address).into())
        }
    }
}

/// Tries each address of a host. What is told of several is what somebody who is there had against it, where
/// anybody is.
#[cfg(feature = "quic")]
async fn knock_over_quic(
    address: &Address,
    (host, port): (&str, u16),
    expected: Option<u128>,
    proofs: &Proofs,
    executor: &Executor<'static>,
    within: Duration,
) -> Result<Arrival, NoWay> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::tls::Fault;
    use crate::driver::clock;

    let attempt = "connecting to";
    let end = clock::now() + within;
    let keys = keys(proofs, attempt, address)?;
    let known = dial::resolve(host, port, within).await;
    let known = known.map_err(|trouble| trouble.at(attempt, address))?;
    let (mut left, mut why) = (known.len(), None);
    for one in known {
        // Each has its share of the time: one that never answers must not take that of the others.
        let share = end.since(clock::now()) / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
        left -= 1;
        let any = match one {
            SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let (endpoint, driver) = match super::quic::bind(any, &keys) {
            Ok(bound) => bound,
            Err(error) => {
                why.get_or_insert(Trouble::from(error).at(attempt, address).into());
                continue;
            }
        };
        drive(driver, executor);
        match endpoint.dial(one, expected, &address.to_string(), share).await {
            Ok((stream, peer)) => {
                let origin = super::origin::Origin::Member(peer.uuid);
                let carrier = super::carrier::Carrier::stream(stream);
                return Ok(Arrival { carrier, origin });
            }
            Err(error) if why.is_some() && matches!(error.fault(), Fault::Silent) => {}
            Err(error) => why = Some(proof(&error)),
        }
    }
    let nowhere =
        || Trouble::NoHost(std::io::ErrorKind::NotFound.into()).at(attempt, address).into();
    Err(why.unwrap_or_else(nowhere))
}

#[cfg(feature = "quic")]
const RESOLVE: Duration = Duration::from_secs(10);

#[cfg(feature = "quic")]
fn drive(
    driver: impl Future<Output = std::io::Result<()>> + Send + 'static,
    executor: &Executor<'static>,
) {
    let driven = async {
        if let Err(error) = driver.await {
            tracing::warn!(target: "hatchery::transport", %error, "links over QUIC have ended");
        }
    };
    executor.spawn(driven).detach();
}

#[cfg(feature = "tls")]
fn keys(
    proofs: &Proofs,
    attempt: &'static str,
    address: &Address,
) -> Result<std::sync::Arc<super::tls::Keys>, TransportError> {
    let keys = proofs.keys().map_err(|error| Trouble::from(error).at(attempt, address))?;
    keys.ok_or_else(|| Trouble::Unproven.at(attempt, address))
}

#[cfg(feature = "tls")]
fn proof(error: &impl std::error::Error) -> NoWay {
    NoWay::Proof(error.to_string())
}

#[cfg(feature = "tls")]
type Handshake<S> = Result<(super::tls::Secured<S>, super::tls::Proven), super::tls::TlsError>;

/// The same, but for one that takes too long.
#[cfg(feature = "tls")]
async fn in_time<S>(
    handshake: impl Future<Output = Handshake<S>>,
    within: Duration,
) -> Result<(super::tls::Secured<S>, super::tls::Proven), NoWay> {
    use crate::driver::{clock, readiness};
    use futures_lite::FutureExt as _;
    let late = async {
        readiness::until(clock::now() + within).await;
        Err(NoWay::Proof(format!("proving who is who took longer than {within:?}")))
    };
    async { handshake.await.map_err(|error| proof(&error)) }.or(late).await
}

#[cfg(feature = "tls")]
fn member<S>(
    secured: Result<(super::tls::Secured<S>, super::tls::Proven), NoWay>,
) -> Result<Arrival, NoWay>
where
    S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Send + Unpin + 'static,
{
    let (stream, peer) = secured?;
    let carrier = super::carrier::Carrier::stream(stream);
    Ok(Arrival { carrier, origin: super::origin::Origin::Member(peer.uuid) })
}

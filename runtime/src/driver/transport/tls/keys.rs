//! The keys of one actor, and the two handshakes that need them. Who may have keys is the authority's
//! matter; what was wrong with a handshake is put into words elsewhere.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use futures_rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::client::Resumption;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use futures_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use futures_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use futures_rustls::rustls::version::TLS13;
use futures_rustls::rustls::{
    ClientConfig, CommonState, RootCertStore, ServerConfig, SignatureScheme,
};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::certificate::{self, MEMBER, Proven, SomeDay};
use super::error::{End, Fault, TlsError};
use super::guarded::Guarded;
use super::secret::Secret;
use super::secured::Secured;

/// The protocol that is spoken inside: the version of links is settled there.
pub(crate) const ALPN: &[u8] = b"hatchery/1";
/// What the end that was dialed says once it has checked who dialed, so that the other knows.
pub(crate) const WELCOME: u8 = b'W';

/// All certificates of trees are signed so.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};

/// An actor's own keys: with them it proves to members of its tree that it is one, and which.
///
/// TLS 1.3 alone, with a certificate at both ends. Nothing is kept from one handshake for the next, and
/// nothing is sent before both ends have put new randomness into it: what was recorded cannot be used again.
/// The name of whom is dialed is not sent in the clear.
#[derive(Clone)]
pub(crate) struct Keys {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    own: Arc<Proven>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(
        authority: &CertificateDer<'_>,
        leaf: CertificateDer<'static>,
        seed: &Secret,
    ) -> io::Result<Self> {
        let own = Proven::of(&leaf).ok_or_else(|| unusable("it names no actor"))?;
        let der = certificate::pkcs8(seed);
        let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.expose()))
            .map_err(unusable)?;
        let certified = CertifiedKey::new(vec![leaf], key);
        certified.keys_match().map_err(unusable)?;
        let own_key = Arc::new(SingleCertAndKey::from(certified));
        let anchor = webpki::anchor_from_trusted_cert(authority).map_err(unusable)?;
        let roots = Arc::new(RootCertStore { roots: vec![anchor.to_owned()] });
        let provider = Arc::new(CryptoProvider {
            cipher_suites: ring::DEFAULT_CIPHER_SUITES
                .iter()
                .filter(|suite| suite.tls13().is_some())
                .copied()
                .collect(),
            kx_groups: vec![ring::kx_group::X25519],
            signature_verification_algorithms: ALGORITHMS,
            ..ring::default_provider()
        });

        let builder = ClientConfig::builder_with_details(provider.clone(), Arc::new(SomeDay));
        let builder = builder.with_protocol_versions(&[&TLS13]).map_err(unusable)?;
        let builder = builder.with_root_certificates(roots.clone());
        let mut client = builder.with_client_cert_resolver(own_key.clone());
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_early_data = false;
        client.enable_sni = false;

        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        // No hint of whose certificates are taken: members know, and nobody else is to.
        let verifier = verifier.clear_root_hint_subjects().build().map_err(unusable)?;
        let builder = ServerConfig::builder_with_details(provider, Arc::new(SomeDay));
        let builder = builder.with_protocol_versions(&[&TLS13]).map_err(unusable)?;
        let builder = builder.with_client_cert_verifier(verifier);
        let mut server = builder.with_cert_resolver(own_key);
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;

        Ok(Self { client: Arc::new(client), server: Arc::new(server), own: Arc::new(own) })
    }

    /// Whose they are.
    #[cfg(test)]
    pub(crate) fn own(&self) -> &Proven {
        &self.own
    }

    /// What it dials with.
    #[cfg(feature = "quic")]
    pub(in crate::driver::transport) fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }

    /// What it accepts with.
    #[cfg(feature = "quic")]
    pub(in crate::driver::transport) fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }

    /// As of a version that speaks something else.
    #[cfg(test)]
    pub(in crate::driver::transport) fn change_protocols(&mut self, protocols: &[Vec<u8>]) {
        Arc::make_mut(&mut self.client).alpn_protocols = protocols.to_vec();
        Arc::make_mut(&mut self.server).alpn_protocols = protocols.to_vec();
    }

    /// Secures a stream that was accepted, and says who has dialed. `at` is where it was accepted, for the
    /// error. Waits for as long as the other end takes; when the future is dropped, the stream is closed.
    ///
    /// # Errors
    ///
    /// A [`TlsError`] unless the other end has proven to be another member of the tree.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        at: &str,
    ) -> Result<(Secured<S>, Proven), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let end = End::Accepting;
        let acceptor = TlsAcceptor::from(self.server.clone());
        let accepted = acceptor.accept(Guarded::new(stream)).into_fallible().await;
        let stream = accepted.map_err(|(error, stream)| TlsError::of(end, at, error, &stream))?;
        let mut secured = Secured::new(TlsStream::Server(stream));
        let peer = self.judge(secured.inner(), None);
        let peer = peer.map_err(|fault| TlsError::new(end, at, fault))?;
        let told = async {
            secured.write_all(&[WELCOME]).await?;
            secured.flush().await
        };
        let told: io::Result<()> = told.await;
        let guarded = secured.inner().get_mut().0;
        told.map_err(|error| TlsError::of(end, at, error, guarded))?;
        guarded.open();
        Ok((secured, peer))
    }

    /// Secures a stream that was dialed, and says who has accepted: the actor with the uuid `expected`,
    /// or any other member of the tree where that is not known. When it returns, the other end has taken
    /// this one for a member too. `at` is what was dialed, for the error. Waits for as long as the other
    /// end takes; when the future is dropped, the stream is closed.
    ///
    /// # Errors
    ///
    /// A [`TlsError`] unless the other end has proven to be who is expected.
    pub(crate) async fn dial<S>(
        &self,
        stream: S,
        expected: Option<u128>,
        at: &str,
    ) -> Result<(Secured<S>, Proven), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let end = End::Dialing;
        let name = self.name(expected).map_err(|fault| TlsError::new(end, at, fault))?;
        let connector = TlsConnector::from(self.client.clone());
        let dialed = connector.connect(name, Guarded::new(stream)).into_fallible().await;
        let stream = dialed.map_err(|(error, stream)| TlsError::of(end, at, error, &stream))?;
        let mut secured = Secured::new(TlsStream::Client(stream));
        let peer = self.judge(secured.inner(), expected);
        let peer = peer.map_err(|fault| TlsError::new(end, at, fault))?;
        let mut word = [0];
        let heard = secured.read_exact(&mut word).await;
        let guarded = secured.inner().get_mut().0;
        heard.map_err(|error| TlsError::of(end, at, error, guarded))?;
        if word != [WELCOME] {
            return Err(TlsError::new(end, at, Fault::Protocol));
        }
        guarded.open();
        Ok((secured, peer))
    }

    /// The name that the certificate of whoever is dialed has to be valid for.
    pub(crate) fn name(&self, expected: Option<u128>) -> Result<ServerName<'static>, Fault> {
        if expected == Some(self.own.uuid) {
            return Err(Fault::Reflection);
        }
        let name = expected.map_or_else(|| MEMBER.to_owned(), certificate::name_of);
        ServerName::try_from(name).map_err(|error| Fault::Broken(error.to_string()))
    }

    fn judge<S>(
        &self,
        stream: &TlsStream<Guarded<S>>,
        expected: Option<u128>,
    ) -> Result<Proven, Fault> {
        let (_, session): (_, &CommonState) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        self.admit(session.alpn_protocol(), chain, expected)
    }

    /// Who the other end is, once TLS has checked its certificate.
    pub(crate) fn admit(
        &self,
        protocol: Option<&[u8]>,
        chain: &[CertificateDer<'_>],
        expected: Option<u128>,
    ) -> Result<Proven, Fault> {
        // rustls goes on where the other end names no protocol at all.
        if protocol != Some(ALPN) {
            return Err(Fault::Protocol);
        }
        let peer = chain.first().and_then(Proven::of);
        let peer = peer.ok_or(Fault::NoCertificate)?;
        if peer.uuid == self.own.uuid {
            return Err(Fault::Reflection);
        }
        match expected {
            Some(expected) if expected != peer.uuid => {
                Err(Fault::WrongActor { expected, found: Some(peer.uuid) })
            }
            _ => Ok(peer),
        }
    }
}

fn unusable(error: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("these keys cannot be used: {error}"))
}

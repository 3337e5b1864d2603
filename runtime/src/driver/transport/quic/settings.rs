//! What connections may do, and for how long. Numbers and their reasons; nothing happens here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, EndpointConfig, NoneTokenStore, ServerConfig, TransportConfig, VarInt,
};

use super::super::tls::Keys;

/// How long a handshake may take: as long as a link's greeting (P-L1).
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the last bytes of a link that was closed or let go are waited for after something was heard of
/// the other end.
pub(crate) const LINGER: Duration = Duration::from_secs(3);
/// How long they are waited for in all: a window's worth over 1 Mbit/s.
pub(super) const LONGEST_LINGER: Duration = Duration::from_secs(20);
/// How many handshakes may be under way with peers that have proven nothing; above it they are refused.
pub(crate) const MOST_STRANGERS: usize = 64;
/// From how many on a peer has to show first that it is where it says.
pub(crate) const RETRY_FROM: usize = 16;
/// What one connection holds each way: as much as several dialogs' windows (P-F3).
const WINDOW: u32 = 2 * 1024 * 1024;
/// What a peer may send before its handshake is taken up, which here is at once.
const EARLY: u64 = 16 * 1024;

/// Tells nothing: a link was let go.
pub(super) const FAREWELL: VarInt = VarInt::from_u32(0);
/// Tells nothing more: who is there is not let in.
pub(super) const REFUSED: VarInt = VarInt::from_u32(1);

/// Of both ends.
pub(super) struct Settings {
    pub(super) endpoint: Arc<EndpointConfig>,
    pub(super) client: ClientConfig,
    pub(super) server: Arc<ServerConfig>,
}

impl Settings {
    pub(super) fn new(keys: &Keys) -> io::Result<Self> {
        let client = QuicClientConfig::try_from(keys.client().clone()).map_err(io::Error::other)?;
        let mut client = ClientConfig::new(Arc::new(client));
        // The one stream is the server's to open.
        client.transport_config(Arc::new(transport(1)));
        // Nothing is kept from one connection for another.
        client.token_store(Arc::new(NoneTokenStore));
        let server = QuicServerConfig::try_from(keys.server().clone()).map_err(io::Error::other)?;
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(Arc::new(transport(0)));
        server.migration(false);
        server.max_incoming(MOST_STRANGERS);
        server.incoming_buffer_size(EARLY);
        server.incoming_buffer_size_total(EARLY);
        let endpoint = Arc::new(EndpointConfig::default());
        Ok(Self { endpoint, client, server: Arc::new(server) })
    }
}

fn transport(streams: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(streams));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport.max_idle_timeout(None);
    transport.keep_alive_interval(None);
    transport.stream_receive_window(VarInt::from_u32(WINDOW));
    transport.receive_window(VarInt::from_u32(WINDOW));
    transport.send_window(u64::from(WINDOW));
    // Several datagrams in one system call are for sockets that are opened otherwise.
    transport.enable_segmentation_offload(false);
    transport.mtu_discovery_config(None);
    transport.allow_spin(false);
    transport
}

//! All connections of one socket, and what they have to send. Never waits: a datagram that there is no room
//! for is kept, and the driver told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{ConnectionHandle, DatagramEvent, Incoming, Transmit};

use super::super::tls::{End, Keys, MEMBER, Proven, TlsError};
use super::link::{Link, News};
use super::settings::{HANDSHAKE, MOST_STRANGERS, RETRY_FROM, Settings};
use super::{ends, pending};

/// How many datagrams are taken in one turn.
const BATCH: usize = 64;
/// More than any datagram of ours: a larger one is cut, and then none of ours.
const LARGEST: usize = 2048;

/// Who was let in, under which number, and from where; or why not.
pub(super) type Arrival = Result<(u64, Proven, SocketAddr), TlsError>;

/// What one socket's connections share.
pub(super) struct State {
    endpoint: quinn_proto::Endpoint,
    pub(super) settings: Settings,
    keys: Keys,
    bound: SocketAddr,
    pub(super) links: BTreeMap<u64, Link>,
    by_handle: BTreeMap<usize, u64>,
    next: u64,
    arrivals: VecDeque<Arrival>,
    accepting: Option<Waker>,
    woken: Vec<Waker>,
    /// A datagram that there was no room for.
    unsent: Option<(SocketAddr, Vec<u8>)>,
    /// When the driver will look by itself.
    armed: Option<Instant>,
    /// It has to look before.
    early: bool,
    /// Nobody accepts or dials any more.
    ended: bool,
    packet: Vec<u8>,
}

/// What the driver waits for next.
pub(super) struct Turn {
    pub(super) deadline: Option<Instant>,
    pub(super) is_blocked: bool,
    /// There is more to be read.
    pub(super) again: bool,
    /// Nothing is left to be driven.
    pub(super) is_over: bool,
}

impl State {
    pub(super) fn new(keys: &Keys, bound: SocketAddr) -> io::Result<Self> {
        let settings = Settings::new(keys)?;
        let endpoint = quinn_proto::Endpoint::new(
            settings.endpoint.clone(),
            Some(settings.server.clone()),
            // Larger datagrams could be cut in two on their way.
            false,
            None,
        );
        Ok(Self {
            endpoint,
            settings,
            keys: keys.clone(),
            bound,
            links: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            next: 0,
            arrivals: VecDeque::new(),
            accepting: None,
            woken: Vec::new(),
            unsent: None,
            armed: None,
            early: false,
            ended: false,
            packet: Vec::new(),
        })
    }

    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        mem::take(&mut self.woken)
    }

    /// Whether the driver would look too late.
    pub(super) fn is_early(&mut self) -> bool {
        mem::take(&mut self.early)
    }

    pub(super) fn dial(
        &mut self,
        address: SocketAddr,
        expected: Option<u128>,
        at: &str,
        within: Duration,
    ) -> Result<u64, TlsError> {
        let failed = |fault| TlsError::new(End::Dialing, at, fault);
        // Oneself is not dialed; who else answers is compared once it has proven who it is.
        self.keys.name(expected).map_err(failed)?;
        if self.bound.is_ipv4() && address.is_ipv6() {
            return Err(failed(ends::unreachable(self.bound)));
        }
        let now = Instant::now();
        let begun = self.endpoint.connect(now, self.settings.client.clone(), address, MEMBER);
        let begun = begun.map_err(|error| failed(ends::not_begun(&error)))?;
        let until = now + within.min(HANDSHAKE);
        Ok(self.add(begun, End::Dialing, expected, at.to_owned(), until))
    }

    fn add(
        &mut self,
        begun: (ConnectionHandle, quinn_proto::Connection),
        end: End,
        expected: Option<u128>,
        at: String,
        until: Instant,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        self.by_handle.insert(begun.0.0, id);
        self.links.insert(id, Link::new(begun, end, expected, at, until));
        id
    }

    pub(super) fn poll_dialed(&mut self, id: u64, waker: &Waker) -> Poll<Result<Proven, TlsError>> {
        match self.links.get_mut(&id) {
            Some(link) => link.poll_dialed(waker),
            None => Poll::Pending,
        }
    }

    pub(super) fn poll_accept(&mut self, waker: &Waker) -> Poll<Arrival> {
        match self.arrivals.pop_front() {
            Some(arrival) => Poll::Ready(arrival),
            None => pending(&mut self.accepting, waker),
        }
    }

    /// Nobody accepts or dials any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        let waiting: Vec<_> = self.arrivals.drain(..).flatten().collect();
        for (id, ..) in waiting {
            self.abandon(id);
        }
        self.early = true;
    }

    /// Does something with one link, and then sends what follows.
    pub(super) fn on<R>(
        &mut self,
        id: u64,
        socket: &UdpSocket,
        f: impl FnOnce(&mut Link, Instant) -> R,
    ) -> Option<R> {
        let done = f(self.links.get_mut(&id)?, Instant::now());
        self.settle(id, socket);
        Some(done)
    }

    /// The same, and sends nothing yet.
    pub(super) fn quietly<R>(&mut self, id: u64, f: impl FnOnce(&mut Link) -> R) -> Option<R> {
        self.links.get_mut(&id).map(f)
    }

    /// Nobody has the stream of this link any more.
    pub(super) fn abandon(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.abandon(Instant::now());
            self.early = true;
        }
    }

    /// Moves what can be moved: datagrams in, time, and datagrams out.
    pub(super) fn turn(&mut self, socket: &UdpSocket) -> io::Result<Turn> {
        // What is due after this has its turn after what follows from the datagrams: a connection that they
        // have closed has to say so, however late it is by then.
        let now = Instant::now();
        let again = self.receive(socket)?;
        let ids: Vec<_> = self.links.keys().copied().collect();
        for id in ids {
            self.keep_time(id, now);
            self.settle(id, socket);
        }
        self.early = false;
        let deadlines = self.links.values_mut().flat_map(|link| {
            let own = link.until;
            link.handle.and_then(|_| link.connection.poll_timeout()).into_iter().chain(own)
        });
        self.armed = deadlines.min();
        Ok(Turn {
            deadline: self.armed,
            is_blocked: self.unsent.is_some(),
            again,
            is_over: self.ended && self.links.is_empty(),
        })
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        let mut buffer = [0; LARGEST];
        for _ in 0..BATCH {
            match socket.recv_from(&mut buffer) {
                Ok((count, from)) => {
                    self.datagram(buffer.get(..count).unwrap_or_default(), from, socket)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                // What the network says of a datagram that was sent to somebody: the others go on.
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    self.lose_all();
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr, socket: &UdpSocket) {
        let now = Instant::now();
        let mut answer = mem::take(&mut self.packet);
        answer.clear();
        let event = self.endpoint.handle(now, from, None, None, BytesMut::from(bytes), &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let id = self.by_handle.get(&handle.0).copied();
                if let Some(link) = id.and_then(|id| self.links.get_mut(&id)) {
                    link.connection.handle_event(event);
                    link.is_there(now);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.arrive(incoming, now, &mut answer, socket);
            }
            Some(DatagramEvent::Response(transmit)) => reply(&transmit, &answer, socket),
            None => {}
        }
        self.packet = answer;
    }

    /// Takes up a handshake, or has the peer come again, or not.
    fn arrive(
        &mut self,
        incoming: Incoming,
        now: Instant,
        answer: &mut Vec<u8>,
        socket: &UdpSocket,
    ) {
        let strangers = self.links.values().filter(|link| link.is_shaking()).count();
        let waiting = self.arrivals.len();
        if strangers.max(waiting) >= MOST_STRANGERS || self.ended {
            tracing::debug!(
                target: "hatchery::transport",
                strangers, waiting,
                "a QUIC handshake is refused: there are too many"
            );
            let transmit = self.endpoint.refuse(incoming, answer);
            return reply(&transmit, answer, socket);
        }
        if strangers >= RETRY_FROM && !incoming.remote_address_validated() && incoming.may_retry() {
            if let Ok(transmit) = self.endpoint.retry(incoming, answer) {
                reply(&transmit, answer, socket);
            }
            return;
        }
        let at = format!("quic:{}", self.bound);
        match self.endpoint.accept(incoming, now, answer, None) {
            Ok(begun) => {
                self.add(begun, End::Accepting, None, at, now + HANDSHAKE);
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    reply(&transmit, answer, socket);
                }
                self.announce(Err(TlsError::new(End::Accepting, &at, ends::fault(&error.cause))));
            }
        }
    }

    fn keep_time(&mut self, id: u64, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.handle.is_some() && link.connection.poll_timeout().is_some_and(|at| at <= now) {
            link.connection.handle_timeout(now);
        }
        if link.until.is_some_and(|until| until <= now) {
            let news = link.give_up(now, &mut self.woken);
            self.tell(id, news);
        }
    }

    /// Hears what a connection has to tell, and sends what it has to say.
    pub(super) fn settle(&mut self, id: u64, socket: &UdpSocket) {
        let now = Instant::now();
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(handle) = link.handle else {
            if link.is_over() {
                self.links.remove(&id);
            }
            return;
        };
        let mut news = News::Nothing;
        loop {
            if let Some(event) = link.connection.poll_endpoint_events() {
                let drained = event.is_drained();
                if let Some(event) = self.endpoint.handle_event(handle, event) {
                    link.connection.handle_event(event);
                }
                if drained {
                    self.by_handle.remove(&handle.0);
                    link.drained(&mut self.woken);
                }
            } else if let Some(event) = link.connection.poll() {
                match link.hear(event, now, &self.keys, &mut self.woken) {
                    News::Nothing => {}
                    other => news = other,
                }
            } else {
                break;
            }
        }
        let is_over = link.is_over();
        self.tell(id, news);
        if is_over {
            self.links.remove(&id);
        } else {
            self.send(id, now, socket);
        }
    }

    fn tell(&mut self, id: u64, news: News) {
        match (news, self.links.get(&id)) {
            (News::In(peer), Some(link)) => self.announce(Ok((id, peer, link.remote()))),
            (News::Out(error), _) => self.announce(Err(error)),
            _ => {}
        }
    }

    /// Has whoever accepts know of this one.
    fn announce(&mut self, arrival: Arrival) {
        if let Err(error) = &arrival {
            tracing::debug!(target: "hatchery::transport", %error, "a peer was not let in");
        }
        match arrival {
            // Too late.
            Ok((id, ..)) if self.ended => self.abandon(id),
            // Nobody is asked to look at more of those that were not let in.
            Err(_) if self.ended || self.arrivals.len() >= MOST_STRANGERS => {}
            arrival => {
                self.arrivals.push_back(arrival);
                self.woken.extend(self.accepting.take());
            }
        }
    }

    fn send(&mut self, id: u64, now: Instant, socket: &UdpSocket) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.handle.is_some()) else {
            return;
        };
        loop {
            if let Some((to, packet)) = &self.unsent {
                match socket.send_to(packet, to) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.early = true;
                        return;
                    }
                    // Lost, as datagrams may be: it is sent again when nobody has confirmed it.
                    _ => self.unsent = None,
                }
            }
            self.packet.clear();
            let Some(transmit) = link.connection.poll_transmit(now, 1, &mut self.packet) else {
                break;
            };
            let packet = self.packet.get(..transmit.size).unwrap_or_default();
            match socket.send_to(packet, transmit.destination) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent = Some((transmit.destination, packet.to_vec()));
                }
                Err(error) => tracing::trace!(
                    target: "hatchery::transport",
                    %error,
                    "a datagram was not sent"
                ),
                Ok(_) => {}
            }
        }
        let deadline = link.connection.poll_timeout().into_iter().chain(link.until).min();
        if deadline.is_some_and(|at| self.armed.is_none_or(|armed| at < armed)) {
            self.early = true;
        }
    }

    /// The socket has failed.
    fn lose_all(&mut self) {
        for link in self.links.values_mut() {
            link.drained(&mut self.woken);
            link.fail(Instant::now(), super::super::tls::Fault::Closed, &mut self.woken);
        }
    }
}

/// What is answered to nobody in particular is sent if there is room.
fn reply(transmit: &Transmit, bytes: &[u8], socket: &UdpSocket) {
    let bytes = bytes.get(..transmit.size).unwrap_or_default();
    if let Err(error) = socket.send_to(bytes, transmit.destination) {
        tracing::trace!(target: "hatchery::transport", %error, "a datagram was not sent");
    }
}

fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

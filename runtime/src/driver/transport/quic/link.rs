//! One connection and its one stream, as a state that facts are put into. Sends nothing and waits for
//! nothing.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_rustls::pki_types::CertificateDer;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    Connection, ConnectionHandle, Dir, Event, ReadError, StreamEvent, StreamId, WriteError,
};

use super::super::tls::{End, Fault, Keys, Proven, TlsError, WELCOME};
use super::settings::{FAREWELL, LINGER, LONGEST_LINGER, REFUSED};
use super::{ends, pending};

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nobody has proven anything.
    Shaking,
    /// The other end has proven who it is, and has not said that it takes us.
    Proven(Proven),
    /// Both have; until somebody asks, with who it is.
    Open(Option<Proven>),
    /// Neither will.
    Failed(Option<TlsError>),
}

/// One connection.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// Gone once nothing more of it comes or goes.
    pub(super) handle: Option<ConnectionHandle>,
    pub(super) phase: Phase,
    end: End,
    expected: Option<u128>,
    at: String,
    stream: Option<StreamId>,
    /// The end of the handshake, or of the last farewell.
    pub(super) until: Option<Instant>,
    /// The end of the farewell, however much is heard of the other end.
    longest: Option<Instant>,
    lost: Option<ErrorKind>,
    /// What we say has an end; the other end has it.
    finishing: bool,
    finished: bool,
    /// It was waited for long enough.
    overdue: bool,
    /// What the other end says has an end, and we have it.
    ended: bool,
    /// Nobody has the stream any more.
    pub(super) abandoned: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
    waiting: Option<Waker>,
}

/// What has become of a connection, for whoever accepts.
pub(super) enum News {
    Nothing,
    /// Somebody is let in.
    In(Proven),
    /// Somebody is not.
    Out(TlsError),
}

impl Link {
    pub(super) fn new(
        (handle, connection): (ConnectionHandle, Connection),
        end: End,
        expected: Option<u128>,
        at: String,
        until: Instant,
    ) -> Self {
        Self {
            connection,
            handle: Some(handle),
            phase: Phase::Shaking,
            end,
            expected,
            at,
            stream: None,
            until: Some(until),
            longest: None,
            lost: None,
            finishing: false,
            finished: false,
            overdue: false,
            ended: false,
            abandoned: false,
            reading: None,
            writing: None,
            waiting: None,
        }
    }

    pub(super) fn is_shaking(&self) -> bool {
        self.handle.is_some() && matches!(self.phase, Phase::Shaking)
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Whether nobody will ask for anything of it again.
    pub(super) fn is_over(&self) -> bool {
        self.handle.is_none() && self.abandoned
    }

    /// Takes what the connection has to tell.
    pub(super) fn hear(
        &mut self,
        event: Event,
        now: Instant,
        keys: &Keys,
        woken: &mut Vec<Waker>,
    ) -> News {
        match event {
            Event::Connected => return self.connected(now, keys, woken),
            Event::Stream(StreamEvent::Opened { dir }) => {
                // Only the end that was dialed may open any, and only one.
                match self.connection.streams().accept(dir) {
                    Some(id) if dir == Dir::Bi && self.stream.is_none() => {
                        self.stream = Some(id);
                        self.greeted(now, woken);
                    }
                    _ => self.connection.close(now, REFUSED, Bytes::new()),
                }
            }
            Event::Stream(StreamEvent::Readable { .. }) => {
                self.greeted(now, woken);
                woken.extend(self.reading.take());
            }
            Event::Stream(StreamEvent::Finished { .. }) => {
                self.finished = true;
                woken.extend(self.writing.take());
                self.bid_farewell(now);
            }
            Event::Stream(StreamEvent::Writable { .. } | StreamEvent::Stopped { .. }) => {
                woken.extend(self.writing.take());
            }
            Event::ConnectionLost { reason } => {
                self.lost = Some(ends::kind(&reason));
                self.wake_all(woken);
                if !matches!(self.phase, Phase::Open(_)) {
                    return self.fail(now, ends::fault(&reason), woken);
                }
            }
            Event::HandshakeDataReady
            | Event::DatagramReceived
            | Event::DatagramsUnblocked
            | Event::Stream(StreamEvent::Available { .. }) => {}
        }
        News::Nothing
    }

    /// The handshake is done: looks at who the other end is.
    fn connected(&mut self, now: Instant, keys: &Keys, woken: &mut Vec<Waker>) -> News {
        let session = self.connection.crypto_session();
        let data = session.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let chain = session
            .peer_identity()
            .and_then(|chain| chain.downcast::<Vec<CertificateDer<'_>>>().ok());
        let protocol = data.and_then(|data| data.protocol);
        let chain = chain.map(|chain| *chain).unwrap_or_default();
        let peer = match keys.admit(protocol.as_deref(), &chain, self.expected) {
            Ok(peer) => peer,
            Err(fault) => return self.fail(now, fault, woken),
        };
        if self.end == End::Dialing {
            self.phase = Phase::Proven(peer);
            self.greeted(now, woken);
            return News::Nothing;
        }
        let Some(id) = self.connection.streams().open(Dir::Bi) else {
            return self.fail(now, Fault::Protocol, woken);
        };
        if !matches!(self.connection.send_stream(id).write(&[WELCOME]), Ok(1)) {
            return self.fail(now, Fault::Protocol, woken);
        }
        (self.stream, self.until) = (Some(id), None);
        self.phase = Phase::Open(None);
        News::In(peer)
    }

    /// Looks for the other end's first byte.
    fn greeted(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        let Phase::Proven(peer) = &self.phase else { return };
        let peer = peer.clone();
        let mut word = [0];
        match self.read(&mut word) {
            Ok(1) if word == [WELCOME] => {
                self.until = None;
                self.phase = Phase::Open(Some(peer));
                woken.extend(self.waiting.take());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => {
                self.fail(now, Fault::Protocol, woken);
            }
        }
    }

    /// Ends it before it was open.
    pub(super) fn fail(&mut self, now: Instant, fault: Fault, woken: &mut Vec<Waker>) -> News {
        if matches!(self.phase, Phase::Failed(_)) {
            return News::Nothing;
        }
        self.until = None;
        // A closed one is not closed again; where there was no word of an end, there is one now.
        self.connection.close(now, REFUSED, Bytes::new());
        let error = TlsError::new(self.end, &self.at, fault);
        if self.end == End::Accepting {
            self.phase = Phase::Failed(None);
            self.abandoned = true;
            return News::Out(error);
        }
        self.phase = Phase::Failed(Some(error));
        self.wake_all(woken);
        News::Nothing
    }

    /// Who has taken a dial.
    pub(super) fn poll_dialed(&mut self, waker: &Waker) -> Poll<Result<Proven, TlsError>> {
        let closed = || TlsError::new(self.end, &self.at, Fault::Closed);
        match &mut self.phase {
            Phase::Open(peer) => Poll::Ready(peer.take().ok_or_else(closed)),
            Phase::Failed(error) => Poll::Ready(Err(error.take().unwrap_or_else(closed))),
            Phase::Shaking | Phase::Proven(_) => pending(&mut self.waiting, waker),
        }
    }

    /// What there is to read; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let lost = self.lost;
        let nothing = || io::Error::from(lost.unwrap_or(ErrorKind::WouldBlock));
        let Some(id) = self.stream else { return Err(nothing()) };
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else {
            return if self.ended { Ok(0) } else { Err(nothing()) };
        };
        let mut count = 0;
        let ended = loop {
            let Some(room) = buffer.get_mut(count..).filter(|room| !room.is_empty()) else {
                break None;
            };
            match chunks.next(room.len()) {
                Ok(Some(chunk)) => {
                    for (to, from) in room.iter_mut().zip(chunk.bytes.iter()) {
                        *to = *from;
                    }
                    count += chunk.bytes.len();
                }
                Ok(None) => {
                    self.ended = true;
                    break Some(Ok(0));
                }
                Err(ReadError::Blocked) => break Some(Err(nothing())),
                Err(ReadError::Reset(_)) => {
                    self.lost = lost.or(Some(ErrorKind::ConnectionReset));
                    break Some(Err(ErrorKind::ConnectionReset.into()));
                }
            }
        };
        // What follows of it is sent with the rest.
        let _ = chunks.finalize();
        match ended {
            Some(ended) if count == 0 => ended,
            _ => Ok(count),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        waker: &Waker,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                pending(&mut self.reading, waker)
            }
            read => Poll::Ready(read),
        }
    }

    pub(super) fn poll_write(&mut self, waker: &Waker, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.finishing || self.lost.is_some() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let Some(id) = self.stream else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        match self.connection.send_stream(id).write(bytes) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(WriteError::Blocked) => pending(&mut self.writing, waker),
            Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
            }
        }
    }

    /// Ends what we say, and waits until the other end has all of it, or was waited for long enough. What
    /// the other end says goes on either way.
    pub(super) fn poll_close(&mut self, now: Instant, waker: &Waker) -> Poll<io::Result<()>> {
        if self.lost.is_some() && !self.finished {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        self.finish(now);
        if self.finished {
            Poll::Ready(Ok(()))
        } else if self.overdue {
            Poll::Ready(Err(ErrorKind::TimedOut.into()))
        } else {
            pending(&mut self.writing, waker)
        }
    }

    fn finish(&mut self, now: Instant) {
        let Some(id) = self.stream.filter(|_| !mem::replace(&mut self.finishing, true)) else {
            return;
        };
        match self.connection.send_stream(id).finish() {
            Ok(()) => self.linger(now),
            // The other end wants no more.
            Err(_) => self.finished = true,
        }
    }

    fn linger(&mut self, now: Instant) {
        self.until = Some(now + LINGER);
        self.longest = Some(now + LONGEST_LINGER);
    }

    /// Something has come from the other end: what was said last is waited for a while longer.
    pub(super) fn is_there(&mut self, now: Instant) {
        if let (Some(until), Some(longest)) = (&mut self.until, self.longest) {
            *until = longest.min(now + LINGER);
        }
    }

    /// Nobody has the stream any more.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.abandoned = true;
        if matches!(self.phase, Phase::Open(_)) {
            self.finish(now);
            // However long it was waited for already.
            self.linger(now);
        } else {
            self.finished = true;
        }
        self.bid_farewell(now);
    }

    fn bid_farewell(&mut self, now: Instant) {
        if self.finished {
            self.until = None;
        }
        if self.abandoned && self.finished {
            self.connection.close(now, FAREWELL, Bytes::new());
        }
    }

    /// A deadline of this one's own has come.
    pub(super) fn give_up(&mut self, now: Instant, woken: &mut Vec<Waker>) -> News {
        if matches!(self.phase, Phase::Open(_)) {
            // What was said last is not waited for any longer.
            (self.until, self.overdue) = (None, true);
            woken.extend(self.writing.take());
            if self.abandoned {
                self.connection.close(now, FAREWELL, Bytes::new());
            }
            return News::Nothing;
        }
        self.fail(now, Fault::Silent, woken)
    }

    fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(
            [self.reading.take(), self.writing.take(), self.waiting.take()].into_iter().flatten(),
        );
    }

    /// No datagram of it will come or go any more.
    pub(super) fn drained(&mut self, woken: &mut Vec<Waker>) {
        self.handle = None;
        self.until = None;
        self.lost = self.lost.or(Some(ErrorKind::ConnectionAborted));
        self.wake_all(woken);
    }
}

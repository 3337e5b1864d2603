//! A pipe in memory: what goes each way can be recorded, cut short, changed, and taken in small pieces.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};

/// How much a direction holds.
const ROOM: usize = 64 * 1024;

/// One direction.
#[derive(Debug, Default)]
pub(in crate::driver::transport) struct Lane {
    bytes: VecDeque<u8>,
    closed: bool,
    wakers: Vec<Waker>,
    /// All that was ever written.
    pub(in crate::driver::transport) recorded: Vec<u8>,
    /// How much is taken or given at a time, where that is bounded.
    pub(in crate::driver::transport) piece: Option<usize>,
    /// With pieces, every other attempt is for nothing: of reads, and of writes.
    tried: [bool; 2],
    /// After how many bytes the direction ends.
    pub(in crate::driver::transport) cut: Option<usize>,
    /// Which byte is changed.
    pub(in crate::driver::transport) flipped: Option<usize>,
}

impl Lane {
    pub(in crate::driver::transport) fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    /// Whether this attempt is for nothing.
    fn hesitates(&mut self, which: usize, context: &Context<'_>) -> bool {
        let tried = self.tried[which];
        self.tried[which] = self.piece.is_some() && !tried;
        if self.tried[which] {
            context.waker().wake_by_ref();
        }
        self.tried[which]
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

pub(in crate::driver::transport) type Shared = Arc<Mutex<Lane>>;

/// One end. Dropping it closes both directions.
#[derive(Debug)]
pub(in crate::driver::transport) struct Pipe {
    pub(in crate::driver::transport) incoming: Shared,
    pub(in crate::driver::transport) outgoing: Shared,
}

pub(in crate::driver::transport) fn pipe() -> (Pipe, Pipe) {
    let lanes = [Shared::default(), Shared::default()];
    let [one, other] = lanes.clone();
    let [first, second] = lanes;
    (Pipe { incoming: one, outgoing: other }, Pipe { incoming: second, outgoing: first })
}

/// An end at which all of this can be read, and then the end.
pub(in crate::driver::transport) fn played(bytes: &[u8]) -> (Pipe, Shared) {
    let (ours, theirs) = pipe();
    {
        let mut lane = ours.incoming.lock().unwrap();
        lane.bytes.extend(bytes);
        lane.closed = true;
    }
    let sent = ours.outgoing.clone();
    // What is sent goes nowhere, and is taken.
    std::mem::forget(theirs);
    (ours, sent)
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.incoming.lock().unwrap().close();
        self.outgoing.lock().unwrap().close();
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.incoming.lock().unwrap();
        if lane.hesitates(0, context) {
            return Poll::Pending;
        }
        if lane.bytes.is_empty() {
            if lane.closed {
                return Poll::Ready(Ok(0));
            }
            lane.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(lane.bytes.len()).min(lane.piece.unwrap_or(usize::MAX));
        for (to, from) in buffer.iter_mut().zip(lane.bytes.drain(..count)) {
            *to = from;
        }
        lane.wake();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.outgoing.lock().unwrap();
        if lane.hesitates(1, context) {
            return Poll::Pending;
        }
        if lane.closed && lane.cut.is_none() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(ROOM - lane.bytes.len()).min(lane.piece.unwrap_or(usize::MAX));
        if count == 0 {
            lane.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        for byte in &bytes[..count] {
            let at = lane.recorded.len();
            let changed = if lane.flipped == Some(at) { byte ^ 0x40 } else { *byte };
            lane.recorded.push(changed);
            if lane.cut.is_none_or(|cut| at < cut) {
                lane.bytes.push_back(changed);
            }
        }
        if lane.cut.is_some_and(|cut| lane.recorded.len() >= cut) {
            lane.closed = true;
        }
        lane.wake();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.lock().unwrap().close();
        Poll::Ready(Ok(()))
    }
}

/// Where records of TLS begin, and the end of the last.
pub(in crate::driver::transport) fn records(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 5) {
        at += 5 + usize::from(u16::from_be_bytes([head[3], head[4]]));
        starts.push(at);
    }
    assert_eq!(at, bytes.len(), "records are whole");
    starts
}

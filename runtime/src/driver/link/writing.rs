//! The writing side of a link: bytes that are kept or on their way, and who writes them when.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use event_listener::listener;
use futures_lite::FutureExt;
use hatchery_proto::Gather;

use super::{BATCH, Line, Link, clock, lock, passing, readiness};

/// Encoded bytes that are kept, or that the line has not taken yet, and the line while there is one.
pub(super) struct Outgoing {
    line: Option<Arc<Line>>,
    frames: Gather,
    blocked: bool,
    /// How often it was, for descriptors that are on their way elsewhere, since it last was not.
    crowded: u32,
}

/// How long what a link says last may take, where its line may take its time.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So many buffers go into one write.
pub(super) const SLICES: usize = 16;

impl Outgoing {
    pub(super) fn to(line: Option<Arc<Line>>) -> Self {
        Self { line, frames: Gather::default(), blocked: false, crowded: 0 }
    }
}

/// Writes as much as the line takes at once.
fn write(line: &Line, frames: &Gather) -> std::io::Result<usize> {
    if passing::are_in(frames) {
        return passing::write(line, frames);
    }
    let (mut slices, mut count) = ([IoSlice::new(&[]); SLICES], 0);
    for (place, slice) in slices.iter_mut().zip(frames.slices()) {
        *place = IoSlice::new(slice);
        count += 1;
    }
    line.write(slices.get(..count).unwrap_or_default())
}

enum Written {
    All,
    Blocked,
    Failed,
}

impl Link {
    /// Ends once the socket has taken all that the core had to send, or takes no more.
    pub(crate) async fn written(self: &Arc<Self>) {
        let all_is = || {
            // The core first: what has left it is among the outgoing bytes.
            let taken = self.look(|core| core.is_closed() || !core.wants_transmit());
            let (rest, _) = self.outgoing();
            (taken && rest == 0).then_some(())
        };
        self.written.until(all_is).await;
    }

    /// How much the socket has still to take, and whether it takes no more for now; nothing once it
    /// is gone.
    fn outgoing(self: &Arc<Self>) -> (usize, Option<bool>) {
        let state = {
            let outgoing = lock(&self.outgoing);
            match &outgoing.line {
                Some(line) => {
                    let inside = usize::from(line.is_behind());
                    (outgoing.frames.len() + inside, Some(outgoing.blocked))
                }
                None => (0, None),
            }
        };
        // Whoever found the lock taken has left its frames to us.
        self.flush();
        state
    }

    /// Writes what is kept and what the core has to send, as far as the socket takes it.
    pub(crate) fn flush(self: &Arc<Self>) {
        if let Some(carrier) = &self.inner {
            carrier.notify(1);
            return;
        }
        if self.write_out() {
            self.tell(|_| ());
        }
    }

    /// The same; says whether somebody waits who is to be told of room that this has made.
    fn write_out(self: &Arc<Self>) -> bool {
        let mut made_room = false;
        loop {
            // Whoever holds the lock looks again after letting it go, so nothing is forgotten.
            let Ok(mut outgoing) = self.outgoing.try_lock() else { return made_room };
            let done = self.write_some(&mut outgoing, &mut made_room);
            drop(outgoing);
            match done {
                Written::Blocked => {
                    self.blocked.notify(1);
                    return made_room;
                }
                Written::Failed => {
                    // It sees to the line's end.
                    self.blocked.notify(1);
                    self.tell(|connection| connection.handle_write_closed());
                }
                Written::All => {}
            }
            let connection = lock(&self.connection);
            if connection.wants_transmit() {
                continue;
            }
            let (closed, said_all) = (connection.is_closed(), connection.has_said_all());
            drop(connection);
            if said_all {
                lock(&self.outgoing).line.as_ref().inspect(|line| line.close_writing());
            }
            self.written.notify(usize::MAX);
            if closed {
                self.drop_socket();
            }
            return made_room;
        }
    }

    fn write_some(&self, outgoing: &mut Outgoing, made_room: &mut bool) -> Written {
        if outgoing.blocked {
            return Written::Blocked;
        }
        // Never behind a write that was cut short: what is more urgent may come until it goes on. Once a
        // time: whoever has this done looks whether there is more.
        let room = BATCH.saturating_sub(outgoing.frames.len());
        if !outgoing.frames.is_begun() && room > 0 {
            *made_room |= self.gather(&mut outgoing.frames, room);
        }
        loop {
            if outgoing.frames.is_empty() {
                outgoing.blocked = outgoing.line.as_ref().is_some_and(|line| line.is_behind());
                return if outgoing.blocked { Written::Blocked } else { Written::All };
            }
            let Some(line) = &outgoing.line else {
                outgoing.frames.clear();
                return Written::Failed;
            };
            match write(line, &outgoing.frames) {
                Ok(count) => {
                    outgoing.frames.advance(count);
                    outgoing.crowded = 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    outgoing.blocked = true;
                    return Written::Blocked;
                }
                Err(error) if passing::is_crowded(&error, outgoing.crowded) => {
                    outgoing.blocked = true;
                    outgoing.crowded += 1;
                    return Written::Blocked;
                }
                Err(error) => {
                    tracing::debug!(
                        target: "hatchery::transport",
                        %error,
                        "writing to a link failed; reading goes on"
                    );
                    outgoing.frames.clear();
                    // The peer would wait for ever for what was lost: it is to see an end.
                    line.close_writing();
                    outgoing.blocked = line.is_behind();
                    return Written::Failed;
                }
            }
        }
    }

    /// Waits for room in the line whenever it took less than it was given.
    pub(super) async fn write(self: Arc<Self>, line: Arc<Line>) {
        loop {
            listener!(self.blocked => room);
            self.turns.woken.store(0, Ordering::Relaxed);
            let (_, blocked) = self.outgoing();
            match blocked {
                None => return line.gone().await,
                Some(false) => {
                    room.await;
                    continue;
                }
                Some(true) => {}
            }
            if lock(&self.outgoing).crowded > 0 {
                passing::thins().await;
            }
            // The line going away ends this wait too: it is closed first.
            let writable = line.writable().await;
            lock(&self.outgoing).blocked = false;
            if writable.is_err() {
                line.close_writing();
                self.tell(|connection| connection.handle_write_closed());
            }
            self.flush();
        }
    }

    /// Lets a line that may take its time take what is left, for a bounded time: a socket has taken it,
    /// or never will.
    pub(super) async fn last_words(self: &Arc<Self>) {
        let takes_time = lock(&self.outgoing).line.as_ref().is_some_and(|line| line.takes_time());
        if takes_time {
            self.written().or(readiness::until(clock::now() + LAST_WORDS)).await;
        }
    }

    /// Closes the socket, and tells nobody but those who wait for it.
    pub(crate) fn drop_socket(&self) {
        let mut outgoing = lock(&self.outgoing);
        outgoing.frames.clear();
        outgoing.blocked = false;
        let line = outgoing.line.take();
        drop(outgoing);
        if let Some(line) = line {
            // Wakes the reader and the writer, which hold the line too.
            line.close();
        }
        self.blocked.notify(usize::MAX);
        self.written.notify(usize::MAX);
        self.rearm.notify(usize::MAX);
    }
}

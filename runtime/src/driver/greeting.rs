//! The beginning of a link, before there is a reactor to drive it: the first words of a child are
//! exchanged on the thread at hand. Decides nothing; what is heard is the business of whoever listens.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use hatchery_proto::Connection;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::clock;
use super::way::Way;

/// More than a greeting and the first words behind it.
const ROOM: usize = 4096;

/// Drives the link until `heard` has what it listens for; nothing where the link ends before, or where
/// `interrupt` can be read. Blocks; the link may be nonblocking. Events stay where they are.
///
/// Whatever was read has been given to the connection: another driver goes on from there.
pub(crate) fn listen<T>(
    connection: &mut Connection,
    mut link: &Way,
    interrupt: Option<BorrowedFd<'_>>,
    mut heard: impl FnMut(&mut Connection) -> Option<T>,
) -> Option<T> {
    let mut bytes = [0; ROOM];
    loop {
        say(connection, link);
        if let Some(heard) = heard(connection) {
            return Some(heard);
        }
        if connection.is_closed() || is_interrupted(connection, link, interrupt) {
            return None;
        }
        match link.read(&mut bytes) {
            Ok(count @ 1..) => {
                let bytes = bytes.get(..count).unwrap_or_default();
                connection.handle_input(clock::now(), bytes);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => connection.handle_eof(clock::now()),
        }
    }
}

/// Waits for something to be read, or for the next deadline; says whether there is another matter.
fn is_interrupted(
    connection: &mut Connection,
    link: &Way,
    interrupt: Option<BorrowedFd<'_>>,
) -> bool {
    let rest = connection.poll_timeout().map(|(at, _)| at.since(clock::now()));
    // Rounded up, not to look before it is due.
    let rest = rest.and_then(|rest| Timespec::try_from(rest + Duration::from_millis(1)).ok());
    let link = link.reads();
    let mut polled = [link, interrupt.unwrap_or(link)]
        .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
    // What is wrong with it, if anything is, the read says.
    let _ = rustix::event::poll(&mut polled, rest.as_ref());
    connection.handle_timeout(clock::now());
    interrupt.is_some() && !polled[1].revents().is_empty()
}

/// Writes all that the connection has to say.
pub(crate) fn say(connection: &mut Connection, mut link: &Way) {
    let mut frames = Vec::new();
    while connection.wants_transmit()
        && connection.poll_transmit(clock::now(), &mut frames, ROOM) > 0
    {
        let mut rest = frames.as_slice();
        while !rest.is_empty() {
            match link.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let room = PollFd::from_borrowed_fd(link.writes(), PollFlags::OUT);
                    let _ = rustix::event::poll(&mut [room], None);
                }
                Err(_) => return connection.handle_write_closed(),
            }
        }
        frames.clear();
    }
}

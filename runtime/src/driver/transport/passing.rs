//! Descriptors with the bytes of a line (P-F6): they leave with the first byte of a write and come with
//! one of a read. Of which message they are is not known here.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use hatchery_proto::{Handle, Limits, Missing, Passed};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::carrier::{Carrier, Line};

/// As many as a message carries.
const MOST: usize = Limits::DESCRIPTORS as usize;

impl Carrier {
    /// Whether descriptors go over it.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl Line {
    /// As [`read`](Self::read), on a line that passes descriptors: with those that came with one of the
    /// bytes. Where they did, the read has ended behind them, however much more there is.
    pub(crate) async fn read_passing(&self, buffer: &mut [u8]) -> io::Result<(usize, Passed)> {
        let Self::Unix(socket) = self else {
            return Ok((self.read(buffer).await?, Passed::NONE));
        };
        socket.read_with(|socket| receive(socket, buffer)).await
    }

    /// As [`write`](Self::write), with these.
    ///
    /// # Errors
    ///
    /// As there; `ResourceBusy` where too many of this user's descriptors are on their way.
    pub(crate) fn write_passing(
        &self,
        slices: &[IoSlice<'_>],
        passed: &Passed,
    ) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => send(socket.get_ref(), slices, passed),
            Self::Tcp(_) | Self::Pipes(_) | Self::Stream(_) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

fn send(socket: impl AsFd, slices: &[IoSlice<'_>], passed: &Passed) -> io::Result<usize> {
    let ours = |handle: &Handle| handle.clone().downcast::<OwnedFd>().ok();
    let owned: Vec<_> = passed.handles().iter().filter_map(ours).collect();
    let descriptors: Vec<_> = owned.iter().map(|owned| owned.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS.into());
    }
    match rustix::net::sendmsg(socket, slices, &mut control, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(sent),
        Err(Errno::TOOMANYREFS) => Err(ErrorKind::ResourceBusy.into()),
        Err(error) => Err(error.into()),
    }
}

fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Passed)> {
    // Room for one more, by which a peer that sends more is told from a process that has no room.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST + 1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut bytes, &mut control, flags)?;
    let mut came: Vec<Handle> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            came.extend(descriptors.map(|descriptor| Arc::new(descriptor) as Handle));
        }
    }
    // The system has closed what there was no room for, and the others go with it.
    let cut = received.flags.contains(ReturnFlags::CTRUNC) && came.len() <= MOST;
    let passed = if cut { Passed::missing(Missing::NoRoom) } else { Passed::of(came) };
    Ok((received.bytes, passed))
}

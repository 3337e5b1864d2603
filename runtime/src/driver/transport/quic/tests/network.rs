//! A network of one wire, that loses datagrams, remembers them, and changes the address they come from.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use async_io::Async;
use futures_lite::FutureExt as _;

use super::*;

/// Passes datagrams on between whoever sends first and one endpoint.
pub(super) struct Wire {
    outside: Async<UdpSocket>,
    inside: RefCell<std::rc::Rc<Async<UdpSocket>>>,
    to: SocketAddr,
    /// Every so many-th datagram is lost, where it is not 0.
    pub(super) loses: Cell<usize>,
    passed: Cell<usize>,
    /// What the dialer has sent.
    pub(super) recorded: RefCell<Vec<Vec<u8>>>,
}

impl Wire {
    pub(super) fn to(to: SocketAddr) -> Self {
        let socket = || Async::<UdpSocket>::bind(ANY).unwrap();
        Self {
            outside: socket(),
            inside: RefCell::new(std::rc::Rc::new(socket())),
            to,
            loses: Cell::new(0),
            passed: Cell::new(0),
            recorded: RefCell::default(),
        }
    }

    /// Where it is dialed.
    pub(super) fn address(&self) -> SocketAddr {
        self.outside.get_ref().local_addr().unwrap()
    }

    /// From now on what the dialer sends comes from elsewhere.
    pub(super) fn move_away(&self) {
        *self.inside.borrow_mut() = std::rc::Rc::new(Async::<UdpSocket>::bind(ANY).unwrap());
    }

    /// How many datagrams have gone through.
    pub(super) fn passed(&self) -> usize {
        self.passed.get()
    }

    fn is_lost(&self) -> bool {
        self.passed.set(self.passed.get() + 1);
        self.loses.get() > 0 && self.passed.get().is_multiple_of(self.loses.get())
    }

    pub(super) async fn carry(&self) -> ! {
        let mut dialer = None;
        let (mut out, mut back) = ([0; 2048], [0; 2048]);
        loop {
            let inside = self.inside.borrow().clone();
            let sent = async {
                let (count, from) = self.outside.recv_from(&mut out).await.unwrap();
                (Some(from), count)
            };
            let answered = async { (None, inside.recv_from(&mut back).await.unwrap().0) };
            match sent.or(answered).await {
                (Some(from), count) => {
                    dialer = Some(from);
                    self.recorded.borrow_mut().push(out[..count].to_vec());
                    if !self.is_lost() {
                        // Anew: it may have changed while it was waited for.
                        let inside = self.inside.borrow().clone();
                        inside.send_to(&out[..count], self.to).await.unwrap();
                    }
                }
                (None, count) => {
                    if !self.is_lost() {
                        self.outside.send_to(&back[..count], dialer.unwrap()).await.unwrap();
                    }
                }
            }
        }
    }
}

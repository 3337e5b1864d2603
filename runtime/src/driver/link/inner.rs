//! A link with both of its ends in this process: no socket, and one task that carries what either end
//! says to the other. Decides nothing, and knows no more of what is said than its size.

use std::sync::Arc;

use async_executor::Executor;
use event_listener::{Event as Signal, listener};
use futures_lite::future;
use hatchery_proto::Connection;

use super::{BATCH, Handler, Link, passing};

impl Link {
    /// Starts driving two connections that are each other's peer, for as long as the executor is
    /// there or until either is [`cut`](Self::cut).
    pub(crate) fn pair(
        ends: [(Connection, Box<dyn Handler>); 2],
        executor: &Executor<'static>,
    ) -> [Arc<Self>; 2] {
        let news = Arc::new(Signal::new());
        let ends = ends.map(|(connection, handler)| {
            let connection = passing::taking_descriptors(connection);
            Self::over(connection, None, Some(news.clone()), handler)
        });
        // They greet each other before a clock runs: whoever opens may be long in letting others run.
        greet(&ends);
        for end in &ends {
            executor.spawn(end.clone().keep_time()).detach();
        }
        executor.spawn(carry(ends.clone(), news)).detach();
        ends
    }

    /// Hands on what this end has to say, as much as goes at a time; says whether that was any.
    fn carry_to(self: &Arc<Self>, other: &Arc<Self>, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let count = self.transmit(bytes, BATCH);
        if count > 0 {
            other.hear_passing(bytes, || self.draw(Connection::poll_descriptors));
        }
        count > 0
    }
}

fn greet([one, other]: &[Arc<Link>; 2]) {
    let mut bytes = Vec::new();
    one.carry_to(other, &mut bytes);
    other.carry_to(one, &mut bytes);
}

async fn carry(ends: [Arc<Link>; 2], news: Arc<Signal>) {
    let [one, other] = &ends;
    let mut bytes = Vec::new();
    loop {
        listener!(news => more);
        let forth = one.carry_to(other, &mut bytes);
        let back = other.carry_to(one, &mut bytes);
        if ends.iter().any(|end| end.look(Connection::is_closed)) {
            // There is nothing on its way that the other end could still read.
            ends.iter().for_each(Link::cut);
            return;
        }
        if forth || back {
            future::yield_now().await;
        } else {
            more.await;
        }
    }
}

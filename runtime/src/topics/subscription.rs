//! The consumer's end of a publisher's stream.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Published;
use crate::error::{Error, Result};
use crate::stream::{MsgStream, RecvHalf, SendHalf};

/// A consumer's end of a stream from a [`Publisher`](crate::Publisher).
#[must_use = "dropping a subscription ends it"]
pub struct Subscription<K, V> {
    sender: SendHalf<BTreeSet<K>>,
    receiver: RecvHalf<Published<K, V>>,
}

impl<K, V> Subscription<K, V>
where
    K: Ord + Serialize + DeserializeOwned,
    V: DeserializeOwned,
{
    /// A subscription without topics, over the stream of a context whose other end is
    /// [served](crate::Publisher::serve).
    pub fn over(stream: MsgStream<BTreeSet<K>, Published<K, V>>) -> Self {
        let (sender, receiver) = stream.split();
        Self { sender, receiver }
    }

    /// Asks for these topics, in place of those before. Values of the old ones may still be on their
    /// way.
    ///
    /// # Errors
    /// As [`SendHalf::send`].
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has asked for nothing.
    pub async fn want(&self, topics: impl IntoIterator<Item = K>) -> Result<()> {
        self.sender.send(topics.into_iter().collect()).await
    }

    /// Receives the next value and its topic; `None` once the publisher has closed.
    ///
    /// # Errors
    /// `Lagged` where values were dropped since this consumer was too slow: it goes on. Else as
    /// [`RecvHalf::recv`].
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has taken nothing: the next receive gets the value.
    pub async fn recv(&mut self) -> Result<Option<(K, V)>> {
        match self.receiver.recv().await? {
            Some(published) => self.value_of(published).map(Some),
            None => Ok(None),
        }
    }

    /// Ends the subscription: the publisher sends what it has begun, and no more.
    ///
    /// # Errors
    /// As [`SendHalf::close`].
    ///
    /// # Cancel safety
    /// Does its work when first polled.
    pub async fn leave(self) -> Result<()> {
        self.sender.close().await
    }

    fn value_of(&self, published: Published<K, V>) -> Result<(K, V)> {
        match published {
            Published::Value(topic, value) => Ok((topic, value)),
            Published::Lagged(missed) => {
                let dialog = self.receiver.dialog();
                Err(Error::lagged(&dialog.peer, &dialog.task, missed))
            }
        }
    }
}

impl<K, V> Stream for Subscription<K, V>
where
    K: Ord + Serialize + DeserializeOwned + Unpin,
    V: DeserializeOwned + Unpin,
{
    type Item = Result<(K, V)>;

    /// As `recv`; an error other than `Lagged` ends the stream.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll_next(cx));
        Poll::Ready(received.map(|received| received.and_then(|it| self.value_of(it))))
    }
}

impl<K, V> fmt::Debug for Subscription<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.receiver.dialog().id;
        f.debug_struct("Subscription").field("dialog", &id).finish_non_exhaustive()
    }
}

//! What comes in on a dialog, still encoded, as everything that receives takes it: by an async call or
//! as a stream, whichever comes next. What a value is, and what an error, is its holder's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::dialog::{Dialog, Received};
use crate::error::Result;

/// The receiving end of a dialog.
pub(crate) struct Intake {
    dialog: Arc<Dialog>,
    bytes: Vec<u8>,
    pending: Option<Receiving>,
    ended: bool,
}

/// A receive that was begun by `poll_next` and has not ended yet. It owns what it takes.
type Receiving = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>>> + Send + Sync>>;

impl Intake {
    pub(crate) fn of(dialog: Arc<Dialog>) -> Self {
        Self { dialog, bytes: Vec::new(), pending: None, ended: false }
    }

    pub(crate) fn dialog(&self) -> &Arc<Dialog> {
        &self.dialog
    }

    /// Takes the next value, as `decode` makes it of its bytes; `None` after a graceful end. Dropped
    /// before it is done, it has taken nothing.
    pub(crate) async fn recv<T>(
        &mut self,
        decode: impl FnOnce(&[u8], &Dialog) -> T,
    ) -> Result<Option<T>> {
        if let Some(pending) = &mut self.pending {
            let received = pending.as_mut().await;
            self.pending = None;
            return Ok(received?.map(|bytes| decode(&bytes, &self.dialog)));
        }
        Ok(match self.dialog.recv(&mut self.bytes).await? {
            Received::Value => Some(decode(&self.bytes, &self.dialog)),
            Received::End => None,
        })
    }

    /// The same as a stream, which an error ends.
    pub(crate) fn poll_next<T>(
        &mut self,
        decode: impl FnOnce(&[u8], &Dialog) -> T,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<T>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let dialog = &self.dialog;
        let pending = self.pending.get_or_insert_with(|| {
            let dialog = dialog.clone();
            Box::pin(async move {
                let mut bytes = Vec::new();
                match dialog.recv(&mut bytes).await? {
                    Received::Value => Ok(Some(bytes)),
                    Received::End => Ok(None),
                }
            })
        });
        let received = ready!(pending.as_mut().poll(cx));
        self.pending = None;
        self.ended = !matches!(received, Ok(Some(_)));
        let received = received.map(|bytes| bytes.map(|bytes| decode(&bytes, &self.dialog)));
        Poll::Ready(received.transpose())
    }

    /// Gives up a receive that `poll_next` has begun; it has taken nothing.
    pub(crate) fn forget(&mut self) {
        self.pending = None;
    }
}

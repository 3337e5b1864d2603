//! How the body of a context's block runs, and how the far task's failure ends it.
//!
//! Drops nothing that still has something open in it, and decides nothing about whose error is raised.

use std::future::{Future, poll_fn};
use std::task::Poll;

use event_listener::EventListener;
use hatchery_proto::Cause;

use super::by_us;
use crate::actor::Actor;
use crate::dialog::Dialog;
use crate::task::{self, Ended, Scope};

/// Runs the body of a block to its end. Where the far task fails first, and nothing in the body waits
/// to hear of that, the body is cancelled: what is open in it ends before it is dropped (P-C2). Says
/// whether that was so. The failure of a one-way stream's producer, which is no `is_context`, ends
/// nothing: it is found behind the items.
pub(super) async fn run<F: Future>(
    body: F,
    dialog: &Dialog,
    scope: &Scope,
    actor: &Actor,
    is_context: bool,
) -> (Ended<F::Output>, bool) {
    let by = || scope.cancelled().unwrap_or_else(|| by_us(Cause::ScopeEnding));
    // Before the body is dropped: a stream that goes with it would be heard of first, and be the far
    // task's error.
    let before = || {
        if !dialog.has_failed() {
            dialog.cancel_within(by(), scope.share());
        }
    };
    let interrupts = || {
        let interrupts =
            dialog.has_failed() && !dialog.told.will_be() && scope.cancelled().is_none();
        if interrupts {
            // It waits for nobody any more: all of the grace is for what is in the body.
            scope.set_holding(false);
            scope.cancel(by_us(Cause::ScopeEnding), actor.settings().grace());
        }
        interrupts
    };
    let mut body = Some(Box::pin(body));
    let mut changed: Option<EventListener> = None;
    let mut failed = false;
    poll_fn(|cx| {
        loop {
            // The body first: if it is waiting on this context, it hears of the end by itself.
            let in_body = dialog.told.in_body();
            let polled = task::poll_in(scope, &mut body, task::poll, before, cx);
            drop(in_body);
            if let Poll::Ready(ended) = polled {
                return Poll::Ready((ended, failed));
            }
            if failed || !is_context {
                return Poll::Pending;
            }
            failed = interrupts();
            while !failed {
                let listener = changed.get_or_insert_with(|| dialog.signal().listen());
                failed = interrupts();
                if failed {
                    break;
                }
                match std::pin::Pin::new(listener).poll(cx) {
                    Poll::Ready(()) => changed = None,
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
    })
    .await
}

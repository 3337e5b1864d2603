//! How a child takes leave of its parent: its last words, and the order in which the link ends.

use std::sync::Arc;

use hatchery_proto::{DialogId, GoodbyeReason, Refusal, Terminal};

use crate::driver::link::{Link, Loops};
use crate::ending::LastWords;
use crate::endpoint::Failed;
use crate::error::Error;

/// What a child's parent is told last.
pub(super) enum Words {
    Refused((Refusal, String)),
    Ended(Terminal),
}

/// The way out: the terminal of dialog 0, then `Goodbye`, then the end of the link (P-L3).
pub(super) struct Parting<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) loops: Loops,
    pub(super) words: Option<Words>,
    /// The process's exit code.
    pub(super) code: i32,
}

impl LastWords for Parting<'_> {
    fn hooks_failed(&mut self, failures: Vec<Error>) {
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return };
        match &mut self.words {
            Some(Words::Ended(Terminal::Failed { report, .. })) => {
                report.also.push(first.as_also());
                report.also.extend(failures.map(|error| error.as_also()));
            }
            Some(Words::Ended(terminal)) => {
                let error = first.with_others(failures.collect());
                *terminal = Failed::from_error(&error, "an exit hook").into_terminal();
            }
            // What the parent is told is why the actor never was one.
            Some(Words::Refused((_, message))) => {
                for error in std::iter::once(first).chain(failures) {
                    message.push_str("; an exit hook failed as well: ");
                    message.push_str(&error.to_string());
                }
            }
            None => {}
        }
    }

    async fn tell(&mut self) {
        let Some(words) = self.words.take() else { return };
        if let Words::Ended(terminal) = &words {
            self.code = i32::from(matches!(terminal, Terminal::Failed { .. }));
        }
        self.link.tell(|connection| match (connection.callee(DialogId::ACTOR), words) {
            (Some(callee), Words::Refused((refusal, message))) => callee.refuse(refusal, message),
            (Some(callee), Words::Ended(terminal)) => callee.finish(terminal),
            (None, _) => {}
        });
        self.link.written().await;
    }

    async fn part(&mut self) {
        self.link.with(|connection, now| connection.goodbye(now, GoodbyeReason::Leaving));
        self.link.closed().await;
        self.loops.ended().await;
    }
}

//! How dialogs end by a terminal: written by the callee, taken in by the opener (P-D4, P-D5).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::views::data;
use super::{Connection, Event, Terminal};
use crate::dialog::tables::{Life, LifeStep};
use crate::dialog::{Control, Kind, Outgoing, Side};
use crate::error::Misuse;
use crate::id::DialogId;
use crate::report::{Code, Failure, Outcome, Refusal, Report};
use crate::wire::{Tag, body};

impl Connection {
    /// The callee's task is gone; a context that never started cannot return (P-D2).
    pub(super) fn end(&mut self, id: DialogId, terminal: Terminal) {
        let Some(dialog) = self.dialogs.get(&id) else { return };
        debug_assert!(dialog.side == Side::Callee, "only callees send terminals");
        let unstarted =
            matches!(dialog.kind, Kind::Context | Kind::Actor) && dialog.life != Life::Live;
        match terminal {
            Terminal::Return(value) => {
                let size = value.len();
                let max = self.max_message();
                let refused = if unstarted {
                    Some(alloc::format!("{}", Misuse::NotStarted))
                } else if size > max {
                    Some(alloc::format!("the result: {}", Misuse::TooLarge { size, max }))
                } else {
                    None
                };
                match refused {
                    None => self.finish(id, data(Tag::Return, value)),
                    Some(message) => {
                        let origin = self.config.me.clone();
                        let code = Code::Misuse;
                        let report = Report::new((origin.uuid, 0), code, origin, message);
                        self.finish_with(id, &Failure::Failed(Box::new(report)), Vec::new());
                    }
                }
            }
            Terminal::Failed { report, payload } => {
                self.finish_with(id, &Failure::Failed(report), payload);
            }
            Terminal::Cancelled(by) => {
                self.finish_with(id, &Failure::Cancelled(by), Vec::new());
            }
        }
    }

    /// Queues a terminal that is an error; it is one frame at most (P-F3).
    pub(super) fn finish_with(&mut self, id: DialogId, failure: &Failure, payload: Vec<u8>) {
        let room = self.chunk();
        let mut head = Vec::new();
        body::put(&mut head, failure);
        let mut payload = payload;
        if head.len().saturating_add(payload.len()) > room {
            head.clear();
            let cut = match failure {
                Failure::Failed(report) => {
                    let mut report = (**report).clone();
                    report.truncate_to(&self.config.limits, room / 2);
                    Failure::Failed(Box::new(report))
                }
                Failure::Refused(refusal, message) => {
                    Failure::Refused(*refusal, message.chars().take(room / 8).collect())
                }
                Failure::Cancelled(by) => Failure::Cancelled(by.clone()),
            };
            body::put(&mut head, &cut);
            if head.len().saturating_add(payload.len()) > room {
                payload.clear();
            }
        }
        head.append(&mut payload);
        let message =
            Outgoing { tag: Tag::Error, head, payload: Vec::new(), written: 0, begun: false };
        self.finish(id, message);
    }

    /// The callee's task is gone: its terminal is queued behind what it sent (P-F3).
    pub(super) fn finish(&mut self, id: DialogId, message: Outgoing) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.finished {
            return;
        }
        dialog.finished = true;
        dialog.start = None;
        dialog.partial = None;
        if dialog.discard(false) {
            dialog.control.credit = true;
            self.queue_control(id);
        }
        self.queue_data(id, message);
    }

    pub(super) fn refuse(&mut self, id: DialogId, refusal: Refusal, message: String) {
        self.finish_with(id, &Failure::Refused(refusal, message), Vec::new());
    }

    /// The dialog is over at its opener: nothing of it is left to be written (P-D5).
    pub(super) fn terminal(&mut self, id: DialogId, outcome: Outcome) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.outcome.is_none() {
            dialog.outcome = Some(outcome);
            self.events.push_back(Event::Finished(id));
        }
        let _ = dialog.end(LifeStep::Finish);
        dialog.queue.clear();
        dialog.control = Control::default();
        self.ours = self.ours.saturating_sub(1);
        if dialog.released {
            self.dialogs.remove(&id);
        }
        self.waits.retain(|(_, known)| *known != id);
    }
}

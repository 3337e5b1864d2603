//! What has to hold in every state of two peers.

use hatchery_proto::{DialogId, Ledger};

use super::super::search::Finding;
use super::users::Talk;
use super::{Plan, World, broken, name};

impl Plan {
    pub(super) fn check(&self, world: &World) -> Result<(), Finding> {
        for talk in &world.talks {
            let Some(id) = talk.id else { continue };
            let opener = talk.opener_end;
            let ledgers = [opener, 1 - opener].map(|end| world.ends[end].core.ledger(id));
            for (ledger, end) in ledgers.iter().zip([opener, 1 - opener]) {
                if let Some(ledger) = ledger {
                    own_books(talk, ledger, end)?;
                }
            }
            if let [Some(opener_side), Some(callee_side)] = &ledgers
                && opener_side.live
                && callee_side.live
                && !world.links.iter().any(|link| link.cut)
            {
                self.books(world, talk, id, [opener_side, callee_side])?;
            }
            self.answered(world, talk, ledgers[0].as_ref())?;
        }
        self.memory(world)
    }

    /// What the sender still may send, with all that is on its way, is what the receiver expects.
    fn books(
        &self,
        world: &World,
        talk: &Talk,
        id: DialogId,
        [opener_side, callee_side]: [&Ledger; 2],
    ) -> Result<(), Finding> {
        let opener = talk.opener_end;
        let down = (callee_side, 1 - opener, opener_side);
        let up = (opener_side, opener, callee_side);
        // A direction is dead once its sender has asked to cancel, and begins with `StartAck`.
        let alive = opener_side.accepted && !opener_side.dead && !callee_side.dead;
        for (sender, end, receiver) in std::iter::once(down).chain(alive.then_some(up)) {
            let mine = |cost: i64, of: DialogId| if of == id { cost } else { 0 };
            let way: i64 = world.links[end].queue.iter().map(|p| mine(p.cost, p.id)).sum();
            let back: i64 = world.links[1 - end].queue.iter().map(|p| mine(p.credit, p.id)).sum();
            let known = sender.balance + sender.unsent + way + back;
            if known != receiver.allowance {
                return broken(format!(
                    "credit is not conserved (P-W1) from {} in {id}: balance {}, unsent {}, on \
                     their way {way} and credit {back}, but the receiver expects {}",
                    name(end),
                    sender.balance,
                    sender.unsent,
                    receiver.allowance
                ));
            }
        }
        Ok(())
    }

    /// Where nothing is on its way, whoever was asked has answered (P-C1).
    fn answered(
        &self,
        world: &World,
        talk: &Talk,
        opener_side: Option<&Ledger>,
    ) -> Result<(), Finding> {
        let Some(ledger) = opener_side.filter(|ledger| ledger.live && ledger.dead) else {
            return Ok(());
        };
        if !world.is_quiet() {
            return Ok(());
        }
        let heard = talk.callee.asked > 0 || talk.callee.how.is_some();
        // No ack passes a `StartAck`, for which the task's user has to accept (P-W4): until then it
        // is owed, and from then on every `Cancel` is answered.
        let acked = ledger.unanswered != talk.callee.accepted;
        if heard && acked {
            return Ok(());
        }
        Err(Finding::Unanswered(format!(
            "{} has asked to cancel, nothing is on its way, and the other side has {} (P-C1)",
            name(talk.opener_end),
            if heard { "not answered" } else { "not heard of it" }
        )))
    }

    fn memory(&self, world: &World) -> Result<(), Finding> {
        for (number, end) in world.ends.iter().enumerate() {
            let limits = end.core.limits();
            let per_dialog = limits.window + 2 * limits.max_message + limits.max_frame;
            let dialogs = end.core.known_dialogs();
            let bound = limits.max_frame as usize + dialogs * per_dialog as usize;
            let held = end.core.held();
            if held > bound {
                return broken(format!(
                    "{} holds {held} bytes, {bound} are allowed (P-F5)",
                    name(number)
                ));
            }
        }
        Ok(())
    }
}

/// At the receiver: what came in, what was given back and what still may come is the window.
fn own_books(talk: &Talk, ledger: &Ledger, end: usize) -> Result<(), Finding> {
    // The arguments of a call are never given back, nor is what a cancel left behind, nor those of
    // what was refused before anybody was told.
    let callee = end != talk.opener_end;
    let refused = talk.callee.how.is_some() || (talk.callee.told == 0 && !ledger.kept);
    if !ledger.live || (callee && (ledger.dead || !talk.streams || refused)) {
        return Ok(());
    }
    let sum = ledger.allowance + ledger.held + ledger.owed;
    if sum == ledger.window {
        return Ok(());
    }
    broken(format!(
        "{}'s books of talk {} do not add up (P-W1): {ledger:?}",
        name(end),
        talk.number
    ))
}

//! What has to hold in every state, and of every message.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use hatchery_proto::dialog::tables::{Cancel, Life};
use hatchery_proto::wire::body::Done;
use hatchery_proto::wire::{CONTINUED, Tag};
use hatchery_proto::{
    Connection, DialogId, Event, GoodbyeReason, Limits, Outcome, Recv, Violation,
};

use super::super::pair::link::packets;
use super::super::pair::{Notes, broken};
use super::super::search::Finding;
use super::alphabet::Message;
use super::book::Verdict;
use super::{Plan, REFUSALS, World, digest, drain, written};

/// What a message came to.
pub(super) fn verdict(
    world: &World,
    before: &World,
    message: &Message,
    id: DialogId,
    events: &[Event],
) -> Result<Verdict, Finding> {
    first_word_stands(world, before, id)?;
    let violations = events.iter().filter_map(|event| match event {
        Event::Broken(violation) => Some(violation),
        _ => None,
    });
    match (violations.collect::<Vec<_>>().as_slice(), world.core.is_closed()) {
        ([violation], true) => {
            named(before, message, id, violation)?;
            let Violation { rule, message, .. } = violation;
            return Ok(Verdict::Closed { rule, message });
        }
        ([], _) if matches!(message, Message::Half) => return Ok(Verdict::Ended),
        ([], true) if matches!(message.tag(), None | Some(Tag::Goodbye)) => {
            return Ok(Verdict::Ended);
        }
        ([], _) => {}
        (many, _) => return broken(format!("{} reasons for one end (P-A1)", many.len())),
    }
    let (old, new) = (before.core.standing(), world.core.standing());
    if new.budget < old.budget {
        return Ok(Verdict::Charged);
    }
    let refused = message.tag() == Some(Tag::Start)
        && before.core.stance(id).is_none()
        && world.core.stance(id).is_some_and(|stance| stance.finished);
    Ok(if refused { Verdict::Refused } else { Verdict::Taken })
}

/// What a peer said of its reader is not taken back, and not made another (P-W6).
fn first_word_stands(world: &World, before: &World, id: DialogId) -> Result<(), Finding> {
    let said = |world: &World| world.core.stance(id).map(|stance| stance.peer_done);
    match (said(before), said(world)) {
        (Some(first @ (Done::Gone | Done::Overrun)), Some(now)) if now != first => {
            broken(format!("{id} has a reader that was {first:?} and is {now:?} (P-W6)"))
        }
        _ => Ok(()),
    }
}

/// A reason names its rule, its message and its state (P-L6).
fn named(
    before: &World,
    message: &Message,
    id: DialogId,
    violation: &Violation,
) -> Result<(), Finding> {
    let stood = before.core.stance(id).map(|stance| match (stance.life, stance.cancel) {
        (Life::Done, _) => "ended",
        (_, Cancel::Asked) => "cancel sent",
        (_, Cancel::Acked) => "being cancelled",
        (Life::Opening, _) => "start sent",
        (Life::Accepted, _) => "running",
        (Life::Live, _) => "started",
    });
    let Violation { rule, message: named, state, .. } = violation;
    let stands = ["any", before.core.standing().state].contains(state) || stood == Some(state);
    let tag = message.tag().map(Tag::name);
    let names = *named == "frame" || message.tag().is_none() || tag == Some(named);
    let text = violation.to_string();
    let told = [rule, named, state].iter().all(|part| text.contains(*part));
    if stands && names && told && rule.starts_with("P-") {
        return Ok(());
    }
    broken(format!("a reason that names another message or state: {violation:?} (P-L6)"))
}

/// A peer is closed for its budget only where that is spent (P-A4).
pub(super) fn afforded(before: &World, bytes: &[u8]) -> Result<(), Finding> {
    let cost = bytes.len() as u64 + u64::from(Limits::FRAME_COST);
    let budget = before.core.standing().budget;
    if budget >= cost {
        return broken(format!("a budget of {budget} is said to be spent (P-A4)"));
    }
    Ok(())
}

/// What a message brings about concerns its own dialog.
pub(super) fn about(message: &Message, id: DialogId, events: &[Event]) -> Result<(), Finding> {
    let ends = matches!(message, Message::Half)
        || events.iter().any(|event| matches!(event, Event::Closed | Event::Broken(_)));
    for event in events {
        let fine = match (event, message.tag()) {
            _ if ends => true,
            (Event::Up, tag) => tag == Some(Tag::Hello),
            (Event::Goodbye(_), tag) => tag == Some(Tag::Goodbye),
            (Event::Incoming(of), Some(Tag::Start))
            | (Event::Accepted(of), Some(Tag::StartAck))
            | (Event::Started(of), Some(Tag::Started))
            | (Event::Readable(of), Some(Tag::Yield | Tag::Stop))
            | (Event::Finished(of), Some(Tag::Return | Tag::Error | Tag::Cancel))
            | (Event::CancelAsked(of) | Event::Readable(of), Some(Tag::Cancel))
            | (Event::CancelAcked(of), Some(Tag::CancelAck))
            | (Event::Writable(of), Some(Tag::Credit)) => *of == id,
            _ => false,
        };
        if !fine {
            return broken(format!("{message} for {id} has the core tell {event:?}"));
        }
    }
    Ok(())
}

/// What is taken and costs the peer nothing has changed something: nothing can be said for ever.
pub(super) fn bounded(
    plan: &Plan,
    world: &World,
    before: &World,
    message: &Message,
) -> Result<(), Finding> {
    let free = message.tag() == Some(Tag::Ping) && plan.ping_is_free(before);
    if !free && print(world) == print(before) {
        return broken("it changes nothing, costs nothing and does not end the link (P-A4)");
    }
    Ok(())
}

fn print(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    digest(world, &mut hasher);
    hasher.finish()
}

/// The link has ended: each dialog has its one end, only the reason is written, and nothing more is
/// heard. Then the application lets go of everything, and nothing is left.
pub(super) fn closed(
    world: &mut World,
    before: &World,
    events: &[Event],
    notes: &mut Notes<'_>,
) -> Result<(), Finding> {
    let reason = events.iter().find_map(|event| match event {
        Event::Broken(violation) => Some(violation),
        _ => None,
    });
    if events.iter().filter(|event| **event == Event::Closed).count() != 1 {
        return broken("the end of the link is told once");
    }
    for event in events {
        let ends = matches!(event, Event::Broken(_) | Event::Closed | Event::Finished(_));
        if reason.is_some() && !ends {
            return broken(format!("what is refused changes nothing: {event:?} (P-A1)"));
        }
    }
    if reason.is_some() && unread(world) != unread(before) {
        return broken("what is refused changes what there is to read (P-A1)");
    }
    for user in world.users.iter().filter(|user| !user.over) {
        if user.finished != 1 {
            return broken(format!("{} ends {} times (P-D4)", user.id(), user.finished));
        }
        let outcome = world.core.caller(user.id()).map(|view| view.outcome().cloned());
        if user.ours && outcome.is_none_or(|outcome| outcome.is_none()) {
            return broken(format!("{} has ended and has no outcome (P-D9)", user.id()));
        }
    }
    lasting(world, before, reason.is_some())?;
    last_words(world, before, reason, notes)?;
    deaf(world)?;
    for user in world.users.clone() {
        if let Some(view) = world.core.caller(user.id()) {
            view.release(world.now, super::super::pair::asked_by(1));
        }
    }
    if world.core.known_dialogs() > 0 || world.core.held() > 2048 {
        return broken("something is left of a link that has ended (P-F5)");
    }
    world.stage = super::Stage::Over;
    Ok(())
}

/// What a dialog had come to before the link ended it keeps, and what a child's death ended says so
/// (P-T3).
fn lasting(world: &mut World, before: &World, broke: bool) -> Result<(), Finding> {
    let mut old = before.core.clone();
    for user in world.users.iter().filter(|user| user.ours && !user.over) {
        let outcome =
            |core: &mut Connection| core.caller(user.id()).and_then(|view| view.outcome().cloned());
        let (was, is) = (outcome(&mut old), outcome(&mut world.core));
        let died = matches!(is, Some(Outcome::Died(_)));
        let dies = was.is_none() && world.exited.is_some() && !broke && user.cancels == 0;
        if was.is_some() && was != is {
            return broken(format!("{} was {was:?} and becomes {is:?} (P-D9)", user.id()));
        }
        if died && (broke || world.exited.is_none()) || dies && !died {
            return broken(format!("{} with its process comes to {is:?} (P-T3)", user.id()));
        }
    }
    Ok(())
}

/// What is written of a link that has ended: the greeting, where it was not, and the reason.
fn last_words(
    world: &mut World,
    before: &World,
    reason: Option<&Violation>,
    notes: &mut Notes<'_>,
) -> Result<(), Finding> {
    let mut bytes = Vec::new();
    while world.core.poll_transmit(world.now, &mut bytes, usize::MAX) > 0 {}
    let told = reason.map(|reason| {
        let greeted = before.core.peer().is_some();
        GoodbyeReason::Protocol(if greeted { reason.to_string() } else { reason.rule.into() })
    });
    let mut expected = Vec::new();
    if let Some(told) = told.filter(|_| !world.deaf) {
        expected = postcard::to_allocvec(&told).expect("plain data");
    }
    for packet in packets(&bytes) {
        notes.say(|| format!("the core writes its last: {}", packet.words()));
        let fine = match packet.tag {
            Tag::Hello => !world.spoke,
            // Without a reason, what was to be said before the end.
            Tag::Goodbye => packet.bytes.ends_with(&expected),
            _ => false,
        };
        if !fine {
            return broken(format!("{} is said behind the end (P-L6)", packet.words()));
        }
    }
    let said = packets(&bytes).iter().any(|packet| packet.tag == Tag::Goodbye);
    if !said && !expected.is_empty() {
        return broken("the peer is not told why (P-L6)");
    }
    Ok(())
}

/// Nothing that still comes changes anything.
fn deaf(world: &mut World) -> Result<(), Finding> {
    let held = world.core.held();
    let mut said = Vec::new();
    for bytes in [&[1, 0, 0, 0, 12][..], &[2, 0, 0, 0, 12, 0], &[0; 4], &[3, 0, 0, 0, 14, 0, 1]] {
        world.core.handle_input(world.now, bytes);
    }
    world.core.handle_eof(world.now);
    world.core.handle_timeout(world.now + std::time::Duration::from_secs(3600));
    let silent = world.core.poll_transmit(world.now, &mut said, usize::MAX) == 0;
    let still = drain(&mut world.core).is_empty() && world.core.poll_timeout().is_none();
    if silent && still && world.core.held() == held && !world.core.wants_transmit() {
        return Ok(());
    }
    broken("a link that has ended goes on (P-A1)")
}

/// The values and outcomes that the application may still take.
fn unread(world: &World) -> Vec<Vec<u8>> {
    let mut core = world.core.clone();
    let mut found = Vec::new();
    for user in world.users.iter().filter(|user| user.ours) {
        let Some(mut view) = core.caller(user.id()) else { continue };
        found.extend(view.take_started());
        let mut value = Vec::new();
        while view.recv(&mut value) == Recv::Value {
            found.push(std::mem::take(&mut value));
        }
        if let Some(Outcome::Returned(value)) = view.outcome() {
            found.push(value.clone());
        }
    }
    found
}

/// A deadline that has come is not due again (the third invariant of the core).
pub(super) fn moves_on(world: &World) -> Result<(), Finding> {
    match world.core.poll_timeout() {
        Some((at, why)) if at <= world.now && !world.core.wants_transmit() => {
            broken(format!("{why:?} stays due"))
        }
        _ => Ok(()),
    }
}

/// What holds in every state of an open link.
pub(super) fn state(plan: &Plan, world: &World) -> Result<(), Finding> {
    let core = &world.core;
    let limits = core.limits();
    let each = limits.window + 2 * limits.max_message + limits.max_frame;
    let known = core.known_dialogs();
    let bound = limits.max_frame as usize + known * each as usize;
    if core.held() > bound {
        return broken(format!("{} bytes are held, {bound} are allowed (P-F5)", core.held()));
    }
    let standing = core.standing();
    let mine = world.opened.len();
    if known > mine + (plan.slots + REFUSALS) as usize || standing.slots > plan.slots {
        return broken(format!("{known} dialogs are held (P-W5)"));
    }
    let served = world.users.iter().filter(|user| !user.ours && !user.over).count();
    if !world.eof && served > standing.slots as usize {
        return broken(format!("{} slots for {served} tasks that run (P-A2)", standing.slots));
    }
    if !core.wants_transmit() {
        let mut core = core.clone();
        let said = core.poll_transmit(world.now, &mut Vec::new(), 1);
        if said > 0 || core.wants_transmit() || core.is_closed() {
            return broken("something is to be said or to end, and nobody is told so");
        }
    }
    if let Some(exited) = world.exited {
        let last = exited + limits.hold_back;
        if core.poll_timeout().is_none_or(|(due, _)| due > last) {
            return broken("a child is dead, and nothing ends what it was asked for (P-L4)");
        }
    }
    replies(world)?;
    woken(world)
}

/// What waits to be written is at most one of each for each dialog (P-A3).
fn replies(world: &World) -> Result<(), Finding> {
    if !world.core.wants_transmit() {
        return Ok(());
    }
    let mut core = world.core.clone();
    let mut bytes = Vec::new();
    while core.poll_transmit(world.now, &mut bytes, usize::MAX) > 0 {}
    let mut said = BTreeSet::new();
    written::each(&bytes, |frame| {
        let Some(tag) = frame.tag else { return Ok(()) };
        let values = tag == Tag::Yield || frame.flags & CONTINUED != 0;
        if !values && !said.insert((tag as u8, frame.dialog)) {
            return broken(format!("{} of {} waits twice (P-A3)", tag.name(), frame.dialog));
        }
        Ok(())
    })
}

/// Nobody waits for what has happened, or without a deadline where there has to be one.
fn woken(world: &World) -> Result<(), Finding> {
    let mut core = world.core.clone();
    for user in &world.users {
        let (id, asked) = (user.id(), user.cancels > 0 || user.over);
        let missed = if user.ours {
            let Some(mut view) = core.caller(id) else { continue };
            let waits = user.waits && view.recv(&mut Vec::new()) != Recv::Empty;
            let over = view.outcome().is_some() && user.finished == 0;
            let up = user.finished == 0 && view.started() && !user.started;
            over || waits || up || (user.full && view.can_send())
        } else {
            if user.over || user.finished > 0 {
                continue;
            }
            let Some(mut view) = core.callee(id) else {
                return broken(format!("{id} is gone while its task runs (P-A2)"));
            };
            let heard = view.cancel_request().is_none() || user.asked;
            let waits = user.waits && view.recv(&mut Vec::new()) != Recv::Empty;
            waits || !heard || (user.full && view.can_send())
        };
        if missed {
            return broken(format!("{id} was not told what has happened: {user:?}"));
        }
        if user.ours && asked && user.finished == 0 && !id.is_actor() {
            let due = world.core.poll_timeout().map(|(at, _)| at.as_micros());
            let until = user.until.unwrap_or(u64::MAX);
            if due.is_none_or(|due| due > until) {
                return Err(Finding::Unanswered(format!(
                    "{id} was cancelled, and nothing ends the wait (P-C1)"
                )));
            }
        }
    }
    Ok(())
}

/// Notes what was written.
pub(super) fn written(bytes: &[u8], notes: &mut Notes<'_>) {
    for packet in packets(bytes) {
        notes.say(|| format!("it says: {}", packet.words()));
    }
}

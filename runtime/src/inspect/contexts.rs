//! What is open on each link, in words.

use std::fmt::Write as _;

use hatchery_proto::Kind;
use hatchery_proto::connection::DialogLook;
use hatchery_proto::dialog::tables::{Half, Life};

use super::links::{LinkLook, Links, Shown, phase};

/// Of one link no more than so many are listed.
const MOST: usize = 500;

/// What is open on each link.
pub(super) fn told(links: &Links) -> String {
    let links = match links {
        Ok(links) => links,
        Err(why) => return format!("not seen: {why}\n"),
    };
    if links.is_empty() {
        return "no links\n".to_owned();
    }
    let mut out = String::new();
    for link in links {
        tell(&mut out, link);
    }
    out
}

/// The last frames of each link, oldest first.
pub(super) fn steps(links: &Links) -> String {
    let links = match links {
        Ok(links) => links,
        Err(why) => return format!("not seen: {why}\n"),
    };
    let mut out = String::new();
    for link in links {
        let _ = writeln!(out, "link with {}", link.peer());
        match &link.core {
            None => out.push_str("  not seen: a thread is in its state\n"),
            Some(core) if core.steps.is_empty() => out.push_str("  none\n"),
            Some(core) => core.steps.iter().for_each(|step| {
                let _ = writeln!(out, "  {step}");
            }),
        }
    }
    out
}

fn tell(out: &mut String, link: &LinkLook) {
    let _ = write!(out, "link with {}", link.peer());
    if let Some(core) = &link.core {
        let standing = core.standing;
        let _ = write!(out, ": {}, {} bytes held for it", standing.state, core.held);
        for (is, said) in [(standing.leaving, "takes"), (standing.left, "has taken")] {
            if is {
                let who = if said == "takes" { "this end" } else { "the other end" };
                let _ = write!(out, ", {who} has said goodbye");
            }
        }
    }
    out.push('\n');
    for missing in link.missing() {
        let _ = writeln!(out, "  not seen: {missing}");
    }
    let Some(core) = &link.core else { return };
    for dialog in core.dialogs.iter().take(MOST) {
        let _ = write!(out, "  {}", dialog.id);
        one(out, link, dialog);
        out.push('\n');
    }
    if let Some(more @ 1..) = core.dialogs.len().checked_sub(MOST) {
        let _ = writeln!(out, "  and {more} more");
    }
}

fn one(out: &mut String, link: &LinkLook, dialog: &DialogLook) {
    let kind = match dialog.kind {
        Kind::Call => "call",
        Kind::Context => "context",
        Kind::Stream => "stream",
        Kind::Actor => "actor",
    };
    let name = match (link.name(dialog.id), dialog.id.is_actor()) {
        (Some(name), _) => format!(" `{}`", Shown(name)),
        (None, true) => " the life of the child".to_owned(),
        (None, false) => String::new(),
    };
    let by = if dialog.opened_here { "here" } else { "there" };
    let _ = write!(out, ": {kind}{name}, opened {by}, {}", phase(dialog));
    if dialog.released && dialog.life != Life::Done {
        out.push_str(", let go of here");
    }
    let ((unread, held), (unwritten, waiting)) = (dialog.unread, dialog.unwritten);
    if dialog.kind != Kind::Call && !dialog.id.is_actor() {
        let _ = write!(out, "; receives: {}", half(dialog.inward));
        let _ = write!(out, "; sends: {}", half(dialog.outward));
        let _ = write!(out, ", credit {}, granted {}", dialog.credit.0, dialog.credit.1);
    }
    if unread > 0 {
        let _ = write!(out, "; {unread} unread ({held} bytes)");
    }
    if let Some(partial) = dialog.partial {
        let _ = write!(out, "; a {partial} is on its way");
    }
    if unwritten > 0 {
        let _ = write!(out, "; {unwritten} unwritten ({waiting} bytes)");
    }
    if dialog.waits_for_credit {
        out.push_str("; waits for credit");
    }
}

fn half(half: Half) -> &'static str {
    match half {
        Half::Open => "open",
        Half::Stopped => "ended",
        Half::Closed => "closed",
    }
}

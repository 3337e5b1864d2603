//! The tasks and scopes of this actor as a tree, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use hatchery_proto::DialogId;
use hatchery_proto::actor::scopes::{ScopeId, Shielded};
use hatchery_proto::dialog::tables::Life;

use super::links::{LinkLook, Links, Shown, phase};
use super::what::What;
use crate::actor::{Actor, MemberLook, ScopeLook};
use crate::driver::clock;
use crate::driver::link::Name;
use crate::driver::patience::Patience;
use crate::supervisor::ChildLook;

/// No more scopes than so many are listed.
const MOST: usize = 1000;

/// The tasks of this actor.
pub(super) fn told(actor: &Arc<Actor>, links: &Links, patience: Patience) -> String {
    let mut out = String::new();
    head(&mut out, actor, patience);
    let Some(scopes) = actor.all_scopes(patience) else {
        out.push_str("not seen: the tasks and scopes, since a thread holds their lock\n");
        return out;
    };
    let mut all = Scopes::of(scopes, links);
    all.add_members(actor, patience, &mut out);
    all.tell(&mut out);
    if let Err(why) = links {
        let _ = writeln!(out, "not seen: what peers have asked for: {why}");
    }
    out
}

fn head(out: &mut String, actor: &Actor, patience: Patience) {
    let id = actor.id();
    let _ = write!(out, "actor {} {:08x}: ", Shown(id), id.uuid >> 96);
    match actor.ending_by(patience) {
        None => out.push_str("how far its end is cannot be seen, since a thread holds its lock"),
        Some(None) => out.push_str("works"),
        Some(Some(end)) => out.push_str(&Shown(end).to_string()),
    }
    let runners = actor.runners().count();
    let _ = match runners {
        0 => write!(out, "; nobody runs its tasks"),
        1 => write!(out, "; one thread runs its tasks"),
        more => write!(out, "; {more} futures run its tasks"),
    };
    if !actor.is_set_up() {
        out.push_str("; it has not been told what it is");
    }
    out.push('\n');
}

/// The scopes, with what is known of each from elsewhere.
#[derive(Default)]
struct Scopes {
    all: BTreeMap<ScopeId, ScopeLook>,
    below: BTreeMap<ScopeId, BTreeSet<ScopeId>>,
    /// In no other.
    tops: BTreeSet<ScopeId>,
    notes: BTreeMap<ScopeId, Vec<String>>,
    served: BTreeMap<ScopeId, String>,
}

impl Scopes {
    fn of(scopes: Vec<ScopeLook>, links: &Links) -> Self {
        let mut all = Self::default();
        for scope in scopes {
            match scope.parent {
                Some(parent) => {
                    all.below.entry(parent).or_default().insert(scope.id);
                }
                None => {
                    all.tops.insert(scope.id);
                }
            }
            all.all.insert(scope.id, scope);
        }
        for link in links.iter().flatten() {
            let peer = link.peer();
            for task in link.served() {
                let told = format!("`{}` for {peer} ({})", task.endpoint, task.dialog);
                all.served.insert(task.scope, told);
            }
            for (scope, note) in asked(link, &peer) {
                all.notes.entry(scope).or_default().push(note);
            }
        }
        all
    }

    /// Puts tasks into their nurseries, and beside them the actors that are there.
    fn add_members(&mut self, actor: &Actor, patience: Patience, out: &mut String) {
        let Some(nurseries) = actor.all_nurseries(patience) else {
            out.push_str("not seen: what is in which nursery, since a thread holds their lock\n");
            return;
        };
        for (scope, members) in nurseries {
            let notes = self.notes.entry(scope).or_default();
            let Some(members) = members.all(patience) else {
                notes.push("not seen: what is in it, since a thread holds its lock".to_owned());
                continue;
            };
            for member in members {
                match member {
                    MemberLook::Actor(child) => notes.push(known(&child)),
                    MemberLook::Task(task) => {
                        self.tops.remove(&task);
                        self.below.entry(scope).or_default().insert(task);
                    }
                }
            }
        }
    }

    fn tell(&self, out: &mut String) {
        // The next is the last: without recursion, however deep it is.
        let mut next: Vec<(ScopeId, usize)> = self.tops.iter().rev().map(|id| (*id, 1)).collect();
        let mut told = 0;
        while let Some((id, depth)) = next.pop() {
            let Some(scope) = self.all.get(&id) else { continue };
            told += 1;
            if told > MOST {
                let _ = writeln!(out, "and {} more", self.all.len() - MOST);
                return;
            }
            self.tell_one(out, scope, depth);
            let below = self.below.get(&id).into_iter().flatten().rev();
            next.extend(below.map(|below| (*below, depth + 1)));
        }
    }

    fn tell_one(&self, out: &mut String, scope: &ScopeLook, depth: usize) {
        let (now, indent) = (clock::now(), 2 * depth.min(40));
        let _ = write!(out, "{:indent$}{} ", "", scope.id.number());
        let _ = match (self.served.get(&scope.id), scope.what) {
            (Some(served), What::Served) => write!(out, "{}", Shown(served)),
            (_, what) => write!(out, "{what}"),
        };
        if let Some(bound) = scope.bound {
            let _ = write!(out, "; {:.1?} left of its time", bound.since(now));
        }
        if let Some(state) = &scope.cancel {
            let left = state.deadline.since(now);
            let _ = write!(out, "; {}, {left:.1?} of the grace left", Shown(&state.by));
            match (scope.shielded, scope.due) {
                (Shielded::Holds, _) => out.push_str(", which it holds off"),
                (_, true) => out.push_str(", to be dropped now: its thread has not come to it"),
                _ => {}
            }
        }
        out.push('\n');
        for note in self.notes.get(&scope.id).into_iter().flatten() {
            let _ = writeln!(out, "{:indent$}  {note}", "");
        }
    }
}

/// What scopes have asked of the peer of a link, and has not ended.
fn asked(link: &LinkLook, peer: &str) -> Vec<(ScopeId, String)> {
    let note = |id: DialogId, name: &Name| {
        let dialog = link.dialog(id).filter(|dialog| dialog.life != Life::Done)?;
        let (name, phase) = (Shown(name), phase(dialog));
        Some(match name.0 {
            Name::Call(_) => format!("waits for `{name}` on {peer} ({id}, {phase})"),
            Name::Other(_) => format!("has opened `{name}` on {peer} ({id}, {phase})"),
        })
    };
    let open = |(id, named): (DialogId, &crate::driver::link::Named)| {
        Some((named.by?, note(id, &named.name)?))
    };
    link.named().filter_map(open).collect()
}

fn known(child: &ChildLook) -> String {
    let runs = child.main.map(|main| format!(", runs `{main}`")).unwrap_or_default();
    let launched = if child.launched { ", by a launcher" } else { "" };
    format!("actor {}: {}{runs}{launched}", Shown(&child.id), child.state)
}

//! What an actor says of itself when it is asked to by a signal.

use std::fmt::Write as _;
use std::time::Duration;

use super::links::{self, Shown};
use super::{contexts, tasks};
use crate::actor::Actor;
use crate::driver::dump::{self, Hears, Subject};
use crate::driver::patience::Patience;
use crate::driver::procfs;
use crate::error::{Error, Result};

/// How long each part of it waits for locks, all in all.
const PATIENCE: Duration = Duration::from_millis(100);

/// Has an actor hear the signal where its environment asks for that.
pub(crate) fn hear_if_asked() -> Option<Hears> {
    let heard = dump::hear(dump::asked_for()?, OwnActor);
    let refused = |error: &_| {
        tracing::warn!(target: "hatchery::debugger", %error, "no dumps will be written");
    };
    heard.inspect_err(refused).ok()
}

/// Has a root hear it, where that or the environment asks for it.
pub(crate) fn hear_in_root(asked: bool) -> Result<Option<Hears>> {
    let folder = dump::asked_for().or_else(|| asked.then(dump::usual_folder));
    let Some(folder) = folder else { return Ok(None) };
    let heard = dump::hear(folder, OwnActor);
    heard.map(Some).map_err(|error| Error::os("preparing to write dumps", error))
}

/// The actor that this process is, once it is one.
struct OwnActor;

impl Subject for OwnActor {
    fn name(&self) -> String {
        match Actor::running_by(Patience::of(PATIENCE)).flatten() {
            Some(actor) => actor.id().name.clone(),
            None => "none".to_owned(),
        }
    }

    fn told(&self) -> String {
        let actor = match Actor::running_by(Patience::of(PATIENCE)) {
            Some(Some(actor)) => actor,
            Some(None) => return "no actor runs in this process\n".to_owned(),
            None => return "not seen: the actor, since a thread holds its lock\n".to_owned(),
        };
        let links = links::all(Patience::of(PATIENCE));
        let mut out = String::from("---- tasks and scopes\n");
        out += &tasks::told(&actor, &links, Patience::of(PATIENCE));
        out += "---- links, and what is open on each\n";
        out += &contexts::told(&links);
        out += "---- last steps of each link, oldest first\n";
        out += &contexts::steps(&links);
        out += "---- children\n";
        out += &children(&actor, Patience::of(PATIENCE));
        out
    }
}

fn children(actor: &Actor, patience: Patience) -> String {
    let Some(children) = actor.brood().all(patience) else {
        return "not seen: a thread holds their list\n".to_owned();
    };
    let mut out = String::new();
    for child in children {
        let Some(look) = child.look(patience) else { continue };
        let _ = write!(out, "{}: {}", Shown(&look.id), look.state);
        if let Some(main) = look.main {
            let _ = write!(out, "; runs `{main}`");
        }
        if let Some(shown) = procfs::shown(look.id.pid) {
            let who = if look.launched { "what leads to it" } else { "its process" };
            let _ = write!(out, "; {who} {shown}");
        }
        out.push('\n');
    }
    if out.is_empty() { "none\n".to_owned() } else { out }
}

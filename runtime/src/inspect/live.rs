//! The live tree: asked for upwards to the root, and downwards from there, each actor by its parent.
//! Nobody is waited for longer than a time that shrinks from level to level; of who does not answer by
//! then is told what its parent knows and the system.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::{FutureExt as _, future};
use hatchery_proto::dialog::tables::Life;
use hatchery_proto::{ActorId, Kind, LinkKind};

use super::links::{self, LinkLook, phase};
use super::view::{TreeActor, TreeView};
use super::{PATIENCE, served};
use crate::actor::Actor;
use crate::driver::link::{Link, Name};
use crate::driver::patience::Patience;
use crate::driver::{clock, procfs, readiness};
use crate::endpoint::{Call, CallEndpoint, ErrorOf, Part, ValueOf};
use crate::error::{Error, Result};
use crate::portal;
use crate::supervisor::ChildLook;
use crate::task;

/// How long the whole tree is waited for.
const WITHIN: Duration = Duration::from_secs(1);

/// Of what one actor runs, or waits for, so much is told.
const MOST: usize = 8;

/// No deeper is gone where only the system knows what is there.
const DEEPEST: u32 = 64;

/// The tree that this actor is in, from its root down: for people, as a debugger's, a status page's or a
/// test's message.
///
/// Takes no longer than about a second. An actor that does not answer by then, since a task blocks its
/// thread, is among them with what its parent knows of it, and what the system does; so are those below
/// it. One that is reached by a [`Launcher`](crate::Launcher) is asked as any other, and sees itself no
/// more than what is below it.
///
/// # Errors
/// `Misuse` where this process is no actor.
///
/// # Cancel safety
/// Dropping the future asks nobody any more.
pub async fn tree() -> Result<TreeView> {
    let Some(actor) = Actor::running() else {
        return Err(Error::misuse("asking for the tree: this process is no actor"));
    };
    Ok(task::drive(&actor, pin!(whole(actor.clone()))).await)
}

/// The whole tree.
pub(super) async fn whole(actor: Arc<Actor>) -> TreeView {
    TreeView { actors: from_root(&actor, WITHIN).await }
}

/// The tree from its root, as far as it answers in time.
pub(super) async fn from_root(actor: &Arc<Actor>, within: Duration) -> Vec<TreeActor> {
    let Some((link, parent)) = actor.parent() else { return below(actor, within).await };
    let rest = within.saturating_sub(step(within));
    let asked = ask(&link, actor, &parent, served::whole(rest), within);
    // Both at once: there is no time for one after the other.
    match future::zip(asked, below(actor, rest)).await {
        (Ok(all), _) => all,
        (Err(why), own) => {
            let look = format!("does not answer: {why}; {}", shown(parent.pid));
            let mut all = vec![unheard(0, parent, look)];
            all.extend(own.into_iter().map(deeper));
            all
        }
    }
}

/// This actor and what is below it, as far as it answers in time.
pub(super) async fn below(actor: &Arc<Actor>, within: Duration) -> Vec<TreeActor> {
    let patience = Patience::of(PATIENCE.min(within / 4));
    let mut all = vec![own(actor, patience)];
    let children = actor.brood().all(patience).unwrap_or_default();
    let looks: Vec<_> = children.iter().filter_map(|child| child.look(patience)).collect();
    let answers = looks.into_iter().map(|child| -> Answer<'_> {
        Box::pin(async move { of_child(actor, child, within).await })
    });
    for answer in together(answers.collect()).await {
        all.extend(answer.into_iter().map(deeper));
    }
    all
}

type Answer<'a> = Pin<Box<dyn Future<Output = Vec<TreeActor>> + Send + 'a>>;

/// A child and what is below it.
async fn of_child(actor: &Arc<Actor>, child: ChildLook, within: Duration) -> Vec<TreeActor> {
    let step = step(within);
    let rest = within.saturating_sub(step);
    let known = |said: &str| {
        let main = child.main.map(|main| format!(", runs `{main}`")).unwrap_or_default();
        format!("{}{main}{said}", child.state)
    };
    let why = match &child.link {
        Some(link) if child.up => {
            match ask(link, actor, &child.id, served::below(rest), rest).await {
                Ok(mut all) => {
                    if let Some(first) = all.first_mut() {
                        // By the name that it was given here, whatever it says.
                        first.id.name.clone_from(&child.id.name);
                        first.depth = 0;
                        if child.state != UP {
                            first.state = format!("{}; {}", child.state, first.state);
                        }
                    }
                    return all;
                }
                Err(why) => format!("; does not answer: {why}"),
            }
        }
        _ => String::new(),
    };
    if child.launched {
        let said = format!("{why}; behind process {} of a launcher", child.id.pid);
        let id = ActorId { pid: 0, ..child.id.clone() };
        return vec![unheard(0, id, known(&said))];
    }
    let said = format!("{why}; {}", shown(child.id.pid));
    let mut all = vec![unheard(0, child.id.clone(), known(&said))];
    unasked(child.id.pid, 1, &mut all);
    all
}

const UP: &str = "up";

/// What the system shows of the actors below a process that was not heard of.
fn unasked(pid: u32, depth: u32, all: &mut Vec<TreeActor>) {
    if pid == 0 || depth > DEEPEST {
        return;
    }
    for below in procfs::children(pid) {
        if let Some(name) = procfs::actor_name(below) {
            let id = ActorId { name, uuid: 0, pid: below };
            all.push(unheard(depth, id, format!("was not asked; {}", shown(below))));
            unasked(below, depth + 1, all);
        }
    }
}

/// What the system shows of a process.
fn shown(pid: u32) -> String {
    match procfs::shown(pid) {
        Some(shown) => format!("its process {shown}"),
        None => "its process cannot be seen".to_owned(),
    }
}

fn unheard(depth: u32, id: ActorId, state: String) -> TreeActor {
    let (runs, waits_for) = Default::default();
    TreeActor { depth, id, answered: false, state, runs, waits_for }
}

fn deeper(actor: TreeActor) -> TreeActor {
    TreeActor { depth: actor.depth.saturating_add(1), ..actor }
}

/// What a level keeps of a time to answer in: for its own part, and for the answer's way.
fn step(within: Duration) -> Duration {
    within / 5
}

/// This actor, without what is below it.
fn own(actor: &Actor, patience: Patience) -> TreeActor {
    let state = match actor.ending_by(patience) {
        Some(Some(end)) => end,
        Some(None) => UP.to_owned(),
        None => "up, and a thread holds what would say how far".to_owned(),
    };
    let links = links::all(patience).unwrap_or_default();
    let runs = few(links.iter().flat_map(|link| {
        let peer = link.peer();
        let others = link.served().iter().filter(|task| Part::of(task.endpoint) != Part::Tree);
        others.map(move |task| format!("`{}` for {peer}", task.endpoint)).collect::<Vec<_>>()
    }));
    let waits_for = few(links.iter().flat_map(awaited));
    TreeActor { depth: 0, id: actor.id().clone(), answered: true, state, runs, waits_for }
}

/// What was asked of the peer of a link and has not ended.
fn awaited(link: &LinkLook) -> Vec<String> {
    let Some(core) = &link.core else { return Vec::new() };
    let is_life = |kind, id: hatchery_proto::DialogId| kind == LinkKind::Parent && id.is_actor();
    let open = core.dialogs.iter().filter(|dialog| {
        let ours = dialog.opened_here && !dialog.released && dialog.life != Life::Done;
        ours && !is_life(core.kind, dialog.id)
    });
    open.filter_map(|dialog| {
        let name = link.name(dialog.id)?;
        let told = format!("`{name}` on {} ({})", link.peer(), phase(dialog));
        (Part::of(&name) != Part::Tree).then_some(told)
    })
    .collect()
}

fn few(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut told = Vec::new();
    let mut more = 0_usize;
    for one in all {
        if told.len() < MOST { told.push(one) } else { more += 1 }
    }
    if more > 0 {
        told.push(format!("{more} more"));
    }
    told
}

/// Makes a call on a link, and waits no longer than a time for its answer.
async fn ask<E: CallEndpoint>(
    link: &Arc<Link>,
    actor: &Actor,
    peer: &ActorId,
    call: Call<E>,
    within: Duration,
) -> std::result::Result<ValueOf<E>, String>
where
    ErrorOf<E>: std::fmt::Display,
{
    let until = clock::now() + within;
    let args = call.encode().map_err(|error| error.to_string())?;
    let wish = portal::wish_of::<E>(Kind::Call);
    let answer = async {
        let asked = portal::ask_on(link, actor, &wish, Name::Call(E::NAME.into()), args).await;
        let mut asked = asked.map_err(|misuse| misuse.to_string())?;
        let answer = portal::answer::<E>(&mut asked, || peer.clone()).await;
        answer.map_err(|error| error.to_string())
    };
    let late = async {
        readiness::due(Some(until)).await;
        Err(format!("nothing in {within:.1?}"))
    };
    answer.or(late).await
}

/// All of them at once, in their order.
async fn together<'a>(futures: Vec<Answer<'a>>) -> Vec<Vec<TreeActor>> {
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    let mut values: Vec<_> = futures.iter().map(|_| Vec::new()).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (slot, value) in futures.iter_mut().zip(&mut values) {
            let Some(future) = slot else { continue };
            match future.as_mut().poll(cx) {
                Poll::Ready(ready) => (*value, *slot) = (ready, None),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    values
}

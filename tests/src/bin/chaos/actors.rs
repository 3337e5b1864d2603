//! What the actors of a tree do: talk with their opener, raise broods, and be hit where the plan
//! says. Judges every failure that it sees, by what is known of it.

use std::time::Duration;

use futures_lite::future;
use hatchery::{
    Also, Context, Error, ErrorKind, LostCause, MsgStream, Nursery, OpenContext, Portal, Receives,
    RecvHalf, Result, Rung, SendHalf, Sends, Starts, open_nursery,
};
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use hatchery_tests::strike::{Hit, Phase, argument, lost, record, strike_other, strike_self};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::plan::Node;

/// Keeps what an actor came to, for those who look after a hang.
fn step(name: &str, what: &str) {
    record(&format!("step {} {name} {what}", std::process::id()));
}

/// One value of a stream: its number, and something to carry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    number: u64,
    fill: Vec<u8>,
}

/// How many values an actor has sent. Being encoded is the last thing before it returns.
#[derive(Debug)]
pub(crate) struct Sent {
    count: u64,
    hit: Option<Hit>,
}

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(hit) = self.hit {
            strike_self(hit);
        }
        self.count.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { count: u64::deserialize(deserializer)?, hit: None })
    }
}

impl Node {
    fn hit_at(&self, phase: Phase) -> Option<Hit> {
        self.hit.filter(|hit| hit.phase == phase)
    }

    /// Where an actor says that it has come to a phase.
    fn at(&self, phase: Phase) {
        if let Some(hit) = self.hit_at(phase) {
            strike_self(hit);
        }
    }

    /// The phase that its stream is in half way.
    fn streaming(&self) -> Phase {
        match (self.up > 0, self.down > 0) {
            (true, false) => Phase::StreamingUp,
            (false, true) => Phase::StreamingDown,
            _ => Phase::StreamingBoth,
        }
    }
}

/// Is hit when the task is dropped before its end, which is what a cancel does.
struct WhenDropped(Option<Hit>);

impl Drop for WhenDropped {
    fn drop(&mut self) {
        if let Some(hit) = self.0 {
            strike_self(hit);
        }
    }
}

#[hatchery::endpoint]
async fn double(n: u64) -> u64 {
    future::yield_now().await;
    n.wrapping_mul(2)
}

#[hatchery::context]
async fn grow(cx: Context<Starts<u64>, Sends<Item>, Receives<Item>>, node: Node) -> Result<Sent> {
    node.at(Phase::StartReceived);
    if let Some(hit) = node.hit_at(Phase::ShuttingDown) {
        hatchery::on_exit(move || strike_self(hit));
    }
    let mut dropped = WhenDropped(node.hit_at(Phase::CancelSent));
    let stream = cx.started(node.up).await?.open_stream();
    node.at(Phase::Started);
    let to_return = node.hit_at(Phase::Returning);
    let failing = node.hit_at(Phase::Failing);
    let up = node.up;
    let name = node.name.clone();
    step(&name, "lives");
    let lived = live(node, Some(stream)).await;
    step(&name, "has lived");
    lived?;
    dropped.0 = None;
    if let Some(hit) = failing {
        dropped.0 = Some(hit);
        return Err(Error::message("chaos: a failure"));
    }
    Ok(Sent { count: up, hit: to_return })
}

/// The life of an actor: its stream and its broods, side by side.
pub(crate) async fn live(node: Node, stream: Option<MsgStream<Item, Item>>) -> Result<()> {
    open_nursery(async |nursery| {
        let Node { broods, raises, .. } = node.clone();
        nursery.spawn(raise_all(broods, raises));
        if let Some(stream) = stream {
            let (up, down) = (node.up, node.down);
            talk(stream, up, down, node.fill, |done| {
                if done == up.max(down) / 2 {
                    node.at(node.streaming());
                }
                true
            })
            .await?;
            node.at(Phase::StopSent);
        }
        Ok(())
    })
    .await
}

/// Raises one brood after another, each in its nursery.
async fn raise_all(broods: Vec<Vec<Node>>, raises: bool) -> Result<()> {
    for brood in broods {
        let block = open_nursery(async |nursery: Nursery| {
            for node in brood {
                nursery.spawn(raise(nursery.clone(), node));
            }
            Ok(())
        });
        let ended = block.await;
        step("", "brood ended");
        if let Err(error) = ended {
            judge(&error);
            if raises {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// A failure has to say what it was: an end of a process with its status, a task's own words, a
/// cancel with its author.
pub(crate) fn judge(error: &Error) {
    let why = match error.kind() {
        ErrorKind::Died(exit) if exit.actor.name.is_empty() => "a death without a name",
        // A loaded machine may take longer to reap than the short policies allow.
        ErrorKind::Died(exit) if exit.status.is_none() && exit.rung != Rung::Unkillable => {
            "a death without a status"
        }
        ErrorKind::Spawn if error.exit().is_none() => "a start that failed without a status",
        ErrorKind::Died(_) | ErrorKind::Spawn | ErrorKind::Cancelled(_) => return,
        // It closed its link, and what is below it took longer to end than an outcome is held back
        // (P-L4): its end is told with this.
        ErrorKind::Lost(LostCause::LinkEnded) if tells_its_end(error) => return,
        // Stopped or blocked, and cancelled: its end by force comes after this.
        ErrorKind::Lost(LostCause::Unresponsive) => return,
        ErrorKind::Panicked | ErrorKind::Failed if error.report().message.contains("chaos: ") => {
            return;
        }
        _ => "a failure that nobody planned",
    };
    lost(&format!("{why}: {error}: {error:?}"));
}

/// Whether the end of the actor that was lost is among the failures that are listed.
fn tells_its_end(error: &Error) -> bool {
    let ends = |also: &Also| {
        also.origin == *error.origin() && also.message.contains("closed its link, then")
    };
    error.also().iter().any(ends)
}

/// Starts an actor, opens its context, makes calls, and ends it.
async fn raise(nursery: Nursery, node: Node) -> Result<()> {
    let mut builder = nursery.actor(&node.name);
    if let Some(hit) = node.hit.filter(|hit| hit.phase <= Phase::Connected) {
        builder = builder.arg(argument(hit)).log("off");
    }
    step(&node.name, "starts");
    let portal = builder.start().await?;
    step(&node.name, "is up");
    match node.timeout {
        Some(micros) => {
            let limit = Duration::from_micros(micros);
            let bounded = hatchery::timeout(limit, use_up(&portal, &node)).await;
            step(&node.name, "bounded use is over");
            if let Err(error) = bounded {
                judge(&error);
                if error.cancelled().is_none() && error.exit().is_some() {
                    return Err(error);
                }
            }
        }
        None => {
            let used = use_up(&portal, &node).await;
            step(&node.name, if used.is_ok() { "used" } else { "use failed" });
            used?;
        }
    }
    portal.cancel().await
}

/// Everything that an actor is started for.
async fn use_up(portal: &Portal, node: &Node) -> Result<()> {
    if let Some(hit) = node.hit_at(Phase::Up) {
        strike_other(hit, portal.id().pid);
    }
    for n in 0..u64::from(node.calls) {
        record("dialog");
        if portal.run(double(n)).await? != 2 * n {
            lost("a call came back with another's result");
        }
    }
    match node.hit_at(Phase::StartSent) {
        Some(hit) => open_unread(portal, node, hit).await,
        None => converse(portal, node).await,
    }
}

/// Opens a context of an actor that reads nothing more, and hits that.
async fn open_unread(portal: &Portal, node: &Node, hit: Hit) -> Result<()> {
    if let Some(process) = Process::of(portal.id().pid.cast_signed()) {
        process.signal(Signal::STOP);
    }
    record("dialog");
    let mut open = std::pin::pin!(portal.open_context(grow(node.clone())));
    for _ in 0..3 {
        if let Some(ended) = future::poll_once(open.as_mut()).await {
            return ended.map(drop);
        }
        future::yield_now().await;
    }
    strike_other(hit, portal.id().pid);
    open.await.map(drop)
}

/// The opener's half of a context.
async fn converse(portal: &Portal, node: &Node) -> Result<()> {
    record("dialog");
    portal
        .with_context(grow(node.clone()), async |mut cx: OpenContext<grow>, first| {
            if first != node.up {
                lost("another's first value");
            }
            let stream = cx.open_stream()?;
            let at = node.cancel_at;
            let talked = talk(stream, node.down, node.up, node.fill, |done| Some(done) != at).await;
            step(&node.name, if talked.is_ok() { "talked" } else { "talk failed" });
            // Dropped before the cancel, they would be the callee's error.
            let Some(_kept) = talked? else {
                return match cx.result().await {
                    Ok(sent) if sent.count != node.up => {
                        lost("another's result");
                        Ok(())
                    }
                    ended => ended.map(drop),
                };
            };
            let _ = cx.cancel().await;
            if let Some(hit) = node.hit_at(Phase::Acked) {
                strike_other(hit, portal.id().pid);
            }
            Ok(())
        })
        .await
}

/// Sends and receives so many values side by side, and looks whether each that comes is the next.
/// `go_on` is asked after each step; gives the halves where it said no.
async fn talk(
    stream: MsgStream<Item, Item>,
    sends: u64,
    receives: u64,
    fill: usize,
    go_on: impl Fn(u64) -> bool,
) -> Result<Option<(SendHalf<Item>, RecvHalf<Item>)>> {
    let (sender, mut receiver) = stream.split();
    let send = async {
        for number in 0..sends {
            sender.send(Item { number, fill: vec![number as u8; fill] }).await?;
            if receives < sends && !go_on(number) {
                return Ok(false);
            }
        }
        sender.close().await.map(|()| true)
    };
    let receive = async {
        let mut next = 0;
        while let Some(item) = receiver.recv().await? {
            if item.number != next || item.fill.iter().any(|byte| *byte != next as u8) {
                lost(&format!("value {} instead of {next}", item.number));
            }
            next += 1;
            if receives >= sends && !go_on(next - 1) {
                return Ok(false);
            }
        }
        if next != receives {
            lost(&format!("a graceful end after {next} of {receives} values"));
        }
        Ok(true)
    };
    // Whoever is asked to stop does not wait for the other half.
    let halves = future::try_zip(
        async { send.await.and_then(|went: bool| went.then_some(()).ok_or_else(enough)) },
        async { receive.await.and_then(|went: bool| went.then_some(()).ok_or_else(enough)) },
    );
    match halves.await {
        Ok(_) => Ok(None),
        Err(error) if error.report().message == ENOUGH => Ok(Some((sender, receiver))),
        Err(error) => Err(error),
    }
}

const ENOUGH: &str = "chaos: enough";

fn enough() -> Error {
    Error::message(ENOUGH)
}

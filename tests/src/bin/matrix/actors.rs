//! What the actor of a cell does: comes to the phase, is hit there or says that it stands there.

use std::fmt;

use futures_lite::future;
use hatchery::{Context, Error, MsgStream, Receives, Result, Sends, Starts};
use hatchery_tests::strike::{self, Action, Phase, hit_on_command_line, record, strike_self};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cells::{Cell, Side};
use crate::place::{self, wait_at_gate, wait_blocked};
use crate::root::strike_root;

/// How many values are sent in each direction that is used.
const VALUES: u64 = 40;
/// What a task that fails says.
pub(crate) const FAILURE: &str = "the cell's own failure";

/// The cell, where it is about this phase and that side.
fn meant(phase: Phase, side: Side) -> Option<Cell> {
    place::cell().filter(|cell| (cell.phase, cell.side) == (phase, side))
}

/// Where an actor has come to a phase and can be cancelled there.
async fn at(phase: Phase) {
    if let Some(cell) = meant(phase, Side::Child) {
        strike_self(cell.hit());
    } else if meant(phase, Side::Parent).is_some() {
        record("stands");
        future::pending().await
    }
}

/// Where it has come to a phase and cannot.
fn at_blocked(phase: Phase) {
    if let Some(cell) = meant(phase, Side::Child) {
        strike_self(cell.hit());
    } else if meant(phase, Side::Parent).is_some() {
        hold();
    }
}

fn hold() {
    record("stands");
    wait_blocked();
}

/// First thing in `main`.
pub(crate) fn before_the_entry() {
    let (Some(cell), Some(hit)) = (place::cell(), hit_on_command_line()) else { return };
    match hit.phase {
        Phase::ShuttingDown => hatchery::on_exit(|| at_blocked(Phase::ShuttingDown)),
        // What only the process can do to itself, while it is asked for nothing.
        Phase::Up if cell.side == Side::Child => {
            std::thread::spawn(move || {
                wait_blocked();
                strike_self(hit);
            });
        }
        _ => strike::before_the_entry(|hit| at_blocked(hit.phase)),
    }
}

/// A result. Being encoded is the last thing before it returns, being decoded the first after that.
#[derive(Debug)]
pub(crate) struct Value;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(cell) = meant(Phase::Returning, Side::Child) {
            strike_self(cell.hit());
        }
        7_u64.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if let Some(cell) = meant(Phase::Returning, Side::Parent) {
            strike_root(cell);
        }
        u64::deserialize(deserializer).map(|_| Self)
    }
}

/// A failure, alike.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(cell) = meant(Phase::Failing, Side::Child) {
            strike_self(cell.hit());
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if let Some(cell) = meant(Phase::Failing, Side::Parent) {
            strike_root(cell);
        }
        String::deserialize(deserializer).map(Self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// What proves that whatever was sent before has arrived.
#[hatchery::endpoint]
pub(crate) async fn double(n: u64) -> u64 {
    n * 2
}

/// Keeps the actor from reading its link until the gate lets it go on.
#[hatchery::endpoint]
pub(crate) async fn hold_here(phase: u64) {
    hold();
    let phase = Phase::ALL[phase as usize];
    if let Some(cell) = meant(phase, Side::Child) {
        strike_self(cell.hit());
    }
}

/// The call.
#[hatchery::endpoint]
pub(crate) async fn work() -> Result<Value, Failure> {
    at(Phase::StartReceived).await;
    linger().await;
    ending()
}

fn ending() -> Result<Value, Failure> {
    match place::cell() {
        Some(cell) if cell.phase == Phase::Failing => Err(Failure(FAILURE.to_owned())),
        _ => Ok(Value),
    }
}

/// Where the task is to be cancelled: waits for that, and cleans up.
async fn linger() {
    let Some(cell) = place::cell() else { return };
    if !matches!(cell.phase, Phase::CancelSent | Phase::Acked | Phase::ShuttingDown) {
        return;
    }
    record("begun");
    let _: Result<Option<()>> = hatchery::cancel_scope(async |_| future::pending().await).await;
    if cell.phase == Phase::Acked {
        hatchery::shield(async {
            record("cleaning");
            wait_at_gate().await;
            if cell.side == Side::Child {
                strike_self(cell.hit());
            }
        })
        .await;
    }
    // A task that was cancelled ends where it waits next.
    future::pending().await
}

/// The context.
#[hatchery::context]
pub(crate) async fn talk(
    cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>,
    up: bool,
    down: bool,
) -> Result<Value, Failure> {
    at(Phase::StartReceived).await;
    let mut stream = cx.started(7).await?.open_stream();
    at(Phase::Started).await;
    linger().await;
    let here = match (up, down) {
        (true, true) => Phase::StreamingBoth,
        (true, false) => Phase::StreamingUp,
        _ => Phase::StreamingDown,
    };
    converse(&mut stream, up, down, || at(here)).await?;
    stream.close().await?;
    at(Phase::StopSent).await;
    ending()
}

/// Sends and receives what there is, and says where that is half done.
pub(crate) async fn converse<F: Future<Output = ()>>(
    stream: &mut MsgStream<u64, u64>,
    sends: bool,
    receives: bool,
    half: impl Fn() -> F,
) -> Result<()> {
    for number in 0..VALUES {
        if sends {
            stream.send(number).await?;
        }
        if receives && stream.recv().await? != Some(number) {
            return Err(Error::message("not the next value"));
        }
        if number == VALUES / 2 {
            half().await;
        }
    }
    Ok(())
}

/// Whether a process that was hit so goes on as before.
pub(crate) fn goes_on(action: Action) -> bool {
    matches!(action, Action::Int | Action::Panic)
}

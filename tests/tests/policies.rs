//! Readers that are slower than their senders, and what they chose for that: between processes, from
//! either side.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_lite::StreamExt as _;
use hatchery::{
    CancelStatus, Capacity, Context, ErrorKind, MsgStream, Overrun, Receives, Result, Sends, Starts,
};
use hatchery_tests::sign::{Sign, raised};
use hatchery_tests::worker::{alive, with_worker};

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// So many values are sent, each of so many bytes: many windows.
const VALUES: u64 = 1000;
const WEIGHT: usize = 2000;

/// A number, and bytes that make it heavy.
type Weighed = (u64, Vec<u8>);

/// How a reader is to be slower than its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Policy {
    Wait,
    Fail(usize),
    DropOldest(usize),
    LatestOnly,
    WaitWithin(usize),
}

impl Policy {
    fn set<Tx, Rx>(self, stream: MsgStream<Tx, Rx>) -> MsgStream<Tx, Rx> {
        stream.on_overrun(match self {
            Self::Wait => Overrun::Wait,
            Self::Fail(items) => Overrun::Fail(Capacity { items, bytes: usize::MAX }),
            Self::DropOldest(items) => Overrun::DropOldest(Capacity { items, bytes: usize::MAX }),
            Self::LatestOnly => Overrun::LatestOnly,
            Self::WaitWithin(items) => Overrun::WaitWithin(Capacity { items, bytes: usize::MAX }),
        })
    }
}

/// Sends all values, says how many were taken, and ends with the opener's word.
#[hatchery::context]
async fn floods(cx: Context<Starts<()>, Sends<Weighed>, Receives<()>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    for n in 0..VALUES {
        stream.send((n, vec![0; WEIGHT])).await?;
    }
    stream.recv().await?;
    Ok(())
}

/// Reads nothing before it is told to by another context, then everything; says what it got and what
/// it missed.
#[hatchery::context]
async fn reads_late(
    cx: Context<Starts<()>, Sends<()>, Receives<Weighed>>,
    policy: Policy,
    gate: String,
) -> Result<(Vec<u64>, u64)> {
    let mut stream = policy.set(cx.started(()).await?.open_stream());
    stream.send(()).await?;
    raised(&gate).await;
    let mut had = Vec::new();
    while let Some((n, _)) = stream.recv().await? {
        had.push(n);
    }
    Ok((had, stream.dropped()))
}

/// What the callee's policy makes of a flood from the opener, whose sends all end before one value is
/// received.
async fn flood_forth(policy: Policy, name: &str) -> Result<(Vec<u64>, u64)> {
    let gate = Sign::new(name);
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_late(policy, gate.path())).await?;
        let mut stream = cx.open_stream()?;
        // The policy is set.
        assert_eq!(stream.recv().await?, Some(()));
        let started = Instant::now();
        for n in 0..VALUES {
            stream.send((n, vec![0; WEIGHT])).await?;
            assert!(started.elapsed() < LONG, "held up by a reader that is not to");
        }
        stream.close().await?;
        gate.raise();
        cx.result().await
    })
    .await
}

#[hatchery::test]
async fn str_12_a_callee_that_drops_the_oldest_holds_nobody_up() -> Result<()> {
    let (had, dropped) = flood_forth(Policy::DropOldest(16), "oldest").await?;
    assert_eq!(had.len() as u64 + dropped, VALUES, "each is had or counted");
    assert!(had.len() >= 16, "{}", had.len());
    assert!(had.windows(2).all(|pair| pair[0] < pair[1]), "{had:?}");
    assert_eq!(had.last(), Some(&(VALUES - 1)), "the newest are kept");
    Ok(())
}

#[hatchery::test]
async fn str_12_a_callee_that_wants_the_latest_holds_nobody_up() -> Result<()> {
    let (had, dropped) = flood_forth(Policy::LatestOnly, "latest").await?;
    assert_eq!(had.len() as u64 + dropped, VALUES);
    assert_eq!(had.last(), Some(&(VALUES - 1)));
    Ok(())
}

#[hatchery::test]
async fn str_12_an_opener_that_drops_the_oldest_holds_nobody_up() -> Result<()> {
    with_worker(async |worker| {
        for policy in [Policy::DropOldest(16), Policy::LatestOnly] {
            let (mut cx, ()) = worker.open_context(floods()).await?;
            let (sender, mut receiver) = policy.set(cx.open_stream()?).split();
            let started = Instant::now();
            // Nobody reads, and yet all of it comes.
            let kept = if policy == Policy::LatestOnly { 1 } else { 16 };
            while receiver.dropped() < VALUES - kept {
                assert!(worker.run(alive()).await?);
                assert!(started.elapsed() < LONG, "{policy:?}: {}", receiver.dropped());
            }
            for n in VALUES - kept..VALUES {
                assert_eq!(receiver.recv().await?.map(|(n, _)| n), Some(n));
            }
            sender.send(()).await?;
            assert_eq!(receiver.recv().await?, None);
            assert_eq!(receiver.dropped(), VALUES - kept);
            cx.result().await?;
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_11_an_opener_that_is_overrun_keeps_what_it_has_and_both_sides_are_told() -> Result<()>
{
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(floods()).await?;
        let mut stream = Policy::Fail(64).set(cx.open_stream()?);
        // The sender is told by its next send, and fails by that; what it failed with says so here.
        let error = cx.result().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Overrun, "{error:?}");
        assert_eq!(error.origin().name, "worker", "{error:?}");
        assert!(error.to_string().contains("P-W6"), "{error}");
        for n in 0..64 {
            assert_eq!(stream.recv().await?.map(|(n, _)| n), Some(n));
        }
        for _ in 0..2 {
            let error = stream.recv().await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Overrun, "{error:?}");
            assert_ne!(error.origin().name, "worker", "{error:?}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_11_a_callee_that_is_overrun_tells_its_opener_by_its_next_send() -> Result<()> {
    let gate = Sign::new("fail");
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_late(Policy::Fail(64), gate.path())).await?;
        let mut stream = cx.open_stream()?;
        assert_eq!(stream.recv().await?, Some(()));
        let started = Instant::now();
        let error = loop {
            match stream.send((0, Vec::new())).await {
                Ok(()) => assert!(started.elapsed() < LONG, "it takes and takes"),
                Err(error) => break error,
            }
        };
        assert_eq!(*error.kind(), ErrorKind::Overrun, "{error:?}");
        assert!(error.to_string().contains("reads_late"), "{error}");
        // The callee's context goes on: it has not been told yet, and fails when it is.
        assert!(cx.outcome().is_none());
        gate.raise();
        let error = cx.result().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Overrun, "{error:?}");
        assert_eq!(error.origin().name, "worker", "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_11_a_block_whose_stream_is_overrun_fails_with_that() -> Result<()> {
    with_worker(async |worker| {
        let ended: Result<u64> = worker
            .with_context(floods(), async |mut cx, ()| {
                let mut stream = Policy::Fail(1).set(cx.open_stream()?);
                // The second is there before the first is asked for.
                while cx.outcome().is_none() {
                    assert!(worker.run(alive()).await?);
                }
                let mut had = 0;
                while stream.recv().await?.is_some() {
                    had += 1;
                }
                Ok(had)
            })
            .await;
        let error = ended.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Overrun, "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_12_a_cancel_at_the_end_is_a_cancel_whatever_was_dropped() -> Result<()> {
    let gate = Sign::new("cancelled");
    with_worker(async |worker| {
        let policy = Policy::DropOldest(4);
        let (mut here, ()) = worker.open_context(floods()).await?;
        let (mut there, ()) = worker.open_context(reads_late(policy, gate.path())).await?;
        let stream = policy.set(here.open_stream()?);
        while stream.dropped() < VALUES - 4 {
            assert!(worker.run(alive()).await?);
        }
        let mut flooded = there.open_stream()?;
        assert_eq!(flooded.recv().await?, Some(()));
        for n in 0..VALUES {
            flooded.send((n, vec![0; WEIGHT])).await?;
        }
        assert_eq!(here.cancel().await, CancelStatus::Done);
        assert_eq!(there.cancel().await, CancelStatus::Done);
        for error in [here.result().await.map(drop), there.result().await.map(drop)] {
            assert!(error.unwrap_err().cancelled().is_some());
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_12_the_policy_of_one_side_is_not_the_others() -> Result<()> {
    // The side that reads decides: what the sending side chose for itself changes nothing.
    let gate = Sign::new("sides");
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_late(Policy::Wait, gate.path())).await?;
        let mut stream = Policy::DropOldest(1).set(cx.open_stream()?);
        assert_eq!(stream.recv().await?, Some(()));
        let mut sent = 0;
        while stream.try_send((sent, vec![0; WEIGHT])).is_ok() {
            sent += 1;
            assert!(sent < VALUES, "its reader is waited for");
        }
        stream.close().await?;
        gate.raise();
        assert_eq!(cx.result().await?, ((0..sent).collect(), 0));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_12_what_is_kept_is_had_by_subscribers_too() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(floods()).await?;
        let (sender, receiver) = cx.open_stream()?.split();
        let receiver = receiver.on_overrun(Overrun::DropOldest(Capacity::items(8)));
        while receiver.dropped() < VALUES - 8 {
            assert!(worker.run(alive()).await?);
        }
        let first = receiver.subscribe();
        let second = first.subscribe();
        sender.send(()).await?;
        for reader in [first, second] {
            let had: Vec<_> = reader.map(|value| value.unwrap().0).collect().await;
            assert_eq!(had, (VALUES - 8..VALUES).collect::<Vec<_>>());
        }
        cx.result().await
    })
    .await
}

/// Sends numbers for as long as it may, and notes each in its process before.
#[hatchery::context]
async fn counts(cx: Context<Starts<()>, Sends<u64>, Receives<()>>) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for n in 0.. {
        SENT.store(n, Ordering::Release);
        stream.send(n).await?;
    }
    Ok(())
}

/// How many have been taken of the sender that waits now.
static SENT: AtomicU64 = AtomicU64::new(0);

#[hatchery::endpoint]
async fn sent() -> u64 {
    SENT.load(Ordering::Acquire)
}

#[hatchery::test]
async fn p_w7_a_sender_gets_no_more_than_so_many_values_ahead_of_its_reader() -> Result<()> {
    const AHEAD: u64 = 8;
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts()).await?;
        let mut stream = Policy::WaitWithin(AHEAD as usize).set(cx.open_stream()?);
        // What was granted before is used up first.
        let window = u64::from(hatchery::Limits::default().window);
        let mut had = 0;
        while had < 2 * window / 17 {
            assert_eq!(stream.recv().await?, Some(had));
            had += 1;
        }
        for _ in 0..100 {
            // It may be on its way to that.
            let ahead = worker.run(sent()).await? - had;
            assert!(ahead <= AHEAD, "{ahead} ahead");
            assert_eq!(stream.recv().await?, Some(had));
            had += 1;
        }
        // With nobody reading it comes that far, but for what is not worth a credit.
        let started = Instant::now();
        while worker.run(sent()).await? - had < AHEAD * 3 / 4 {
            assert!(started.elapsed() < LONG, "it stands still");
        }
        // Wide again, it is let go.
        let mut stream = stream.on_overrun(Overrun::Wait);
        while worker.run(sent()).await? - had < 10 * AHEAD {
            assert!(started.elapsed() < LONG, "it stands still");
        }
        assert_eq!(stream.recv().await?, Some(had));
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_w7_str_12_a_callee_that_wants_little_ahead_gets_all_of_it() -> Result<()> {
    let (had, dropped) = {
        let gate = Sign::new("within");
        with_worker(async |worker| {
            let policy = Policy::WaitWithin(2);
            let (mut cx, ()) = worker.open_context(reads_late(policy, gate.path())).await?;
            let mut stream = cx.open_stream()?;
            assert_eq!(stream.recv().await?, Some(()));
            let mut sent = 0;
            while stream.try_send((sent, vec![0; WEIGHT])).is_ok() {
                sent += 1;
                assert!(sent < VALUES, "its reader is waited for");
            }
            gate.raise();
            for n in sent..VALUES {
                stream.send((n, vec![0; WEIGHT])).await?;
            }
            stream.close().await?;
            cx.result().await
        })
        .await?
    };
    assert_eq!((had, dropped), ((0..VALUES).collect(), 0));
    Ok(())
}

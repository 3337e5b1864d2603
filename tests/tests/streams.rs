//! Streams between processes: order, ends, flow control, and what a dropped half says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_lite::{FutureExt as _, StreamExt as _, future};
use hatchery::{
    Context, Error, ErrorKind, Limits, MsgStream, Nursery, OpenContext, Options, Portal, Receives,
    Result, Sends, Starts, open_nursery,
};
use hatchery_tests::sign::{Sign, raised};
use hatchery_tests::worker::{alive, with_worker};

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// Sends everything back.
#[hatchery::context]
async fn echo(cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<Vec<u8>>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut bytes = 0;
    while let Some(value) = stream.recv().await? {
        bytes += value.len() as u64;
        stream.send(value).await?;
    }
    Ok(bytes)
}

/// Sends `count` numbers, then closes or simply returns.
#[hatchery::context]
async fn counts(
    cx: Context<Starts<()>, Sends<u64>, Receives<()>>,
    count: u64,
    closes: bool,
) -> Result<u64> {
    let stream = cx.started(()).await?.open_stream();
    for n in 0..count {
        stream.send(n).await?;
    }
    if closes {
        stream.close().await?;
    }
    Ok(count)
}

/// Takes `count` values and keeps the stream open until it is asked to end.
#[hatchery::context]
async fn takes(cx: Context<Starts<()>, Sends<u64>, Receives<Vec<u8>>>, count: u64) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut bytes = 0;
    for _ in 0..count {
        bytes += stream.recv().await?.map_or(0, |value| value.len() as u64);
    }
    stream.send(bytes).await?;
    future::pending().await
}

/// Reads nothing until the gate is open, then everything; returns how many bytes.
#[hatchery::context]
async fn reads_late(
    cx: Context<Starts<()>, Sends<()>, Receives<Vec<u8>>>,
    gate: String,
) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    raised(&gate).await;
    let (mut bytes, mut next) = (0, 0_u8);
    while let Some(value) = stream.recv().await? {
        assert!(value.iter().all(|byte| *byte == next), "value {next} is not in its place");
        next = next.wrapping_add(1);
        bytes += value.len() as u64;
    }
    Ok(bytes)
}

/// Drops its receiving half, says so, and lives on.
#[hatchery::context]
async fn reads_no_more(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let (sender, receiver) = cx.started(()).await?.open_stream().split();
    drop(receiver);
    sender.send(1).await?;
    future::pending().await
}

/// Sums what comes; tells the sum after the end, over its own half that is still open.
#[hatchery::context]
async fn sums(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut sum = 0;
    while let Some(value) = stream.recv().await? {
        sum += value;
    }
    stream.send(sum).await?;
    stream.send(sum * 2).await?;
    Ok(sum)
}

type Echo = (OpenContext<echo>, MsgStream<Vec<u8>, Vec<u8>>);

async fn open_echo(worker: &Portal) -> Result<Echo> {
    let (mut cx, ()) = worker.open_context(echo()).await?;
    let stream = cx.open_stream()?;
    Ok((cx, stream))
}

#[hatchery::test]
async fn str_01_values_keep_their_order() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(5000, true)).await?;
        let mut stream = cx.open_stream()?;
        for n in 0..5000 {
            assert_eq!(stream.recv().await?, Some(n));
        }
        // STR-05: the end stays the end.
        assert_eq!(stream.recv().await?, None);
        assert_eq!(stream.recv().await?, None);
        assert_eq!(cx.result().await?, 5000);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_02_a_return_ends_the_stream_too_and_what_was_sent_still_comes() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(3, false)).await?;
        let stream = cx.open_stream()?;
        let all: Vec<u64> = stream.map(|value| value.unwrap()).collect().await;
        assert_eq!(all, [0, 1, 2]);
        assert_eq!(cx.result().await?, 3);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_05_half_close_leaves_the_other_direction_open() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(sums()).await?;
        let mut stream = cx.open_stream()?;
        for n in 1..=4 {
            stream.send(n).await?;
        }
        stream.close().await?;
        stream.close().await?;
        assert_eq!(stream.recv().await?, Some(10));
        assert_eq!(stream.recv().await?, Some(20));
        assert_eq!(stream.recv().await?, None);
        assert_eq!(cx.result().await?, 10);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_04_a_send_after_close_is_misuse() -> Result<()> {
    with_worker(async |worker| {
        let (cx, stream) = open_echo(worker).await?;
        stream.close().await?;
        let error = stream.send(vec![1]).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
        assert_eq!(cx.result().await?, 0);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_send_to_a_half_that_nobody_reads_says_so() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_no_more()).await?;
        let mut stream = cx.open_stream()?;
        assert_eq!(stream.recv().await?, Some(1));
        let started = Instant::now();
        let error = loop {
            match stream.send(1).await {
                Ok(()) => assert!(started.elapsed() < LONG, "it takes and takes"),
                Err(error) => break error,
            }
        };
        assert_eq!(*error.kind(), ErrorKind::ReceiverGone, "{error:?}");
        assert!(error.to_string().contains("worker"), "{error}");
        assert_eq!(cx.cancel().await, hatchery::CancelStatus::Done);
        Ok(())
    })
    .await
}

/// Drops its stream, and fails once the opener has asked it to end.
#[hatchery::context]
async fn drops_and_fails(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<()> {
    drop(cx.started(()).await?.open_stream());
    let _ = hatchery::cancel_scope(async |_scope| future::pending::<Result<()>>().await).await;
    Err(Error::message("the cause"))
}

/// Cancels its own actor, which drops its stream, and ends when the gate is open.
#[hatchery::context]
async fn drops_and_is_cancelled(
    cx: Context<Starts<()>, Sends<u64>, Receives<u64>>,
    gate: String,
) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    let ended = hatchery::cancel_scope(async move |_scope| {
        let _stream = stream;
        hatchery::cancel_soon()?;
        future::pending::<Result<()>>().await
    })
    .await;
    hatchery::shield(raised(&gate)).await;
    ended.map(drop)
}

/// Keeps its actor from ending until the gate is open.
#[hatchery::context]
async fn holds_on(cx: Context<Starts<()>, Sends<()>, Receives<()>>, gate: String) -> Result<()> {
    let _started = cx.started(()).await?;
    hatchery::shield(raised(&gate)).await;
    Ok(())
}

#[hatchery::test]
async fn p_c4_a_body_that_fails_since_the_far_task_was_cancelled_is_told_by_whom() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let end = Sign::new("end");
        let holds = holds_on(end.path());
        let (_held, ()) = worker.open_context(holds).await?;
        let gate = Sign::new("cancelled");
        let path = gate.path();
        let ended: Result<()> = worker
            .with_context(drops_and_is_cancelled(path), async |mut cx, ()| {
                let stream = cx.open_stream()?;
                let error = loop {
                    if let Err(error) = stream.send(1).await {
                        break error;
                    }
                };
                // It ends only when this side has heard no more than that.
                assert_eq!(*error.kind(), ErrorKind::ReceiverGone, "{error:?}");
                gate.raise();
                Err(error)
            })
            .await;
        let error = ended.unwrap_err();
        let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(by.canceller.uuid, worker.id().uuid, "{error:?}");
        // Asked before it has ended by itself, which would be a failure of this nursery.
        let mut asked = Box::pin(worker.cancel());
        assert!(future::poll_once(&mut asked).await.is_none());
        end.raise();
        asked.await
    })
    .await
}

#[hatchery::test]
async fn a_body_that_fails_since_the_far_task_fails_is_told_the_cause() -> Result<()> {
    with_worker(async |worker| {
        let ended: Result<()> = worker
            .with_context(drops_and_fails(), async |mut cx, ()| {
                let stream = cx.open_stream()?;
                loop {
                    stream.send(1).await?;
                }
            })
            .await;
        let error = ended.unwrap_err();
        assert_eq!(
            (error.kind(), error.report().message.as_str()),
            (&ErrorKind::Failed, "the cause")
        );
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn values_of_no_byte_to_max_message_pass_whole() -> Result<()> {
    with_worker(async |worker| {
        let (cx, mut stream) = open_echo(worker).await?;
        let mut bytes = 0;
        for size in [0, 1, 1000, 64 * 1024, 256 * 1024, 256 * 1024 + 1, 1 << 20, (4 << 20) - 8] {
            let value: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
            stream.send(value.clone()).await?;
            let back = stream.recv().await?.unwrap();
            assert!(back == value, "{size} bytes");
            bytes += size;
        }
        stream.close().await?;
        assert_eq!(cx.result().await?, bytes as u64);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_value_over_max_message_is_misuse_and_the_stream_goes_on() -> Result<()> {
    with_worker(async |worker| {
        let (cx, mut stream) = open_echo(worker).await?;
        let error = stream.send(vec![0; (4 << 20) + 1]).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
        stream.send(vec![7]).await?;
        assert_eq!(stream.recv().await?, Some(vec![7]));
        stream.close().await?;
        assert_eq!(cx.result().await?, 1);
        Ok(())
    })
    .await
}

/// More than a window, and less than takes long.
const SMALL: u32 = 300_000;

/// The size of the value of bytes that is encoded, with three bytes for its length, in so many.
const LARGEST: usize = SMALL as usize - 3;

fn small() -> Options {
    Options::new().limits(Limits { max_message: SMALL, ..Limits::default() })
}

#[hatchery::endpoint]
async fn weighs(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[hatchery::endpoint]
async fn gives(size: usize) -> Vec<u8> {
    vec![7; size]
}

/// Sends a value that is too large, then one that is not, and says what became of the first.
#[hatchery::context]
async fn sends_too_much(cx: Context<Starts<()>, Sends<Vec<u8>>>) -> Result<String> {
    let stream = cx.started(()).await?.open_stream();
    let error = stream.send(vec![7; LARGEST + 1]).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
    stream.send(vec![7; LARGEST]).await?;
    Ok(error.to_string())
}

#[hatchery::test(options = small())]
async fn p_f3_a_value_of_max_message_passes_and_one_byte_more_is_refused_where_it_is_sent()
-> Result<()> {
    let names_it = |error: &str| {
        for size in [SMALL, SMALL + 1] {
            assert!(error.contains(&size.to_string()), "{error}");
        }
    };
    with_worker(async |worker| {
        // Over a stream, from here and from there.
        let (cx, mut stream) = open_echo(worker).await?;
        let error = stream.send(vec![7; LARGEST + 1]).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
        names_it(&error.to_string());
        stream.send(vec![7; LARGEST]).await?;
        assert_eq!(stream.recv().await?.map(|value| value.len()), Some(LARGEST));
        stream.close().await?;
        assert_eq!(cx.result().await?, LARGEST as u64);
        let (mut cx, ()) = worker.open_context(sends_too_much()).await?;
        let mut stream = cx.open_stream()?;
        assert_eq!(stream.recv().await?.map(|value| value.len()), Some(LARGEST));
        assert_eq!(stream.recv().await?, None);
        names_it(&cx.result().await?);
        // As an argument, and as a result.
        assert_eq!(worker.run(weighs(vec![7; LARGEST])).await?, LARGEST);
        let error = worker.run(weighs(vec![7; LARGEST + 1])).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
        names_it(&error.to_string());
        assert_eq!(worker.run(gives(LARGEST)).await?.len(), LARGEST);
        let error = worker.run(gives(LARGEST + 1)).await.unwrap_err();
        assert_eq!(error.origin().name, "worker", "{error:?}");
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
        names_it(&error.to_string());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_w1_a_fast_sender_waits_for_a_slow_reader_and_nothing_is_lost() -> Result<()> {
    const VALUES: u64 = 300;
    const SIZE: u64 = 10_000;
    let gate = Sign::new("p_w1");
    let path = gate.path();
    let window = u64::from(Limits::default().window);
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_late(path.clone())).await?;
        let stream = cx.open_stream()?;
        let sent = Arc::new(AtomicU64::new(0));
        let sending = async {
            for n in 0..VALUES {
                stream.send(vec![(n % 256) as u8; SIZE as usize]).await?;
                sent.fetch_add(1, Ordering::SeqCst);
            }
            stream.close().await
        };
        let held = async {
            // The window's worth goes out. From then on a call over the same link and back, whose
            // answer is behind whatever credit there was, changes nothing.
            let mut last = 0;
            loop {
                assert!(worker.run(alive()).await?);
                let now = sent.load(Ordering::SeqCst);
                if now == last && now > 0 {
                    break;
                }
                last = now;
            }
            // The last one may begin on what little is left.
            assert!(last * SIZE < window + SIZE, "{last} values of {SIZE} bytes for nobody");
            assert!((last + 2) * SIZE > window, "{last} values of {SIZE} bytes, with credit left");
            gate.raise();
            Ok::<_, Error>(())
        };
        let (sending, held) = future::zip(sending, held).await;
        sending?;
        held?;
        assert_eq!(cx.result().await?, VALUES * SIZE);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_w1_one_stream_that_is_not_read_holds_up_no_other() -> Result<()> {
    let gate = Sign::new("other");
    let path = gate.path();
    with_worker(async |worker| {
        let (mut stuck, ()) = worker.open_context(reads_late(path.clone())).await?;
        let stuck_stream = stuck.open_stream()?;
        let (other, mut stream) = open_echo(worker).await?;
        let mut filling = Box::pin(async {
            for n in 0..100_u8 {
                stuck_stream.send(vec![n; 10_000]).await?;
            }
            stuck_stream.close().await
        });
        assert!(future::poll_once(&mut filling).await.is_none());
        for n in 0..200 {
            stream.send(vec![n; 3000]).await?;
            assert_eq!(stream.recv().await?, Some(vec![n; 3000]));
        }
        stream.close().await?;
        assert_eq!(other.result().await?, 600_000);
        gate.raise();
        filling.await?;
        assert_eq!(stuck.result().await?, 1_000_000);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_receive_that_is_dropped_loses_nothing() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(2000, true)).await?;
        let mut stream = cx.open_stream()?;
        let mut next = 0;
        loop {
            // Polled once and dropped, with a value in it or not.
            match future::poll_once(stream.recv()).await {
                None => future::yield_now().await,
                Some(value) => match value? {
                    None => break,
                    Some(value) => {
                        assert_eq!(value, next);
                        next += 1;
                    }
                },
            }
        }
        assert_eq!(next, 2000);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_next_that_is_dropped_loses_nothing_and_mixes_with_receives() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(2000, true)).await?;
        let mut stream = cx.open_stream()?;
        let mut next = 0;
        loop {
            let value = match next % 2 {
                0 => match future::poll_once(stream.next()).await {
                    None => stream.recv().await?,
                    Some(value) => value.transpose()?,
                },
                _ => stream.recv().await?,
            };
            let Some(value) = value else { break };
            assert_eq!(value, next);
            next += 1;
        }
        assert_eq!(next, 2000);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_send_that_is_dropped_while_it_waits_has_sent_nothing() -> Result<()> {
    let gate = Sign::new("dropped");
    let path = gate.path();
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_late(path.clone())).await?;
        let stream = cx.open_stream()?;
        let mut sent = 0_u8;
        // Until the window is full: then a send waits, and is dropped.
        while future::poll_once(stream.send(vec![sent; 10_000])).await.transpose()?.is_some() {
            sent += 1;
        }
        gate.raise();
        stream.send(vec![sent; 10_000]).await?;
        stream.close().await?;
        assert_eq!(cx.result().await?, (u64::from(sent) + 1) * 10_000);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn the_halves_work_from_two_tasks() -> Result<()> {
    with_worker(async |worker| {
        let (cx, stream) = open_echo(worker).await?;
        let (sender, mut receiver) = stream.split();
        let received = open_nursery(async |nursery: Nursery| {
            nursery.spawn(async move {
                for n in 0..100 {
                    sender.send(vec![n; 5000]).await?;
                }
                sender.close().await
            });
            let mut received = 0;
            while let Some(value) = receiver.recv().await? {
                assert_eq!(value, vec![received; 5000]);
                received += 1;
            }
            Ok::<_, Error>(received)
        })
        .await?;
        assert_eq!(received, 100);
        assert_eq!(cx.result().await?, 500_000);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn clones_of_a_sending_half_send_into_one_direction() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(takes(40)).await?;
        let (sender, mut receiver) = cx.open_stream()?.split();
        open_nursery(async |nursery: Nursery| {
            for _ in 0..4 {
                let sender = sender.clone();
                nursery.spawn(async move {
                    for _ in 0..10 {
                        sender.send(vec![0; 100]).await?;
                    }
                    Ok::<_, Error>(())
                });
            }
            Ok::<_, Error>(())
        })
        .await?;
        assert_eq!(receiver.recv().await?, Some(4000));
        assert_eq!(cx.cancel().await, hatchery::CancelStatus::Done);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_receive_that_waits_hears_of_a_cancel() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(takes(1)).await?;
        let mut stream = cx.open_stream()?;
        let receiving = stream.recv();
        let cancelling = async {
            let status = cx.cancel().await;
            assert_eq!(status, hatchery::CancelStatus::Done);
            future::pending().await
        };
        let error = receiving.or(cancelling).await.unwrap_err();
        assert!(error.cancelled().is_some(), "{error:?}");
        Ok(())
    })
    .await
}

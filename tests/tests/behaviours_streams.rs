//! Streams as users see them, row by row: how they end and what is still told then, who never opened
//! one, and what becomes of a context however its streams were opened.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future;
use hatchery::{
    CancelStatus, Cause, Context, Error, ErrorKind, Nursery, Portal, Receives, RecvHalf, Result,
    SendHalf, Sends, Starts, TrySendError, cancel_scope, open_nursery, shield, timeout,
};
use hatchery_tests::cells::{Cell, linked};
use hatchery_tests::sign::{Last, Sign, raise, raised, soon};
use hatchery_tests::worker::{self, alive, echo};
use smol::channel;
use smol::lock::Mutex as Lock;

type Talk = Context<Starts<()>, Sends<u64>, Receives<u64>>;

/// Sends a value, closes or does not, and fails.
#[hatchery::context]
async fn sends_and_fails(cx: Talk, closes: bool) -> Result<u64> {
    let stream = cx.started(()).await?.open_stream();
    stream.send(1).await?;
    if closes {
        stream.close().await?;
    }
    Err(Error::message("the cause"))
}

/// Sends far more than a window, whoever reads it, then has something else to do, and returns.
#[hatchery::context]
async fn pours(cx: Talk, ended: String) -> Result<u64> {
    let _last = Last(ended);
    let stream = cx.started(()).await?.open_stream();
    for value in 0..50_000 {
        stream.send(value).await?;
    }
    stream.close().await?;
    for _ in 0..1000 {
        future::yield_now().await;
    }
    Ok(17)
}

/// Says what it hears on its stream once it is cancelled, in its clean-up.
#[hatchery::context]
async fn hears(cx: Talk, receives: String, sends: String) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let waited = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
    shield(async {
        raise(&receives, &format!("{:?}", stream.recv().await));
        raise(&sends, &format!("{:?}", stream.send(1).await));
    })
    .await;
    waited.map(|_| 0)
}

/// Ticks from one task and answers from another, on one stream.
#[hatchery::context]
async fn ticks_and_answers(cx: Talk) -> Result<u64> {
    let (sender, mut receiver) = cx.started(()).await?.open_stream().split();
    let ticks = sender.clone();
    open_nursery(async |nursery: Nursery| {
        nursery.spawn(async move {
            for tick in 0..20 {
                ticks.send(tick).await?;
                future::yield_now().await;
            }
            Ok::<_, Error>(())
        });
        let mut answers = 0;
        while let Some(question) = receiver.recv().await? {
            sender.send(1000 + question).await?;
            answers += 1;
        }
        Ok(answers)
    })
    .await
}

/// One actor for `body`, which is not to take long.
async fn with_worker(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    soon(worker::with_worker(body)).await
}

#[hatchery::test]
async fn str_07_the_end_of_a_stream_is_no_error_that_could_leave_a_block() -> Result<()> {
    with_worker(async |worker| {
        let count = worker
            .with_context(echo(), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                stream.send(1).await?;
                stream.close().await?;
                let mut count = 0;
                while stream.recv().await?.is_some() {
                    count += 1;
                }
                Ok::<_, Error>(count)
            })
            .await?;
        assert_eq!(count, 1);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_08_a_failure_is_told_in_place_of_the_end_unless_the_end_was_said() -> Result<()> {
    with_worker(async |worker| {
        for closes in [false, true] {
            let (mut cx, ()) = worker.open_context(sends_and_fails(closes)).await?;
            let mut stream = cx.open_stream()?;
            // What happened before it is known here in any case.
            let error = cx.outcome();
            assert!(error.is_none() || error.is_some_and(|outcome| outcome.is_err()));
            assert_eq!(stream.recv().await?, Some(1), "what was sent before it comes first");
            for _ in 0..2 {
                match stream.recv().await {
                    Ok(None) => assert!(closes, "it looks like a graceful end"),
                    Err(error) => {
                        assert_eq!((closes, error.to_string()), (false, "the cause".into()))
                    }
                    Ok(Some(value)) => panic!("{value}"),
                }
            }
            assert_eq!(cx.result().await.unwrap_err().to_string(), "the cause");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_10_str_16_a_callee_hears_on_its_stream_that_its_opener_has_failed() -> Result<()> {
    with_worker(async |worker| {
        let (receives, sends) = (Sign::new("str_10"), Sign::new("str_10"));
        let block: Result<()> = worker
            .with_context(hears(receives.path(), sends.path()), async |mut cx, ()| {
                let _stream = cx.open_stream()?;
                Err(Error::message("of the opener"))
            })
            .await;
        assert_eq!(block.unwrap_err().report().message, "of the opener");
        for heard in [receives.raised().await, sends.raised().await] {
            assert!(heard.starts_with("Err") && heard.contains("of the opener"), "{heard}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_13_no_block_ends_without_an_outcome_whatever_is_on_its_way_to_it() -> Result<()> {
    with_worker(async |worker| {
        // Nobody reads: what is on its way is let go until the far task has ended.
        let ended = Sign::new("str_13");
        let block = worker.with_context(pours(ended.path()), async |cx, ()| Ok::<_, Error>(cx));
        let cx = block.await?;
        assert!(ended.is_raised(), "the far task had not ended");
        assert_eq!(cx.outcome().expect("it is over")?, 17);
        for reads in [0, 1, 100] {
            // Who reads no more says so: the sender hears of it, and its end is waited for as well.
            let ended = Sign::new("str_13");
            let block = worker.with_context(pours(ended.path()), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                for value in 0..reads {
                    assert_eq!(stream.recv().await?, Some(value));
                }
                Ok::<_, Error>(())
            });
            let error = block.await.unwrap_err();
            assert!(ended.is_raised(), "{reads}: the far task had not ended");
            assert!(error.to_string().contains("receiving half"), "{reads}: {error}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_17_one_stream_carries_what_two_tasks_of_the_callee_send() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(ticks_and_answers()).await?;
        let mut stream = cx.open_stream()?;
        for question in 0..10 {
            stream.send(question).await?;
        }
        stream.close().await?;
        let mut all = Vec::new();
        while let Some(value) = stream.recv().await? {
            all.push(value);
        }
        let (ticks, answers): (Vec<_>, Vec<_>) = all.into_iter().partition(|value| *value < 1000);
        assert_eq!(ticks, (0..20).collect::<Vec<_>>(), "each kind in its own order");
        assert_eq!(answers, (1000..1010).collect::<Vec<_>>());
        assert_eq!(cx.result().await?, 10);
        Ok(())
    })
    .await
}

/// Far beyond what any cell takes.
const SOON: Duration = Duration::from_secs(10);

/// Runs one way to end a block in every cell: each is over in time, with its callee.
async fn in_every_cell(column: &str, run: impl AsyncFn(Cell, String) -> Result<()>) -> Result<()> {
    for cell in Cell::all() {
        let ended = Sign::new(column);
        let over = timeout(SOON, run(cell, ended.path())).await;
        over.map_err(|error| Error::message(format!("{column}, {cell}: {error:?}")))?;
        assert!(ended.is_raised(), "{column}, {cell}: the callee has not ended");
    }
    Ok(())
}

#[hatchery::test]
async fn str_14_a_clean_end_or_a_cancel_in_every_cell_of_who_opens_a_stream() -> Result<()> {
    with_worker(async |worker| {
        for way in ["cancel", "cancel on exit", "join"] {
            in_every_cell(way, async |cell, ended| {
                // Where the callee blocks, the end of the block has to ask.
                let joins = way == "join" && cell.returns;
                let block = worker.with_context(linked(cell, ended), async |mut cx, ()| {
                    let _stream = cell.open(&mut cx).await?;
                    match way {
                        "cancel" => {
                            assert_eq!(cx.cancel().await, CancelStatus::Done, "{way}, {cell}");
                        }
                        _ if joins => assert_eq!(cx.result().await?, 7, "{way}, {cell}"),
                        _ => cx.cancel_on_exit(),
                    }
                    Ok::<_, Error>(5)
                });
                assert_eq!(block.await?, 5, "{way}, {cell}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_14_ctx_12_an_error_in_every_cell_of_who_opens_a_stream() -> Result<()> {
    with_worker(async |worker| {
        in_every_cell("error", async |cell, ended| {
            let block: Result<()> = worker
                .with_context(linked(cell, ended), async |mut cx, ()| {
                    let _stream = cell.open(&mut cx).await?;
                    Err(Error::message("of the opener"))
                })
                .await;
            let error = block.unwrap_err();
            assert_eq!(error.report().message, "of the opener", "error, {cell}: {error:?}");
            assert!(error.also().is_empty(), "error, {cell}: {error:?}");
            Ok(())
        })
        .await?;
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_14_a_timeout_around_the_block_in_every_cell_of_who_opens_a_stream() -> Result<()> {
    // Of those whose opening was cut off, which nobody waits for: here until their actor has ended.
    let mut cut_off = Vec::new();
    with_worker(async |worker| {
        for cell in Cell::all() {
            let mut limit = Duration::from_millis(20);
            loop {
                let (ended, is_up) = (Sign::new("timeout"), AtomicBool::new(false));
                let block = worker.with_context(linked(cell, ended.path()), async |mut cx, ()| {
                    is_up.store(true, Ordering::Release);
                    let _stream = cell.open(&mut cx).await?;
                    pending::<Result<()>>().await
                });
                let error = timeout(limit, block).await.unwrap_err();
                let cause = error.cancelled().map(|by| &by.cause);
                assert_eq!(cause, Some(&Cause::Deadline), "timeout, {cell}: {error:?}");
                if is_up.load(Ordering::Acquire) {
                    assert!(ended.is_raised(), "timeout, {cell}: the callee has not ended");
                    break;
                }
                // It fell into the opening, which is not what this is about (CTX-09).
                limit *= 2;
                assert!(limit < SOON, "timeout, {cell}: it never opens");
                cut_off.push(ended);
            }
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_23_every_value_that_the_codec_takes_passes_and_unit_is_one() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(units()).await?;
        let mut stream = cx.open_stream()?;
        for _ in 0..3 {
            stream.send(()).await?;
        }
        stream.close().await?;
        assert_eq!(stream.recv().await?, Some(None));
        assert_eq!(stream.recv().await?, Some(Some(vec![String::new(), "ä\0".into()])));
        assert_eq!(stream.recv().await?, None);
        cx.result().await?;
        let over = stream.send(()).await.unwrap_err();
        assert_eq!(*over.kind(), ErrorKind::ReceiverGone);
        Ok(())
    })
    .await
}

/// Takes three units, and sends values of which nothing is one.
#[hatchery::context]
async fn units(cx: Context<Starts<()>, Sends<Option<Vec<String>>>, Receives<()>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    for _ in 0..3 {
        assert_eq!(stream.recv().await?, Some(()));
    }
    assert_eq!(stream.recv().await?, None);
    stream.send(None).await?;
    stream.send(Some(vec![String::new(), "ä\0".into()])).await
}

/// What readers have had, one after the other.
type Had = Arc<Mutex<Vec<u64>>>;

/// Has one reader after the other, each of which is cancelled while it receives a value that is on its
/// way: sooner or later before it has come, or when the reader has just been woken for it. The last
/// one has what is left.
async fn many_readers(
    sender: SendHalf<u64>,
    had: &Had,
    reads: impl Fn(Had, channel::Sender<()>) -> future::Boxed<Result<()>>,
) -> Result<()> {
    for round in 0..ROUNDS {
        open_nursery(async |nursery: Nursery| {
            let (receives, is_receiving) = channel::bounded(1);
            let (mut reader, polls) = (reads(had.clone(), receives), Arc::new(AtomicU64::new(0)));
            let polled = polls.clone();
            nursery.spawn(future::poll_fn(move |cx| {
                polled.fetch_add(1, Ordering::AcqRel);
                reader.as_mut().poll(cx)
            }));
            is_receiving.recv().await.map_err(Error::new)?;
            let before = polls.load(Ordering::Acquire);
            sender.send(round).await?;
            if round % 2 == 0 {
                for _ in 0..round {
                    future::yield_now().await;
                }
            } else {
                while polls.load(Ordering::Acquire) == before {
                    future::yield_now().await;
                }
            }
            nursery.cancel();
            Ok::<_, Error>(())
        })
        .await?;
    }
    sender.close().await?;
    let (receives, _receiving) = channel::bounded(1);
    reads(had.clone(), receives).await?;
    assert_eq!(*had.lock().unwrap(), (0..ROUNDS).collect::<Vec<_>>());
    Ok(())
}

const ROUNDS: u64 = 60;

/// Receives to the end, and says when it is about to wait.
async fn receives(half: &mut RecvHalf<u64>, had: Had, says: channel::Sender<()>) -> Result<()> {
    loop {
        // The first time is enough.
        let _ = says.try_send(());
        let Some(value) = half.recv().await? else { return Ok(()) };
        had.lock().unwrap().push(value);
    }
}

#[hatchery::test]
async fn str_22_a_reader_that_is_cancelled_is_succeeded_by_one_that_shares_the_half() -> Result<()>
{
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(echo()).await?;
        let (sender, half) = cx.open_stream()?.split();
        let (half, had) = (Arc::new(Lock::new(half)), Had::default());
        many_readers(sender, &had, |had, says| {
            let half = half.clone();
            Box::pin(async move { receives(&mut *half.lock().await, had, says).await })
        })
        .await?;
        assert_eq!(cx.result().await?, ROUNDS);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_22_a_reader_that_is_cancelled_hands_its_half_back_for_the_next() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(echo()).await?;
        let (sender, half) = cx.open_stream()?.split();
        let (gives, takes) = channel::bounded(1);
        gives.try_send(half).expect("room for one");
        let had = Had::default();
        many_readers(sender, &had, |had, says| {
            let (gives, takes) = (gives.clone(), takes.clone());
            Box::pin(async move {
                let mut half: RecvHalf<u64> = takes.recv().await.map_err(Error::new)?;
                let ended = cancel_scope(async |_scope| receives(&mut half, had, says).await);
                let ended = ended.await;
                gives.try_send(half).expect("room for one");
                ended.map(drop)
            })
        })
        .await?;
        assert_eq!(cx.result().await?, ROUNDS);
        Ok(())
    })
    .await
}

/// Never opens its stream; returns, or fails, once it may.
#[hatchery::context]
async fn never_opens(cx: Talk, may_end: String, fails: bool) -> Result<u64> {
    let _started = cx.started(()).await?;
    raised(&may_end).await;
    if fails { Err(Error::message("the cause")) } else { Ok(17) }
}

#[hatchery::test]
async fn str_14_a_send_that_waits_for_a_callee_that_opens_nothing_ends_with_its_end() -> Result<()>
{
    with_worker(async |worker| {
        for fails in [false, true] {
            let may_end = Sign::new("opens nothing");
            let (mut cx, ()) = worker.open_context(never_opens(may_end.path(), fails)).await?;
            let stream = cx.open_stream()?;
            fill(|| stream.try_send(1));
            let mut waits = Box::pin(stream.send(1));
            assert!(future::poll_once(&mut waits).await.is_none());
            may_end.raise();
            let error = soon(&mut waits).await.unwrap_err();
            if fails {
                assert_eq!(error.report().message, "the cause", "{error:?}");
                assert_eq!(cx.result().await.unwrap_err().report().message, "the cause");
            } else {
                assert_eq!(error.kind(), &ErrorKind::ReceiverGone, "{error:?}");
                assert!(error.to_string().contains("returned"), "{error}");
                // No failure of the far task.
                assert_eq!(cx.result().await?, 17);
            }
        }
        Ok(())
    })
    .await
}

/// Sends until the window is full.
fn fill(send: impl Fn() -> Result<(), TrySendError<u64>>) {
    loop {
        match send() {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Fills the window and has one send more wait, which a cancel ends unless it is shielded from that;
/// says what came of it.
#[hatchery::context]
async fn waits_to_send(cx: Talk, shielded: bool, waits: String, came_to: String) -> Result<u64> {
    let stream = cx.started(()).await?.open_stream();
    fill(|| stream.try_send(1));
    let sends = async {
        let dropped = Last(came_to.clone());
        let mut sends = Box::pin(stream.send(1));
        assert!(future::poll_once(&mut sends).await.is_none());
        raise(&waits, "");
        let sent = sends.await;
        std::mem::forget(dropped);
        raise(&came_to, &format!("{sent:?}"));
        sent
    };
    if shielded { shield(sends).await } else { sends.await }?;
    Ok(17)
}

#[hatchery::test]
async fn str_14_a_send_that_waits_for_an_opener_that_opens_nothing_ends_with_its_end() -> Result<()>
{
    with_worker(async |worker| {
        for (way, shielded) in [
            ("join", false),
            ("cancel", false),
            ("cancel", true),
            ("fail", false),
            ("fail", true),
            ("drop", false),
            ("drop", true),
        ] {
            let (waits, came_to) = (Sign::new("waits"), Sign::new("came to"));
            let call = waits_to_send(shielded, waits.path(), came_to.path());
            let ended = if way == "drop" {
                let (cx, ()) = worker.open_context(call).await?;
                waits.raised().await;
                drop(cx);
                Ok(0)
            } else {
                let block = worker.with_context(call, async |cx, ()| {
                    waits.raised().await;
                    match way {
                        "join" => return cx.result().await,
                        "cancel" => assert_eq!(cx.cancel().await, CancelStatus::Done),
                        _ => return Err(Error::message("of the opener")),
                    }
                    Ok(0)
                });
                soon(block).await
            };
            let told = came_to.raised().await;
            // What the opener does not read is discarded, so that whoever must send it all can.
            let sent = if shielded || way == "join" { "Ok(())" } else { "" };
            assert_eq!(told, sent, "{way}, shielded: {shielded}");
            match way {
                "join" => assert_eq!(ended?, 17),
                "fail" => assert_eq!(ended.unwrap_err().report().message, "of the opener"),
                _ => assert_eq!(ended?, 0, "{way}"),
            }
        }
        Ok(())
    })
    .await
}

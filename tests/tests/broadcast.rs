//! Fan-out: the values of one stream for several readers, each of which gets all of them, and what
//! becomes of the slow, the dropped and the late.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_lite::{StreamExt as _, future};
use hatchery::{
    Capacity, Context, ContextState, ErrorKind, MsgStream, OpenContext, Portal, Receives, Result,
    Sends, Starts, Subscriber,
};
use hatchery_tests::worker::{echo, with_worker};

/// Sends so many numbers, and returns.
#[hatchery::context]
async fn counts(cx: Context<Starts<()>, Sends<u64>, Receives<()>>, count: u64) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for n in 0..count {
        stream.send(n).await?;
    }
    Ok(())
}

/// Sends values of this size, and returns.
#[hatchery::context]
async fn weighs(
    cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<()>>,
    count: u8,
    size: usize,
) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for n in 0..count {
        stream.send(vec![n; size]).await?;
    }
    Ok(())
}

/// Sends two numbers with something between them that is none, and returns.
#[hatchery::context]
async fn sends_no_number(cx: Context<Starts<()>, Sends<Odd>, Receives<()>>) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for value in [Odd(true), Odd(false), Odd(true)] {
        stream.send(value).await?;
    }
    Ok(())
}

/// Decodes only where it is true.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Odd(bool);

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match bool::deserialize(from)? {
            true => Ok(Self(true)),
            false => Err(serde::de::Error::custom("not true")),
        }
    }
}

/// Fails once it has been sent a number.
#[hatchery::context]
async fn fails(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    stream.send(1).await?;
    stream.recv().await?;
    Err(hatchery::Error::message("the cause"))
}

type Echo = (OpenContext<echo>, MsgStream<u64, u64>);

async fn open_echo(worker: &Portal) -> Result<Echo> {
    let (mut cx, ()) = worker.open_context(echo()).await?;
    let stream = cx.open_stream()?;
    Ok((cx, stream))
}

/// Everything that a reader gets, lag as what was missed.
async fn all(mut reader: Subscriber<u64>) -> Result<Vec<Result<u64, u64>>> {
    let mut had = Vec::new();
    loop {
        match reader.recv().await {
            Ok(Some(value)) => had.push(Ok(value)),
            Ok(None) => return Ok(had),
            Err(error) => match error.kind() {
                ErrorKind::Lagged(missed) => had.push(Err(*missed)),
                _ => return Err(error),
            },
        }
    }
}

/// Keeps the warnings of one thread.
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        *about.level() == tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn values(range: std::ops::Range<u64>) -> Vec<Result<u64, u64>> {
    range.map(Ok).collect()
}

/// Runs all of them until all have ended.
async fn together<T>(futures: impl IntoIterator<Item: Future<Output = T>>) -> Vec<T> {
    let mut ended: Vec<Option<T>> = Vec::new();
    let mut open: Vec<Option<Pin<Box<_>>>> =
        futures.into_iter().map(|it| Some(Box::pin(it))).collect();
    ended.resize_with(open.len(), || None);
    std::future::poll_fn(|cx| {
        for (place, done) in open.iter_mut().zip(&mut ended) {
            if let Some(running) = place
                && let Poll::Ready(value) = running.as_mut().poll(cx)
            {
                *done = Some(value);
                *place = None;
            }
        }
        match open.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    ended.into_iter().flatten().collect()
}

#[hatchery::test]
async fn brd_01_str_20_every_reader_gets_every_value() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(1000)).await?;
        let (_, first) = cx.open_stream()?.subscribe();
        let mut readers: Vec<_> = (0..9).map(|_| first.subscribe()).collect();
        readers.push(first);
        // In turn, so that none is ever a window behind.
        let read = readers.into_iter().map(|mut reader| async move {
            let mut had = Vec::new();
            while let Some(value) = reader.recv().await? {
                had.push(value);
                future::yield_now().await;
            }
            Ok::<_, hatchery::Error>(had)
        });
        for had in together(read).await {
            assert_eq!(had?, (0..1000).collect::<Vec<u64>>());
        }
        cx.result().await
    })
    .await
}

#[hatchery::test]
async fn brd_01_a_reader_gets_what_comes_from_then_on_and_may_send() -> Result<()> {
    with_worker(async |worker| {
        let (cx, stream) = open_echo(worker).await?;
        let (sender, mut early) = stream.subscribe();
        let idle = early.subscribe();
        for value in [1, 2] {
            sender.send(value).await?;
        }
        assert_eq!(early.recv().await?, Some(1));
        assert_eq!(early.recv().await?, Some(2));
        // What is kept for another is not for who comes late.
        let mut late = early.subscribe();
        // From any reader's task, with a sending half of its own.
        let of_late = sender.clone();
        of_late.send(3).await?;
        assert_eq!(late.recv().await?, Some(3));
        assert_eq!(early.recv().await?, Some(3));
        drop((sender, of_late));
        assert_eq!(cx.result().await?, 3);
        assert_eq!((all(early).await?, all(late).await?), (vec![], vec![]));
        assert_eq!(all(idle).await?, values(1..4));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn brd_02_the_fastest_sets_the_pace_and_a_slow_one_is_told_what_it_missed() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(100)).await?;
        let (_sender, receiver) = cx.open_stream()?.split();
        let fast = receiver.subscribe_within(Capacity::items(8));
        let mut slow = fast.subscribe();
        let never = fast.subscribe();
        assert_eq!(slow.recv().await?, Some(0));
        assert_eq!(all(fast).await?, values(0..100), "the fastest never lags");
        assert_eq!(slow.lagged(), 0, "told with the next receive");
        let error = slow.recv().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Lagged(91), "{error:?}");
        assert!(error.to_string().contains("counts"), "{error}");
        assert_eq!(slow.lagged(), 91);
        assert_eq!(all(slow).await?, values(92..100), "on from the oldest that is kept, once");
        let mut had = all(never).await?;
        assert_eq!(had.remove(0), Err(92));
        assert_eq!(had, values(92..100));
        cx.result().await
    })
    .await
}

#[hatchery::test]
async fn brd_02_the_window_is_bounded_by_bytes_too_and_keeps_one_of_any_size() -> Result<()> {
    with_worker(async |worker| {
        for (size, kept) in [(100, 9), (600, 1), (5000, 1)] {
            let (mut cx, ()) = worker.open_context(weighs(20, size)).await?;
            let (_sender, receiver) = cx.open_stream()?.split();
            let mut fast = receiver.subscribe_within(Capacity { items: 64, bytes: 1000 });
            let mut slow = fast.subscribe();
            for n in 0..20 {
                assert_eq!(fast.recv().await?, Some(vec![n; size]));
            }
            assert_eq!(fast.recv().await?, None);
            let error = slow.recv().await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Lagged(20 - kept), "{size} bytes");
            assert_eq!(slow.count().await as u64, kept, "{size} bytes");
            cx.result().await?;
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn brd_03_lag_can_be_skipped_in_silence_and_still_be_counted() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(100)).await?;
        let (_sender, receiver) = cx.open_stream()?.split();
        let fast = receiver.subscribe_within(Capacity::items(8));
        let mut slow = fast.subscribe().skip_lag();
        assert_eq!(all(fast).await?.len(), 100);
        let warned = Arc::new(Mutex::new(Vec::new()));
        {
            let _log = tracing::subscriber::set_default(Warnings(warned.clone()));
            let first = future::poll_once(slow.recv()).await;
            assert_eq!(first.transpose()?, Some(Some(92)));
        }
        let warned = std::mem::take(&mut *warned.lock().unwrap());
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].contains("missed=92"), "{warned:?}");
        for n in 93..100 {
            assert_eq!(slow.recv().await?, Some(n));
        }
        assert_eq!(slow.recv().await?, None);
        assert_eq!(slow.lagged(), 92);
        cx.result().await
    })
    .await
}

#[hatchery::test]
async fn brd_04_l_45_a_reader_that_is_dropped_while_it_waits_leaves_nobody_asleep() -> Result<()> {
    with_worker(async |worker| {
        let (cx, stream) = open_echo(worker).await?;
        let (sender, mut first) = stream.subscribe();
        let mut second = first.subscribe();
        let mut third = first.subscribe();
        {
            let mut waiting = Box::pin(second.recv());
            // The first to look waits first; it goes while the others wait.
            let mut gone = Box::pin(first.recv());
            assert!(future::poll_once(&mut gone).await.is_none());
            assert!(future::poll_once(&mut waiting).await.is_none());
            drop(gone);
            sender.send(1).await?;
            assert_eq!(waiting.await?, Some(1));
            // One that is alive and never polled again is in nobody's way either.
            let mut idle = Box::pin(first.recv());
            assert_eq!(idle.as_mut().await?, Some(1));
            let mut idle = Box::pin(third.recv());
            assert_eq!(future::poll_once(&mut idle).await.unwrap()?, Some(1));
        }
        let mut idle = Box::pin(third.recv());
        assert!(future::poll_once(&mut idle).await.is_none());
        for value in [2, 3] {
            sender.send(value).await?;
            assert_eq!(second.recv().await?, Some(value));
        }
        drop(idle);
        drop(first);
        // The slower one has all that is left.
        assert_eq!((third.recv().await?, third.recv().await?), (Some(2), Some(3)));
        sender.close().await?;
        assert_eq!((third.recv().await?, second.recv().await?), (None, None));
        drop(sender);
        assert_eq!(cx.result().await?, 3);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn brd_05_l_45_the_end_wakes_all_and_stays() -> Result<()> {
    with_worker(async |worker| {
        let (cx, stream) = open_echo(worker).await?;
        let (sender, first) = stream.subscribe();
        let mut readers: Vec<_> = (0..5).map(|_| first.subscribe()).collect();
        drop(first);
        let mut waiting = Box::pin(together(readers.iter_mut().map(Subscriber::recv)));
        assert!(future::poll_once(&mut waiting).await.is_none());
        sender.close().await?;
        for ended in waiting.await {
            assert_eq!(ended?, None);
        }
        for reader in &mut readers {
            assert_eq!(reader.recv().await?, None);
            assert_eq!(reader.subscribe().recv().await?, None, "for who comes after it too");
        }
        assert_eq!(cx.result().await?, 0);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn brd_05_a_failure_of_the_far_task_is_told_to_all() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(fails()).await?;
        let (sender, mut first) = cx.open_stream()?.subscribe();
        let mut second = first.subscribe();
        sender.send(7).await?;
        for reader in [&mut first, &mut second] {
            assert_eq!(reader.recv().await?, Some(1), "what was sent before it still comes");
            for _ in 0..2 {
                let error = reader.recv().await.unwrap_err();
                assert_eq!(error.report().message, "the cause", "{error:?}");
            }
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn brd_06_closing_one_leaves_the_others_and_with_the_last_the_sender_is_told() -> Result<()> {
    with_worker(async |worker| {
        let (cx, stream) = open_echo(worker).await?;
        let (sender, first) = stream.subscribe();
        let mut second = first.subscribe();
        for value in [1, 2] {
            sender.send(value).await?;
        }
        assert_eq!(second.recv().await?, Some(1));
        drop(first);
        assert_eq!(second.recv().await?, Some(2), "what had arrived stays readable");
        sender.send(3).await?;
        assert_eq!(second.recv().await?, Some(3));
        drop(second);
        // Its echo has nobody to go to any more: the far task is told, and fails by it.
        let error = loop {
            if let Err(error) = sender.send(4).await {
                break error;
            }
        };
        assert!(error.report().message.contains("dropped the receiving half"), "{error:?}");
        assert_eq!(cx.state(), ContextState::Failed);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn brd_01_a_value_that_does_not_decode_is_told_to_each_and_ends_the_stream() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(sends_no_number()).await?;
        let (_, mut first) = cx.open_stream()?.subscribe();
        let mut second = first.subscribe();
        for reader in [&mut first, &mut second] {
            assert_eq!(reader.recv().await?, Some(Odd(true)));
            let error = reader.recv().await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
            assert!(error.to_string().contains("value 2 from"), "{error}");
        }
        for reader in [first, second] {
            let left: Vec<_> = reader.collect().await;
            assert!(
                left.iter().all(|value| *value.as_ref().unwrap_err().kind() == ErrorKind::Codec)
            );
            assert_eq!(left.len(), 1);
        }
        // It had returned before this side had come to that value.
        cx.result().await
    })
    .await
}

#[hatchery::test]
async fn brd_02_as_a_stream_lag_is_an_item_and_does_not_end_it() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts(20)).await?;
        let (_sender, receiver) = cx.open_stream()?.split();
        let fast = receiver.subscribe_within(Capacity::items(4));
        let slow = fast.subscribe();
        let had: Vec<_> = fast.collect().await;
        assert!(had.into_iter().map(Result::unwrap).eq(0..20));
        let mut had: Vec<_> = slow.collect().await;
        let lag = had.remove(0).unwrap_err();
        assert_eq!(*lag.kind(), ErrorKind::Lagged(16), "{lag:?}");
        assert!(had.into_iter().map(Result::unwrap).eq(16..20));
        cx.result().await
    })
    .await
}

//! Sending without waiting, and streams as sinks.

use std::future::pending;

use futures_lite::stream;
use futures_util::{SinkExt, StreamExt as _};
use hatchery::{Context, Error, ErrorKind, Receives, Result, Sends, Starts, TrySendError};
use hatchery_tests::worker::with_worker;

/// Reads as many values as it is told to, says so, and reads the rest at the end.
#[hatchery::context]
async fn reads_when_told(
    cx: Context<Starts<()>, Sends<u64>, Receives<Option<Vec<u8>>>>,
) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        count += 1;
        // The opener fills the window and then asks: whoever reads up to there has made room.
        if value.is_none() {
            stream.send(count).await?;
        }
    }
    Ok(count)
}

/// Sends everything back, as a stream into a sink.
#[hatchery::context]
async fn forwards(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<()> {
    let (sender, receiver) = cx.started(()).await?.open_stream().split();
    receiver.map(|value| value.map(|value| value + 1)).forward(sender).await
}

/// Reads nothing and keeps its half.
#[hatchery::context]
async fn reads_nothing(cx: Context<Starts<()>, Sends<()>, Receives<Vec<u8>>>) -> Result<()> {
    let _stream = cx.started(()).await?.open_stream();
    pending().await
}

/// Drops its reading half, says so, and stays.
#[hatchery::context]
async fn drops_its_half(cx: Context<Starts<()>, Sends<()>, Receives<Vec<u8>>>) -> Result<()> {
    let (sender, receiver) = cx.started(()).await?.open_stream().split();
    drop(receiver);
    sender.send(()).await?;
    pending().await
}

#[hatchery::test]
async fn str_16_a_full_window_gives_the_value_back_and_later_takes_it() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_nothing()).await?;
        let stream = cx.open_stream()?;
        let mut taken = 0_usize;
        let back = loop {
            match stream.try_send(vec![7; 10_000]) {
                Ok(()) => taken += 1,
                Err(TrySendError::Full(value)) => break value,
                Err(TrySendError::Failed(error)) => return Err(error),
            }
        };
        assert_eq!(back, vec![7; 10_000]);
        // A window of 256 KiB, and the last one may begin on what little is left.
        assert!((26..=27).contains(&taken), "{taken}");
        // Again and again: nothing was half sent.
        assert!(matches!(stream.try_send(back), Err(TrySendError::Full(_))));
        drop(stream);
        let _ = cx.cancel().await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_16_a_window_that_was_full_takes_values_once_the_peer_has_read() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_when_told()).await?;
        let mut stream = cx.open_stream()?;
        let mut sent = 0;
        for _ in 0..3 {
            while stream.try_send(Some(vec![1; 10_000])).is_ok() {
                sent += 1;
            }
            stream.send(None).await?;
            sent += 1;
            assert_eq!(stream.recv().await?, Some(sent));
        }
        stream.close().await?;
        let after = stream.try_send(None).expect_err("it was closed");
        assert!(matches!(after, TrySendError::Failed(error) if *error.kind() == ErrorKind::Misuse));
        assert_eq!(cx.result().await?, sent);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_16_a_reader_that_is_gone_is_told_at_once() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(drops_its_half()).await?;
        let mut stream = cx.open_stream()?;
        stream.recv().await?;
        let failed = stream.try_send(vec![1]).expect_err("nobody reads");
        let TrySendError::Failed(error) = failed else { panic!("{failed:?}") };
        assert_eq!(error.kind(), &ErrorKind::ReceiverGone);
        drop(stream);
        let _ = cx.cancel().await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_01_a_stream_is_a_sink_and_forwards_into_one() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(forwards()).await?;
        let (mut sender, receiver) = cx.open_stream()?.split();
        let values = async {
            sender.send_all(&mut stream::iter((0..5_000).map(Ok))).await?;
            SinkExt::close(&mut sender).await
        };
        let came = receiver.map(|value| value.expect("a value")).collect::<Vec<u64>>();
        let (sent, came) = futures_lite::future::zip(values, came).await;
        sent?;
        assert_eq!(came, (1..=5_000).collect::<Vec<_>>());
        cx.result().await?;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_16_a_sink_fails_with_the_end_of_its_context() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_nothing()).await?;
        let mut stream = cx.open_stream()?;
        // What is fed waits for room that never comes.
        let feeds = async {
            loop {
                if let Err(error) = SinkExt::feed(&mut stream, vec![1; 10_000]).await {
                    return error;
                }
            }
        };
        let ends = async {
            let _ = cx.cancel().await;
            Ok::<_, Error>(())
        };
        let (failed, ended) = futures_lite::future::zip(feeds, ends).await;
        ended?;
        assert!(matches!(failed.kind(), ErrorKind::Cancelled(_)), "{failed:?}");
        Ok(())
    })
    .await
}

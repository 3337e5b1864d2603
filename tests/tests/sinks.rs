//! Sending without waiting, many at a time, and streams as sinks.

use std::future::pending;

use futures_lite::stream;
use futures_util::{SinkExt, StreamExt as _};
use hatchery::{
    Blob, Context, Error, ErrorKind, Receives, Result, SendHalf, Sends, Starts, TrySendError,
};
use hatchery_tests::worker::with_worker;
use serde::{Deserialize, Serialize, Serializer};

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

/// A number that is encoded unless it is 13.
#[derive(Clone, Debug, Deserialize)]
struct Lucky(u64);

impl Serialize for Lucky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("13 is not sent")),
            number => serializer.serialize_u64(number),
        }
    }
}

type Lumps = (u64, Option<Blob>, Lucky);

/// Reads everything, and says of how many bytes the values were; fails where one is not in its place.
#[hatchery::context]
async fn counts(cx: Context<Starts<()>, Sends<()>, Receives<Lumps>>) -> Result<(u64, u64)> {
    let mut stream = cx.started(()).await?.open_stream();
    let (mut count, mut bytes) = (0, 0);
    while let Some((number, blob, _)) = stream.recv().await? {
        assert_eq!(number, count);
        count += 1;
        bytes += blob.map_or(0, |blob| blob.len() as u64);
    }
    Ok((count, bytes))
}

/// Sends all of these, and says how many of them went at a time, at most.
async fn send_all<T>(sender: &SendHalf<T>, mut values: &[T]) -> Result<usize> {
    let mut most = 0;
    while !values.is_empty() {
        let sent = sender.send_many(values).await?;
        assert!(sent > 0);
        values = &values[sent..];
        most = most.max(sent);
    }
    Ok(most)
}

#[hatchery::test]
async fn str_01_values_that_are_sent_many_at_a_time_keep_their_order() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts()).await?;
        let (sender, _receiver) = cx.open_stream()?.split();
        // Small ones beside such as are handed on, fill a frame, and fill the window.
        let sizes = [0, 1, 100, 4096, 20_000, 5, 70_000, 300_000, 3, 2, 1];
        let lump = |number: usize| {
            let size = if number < 1_000 { 0 } else { sizes[number % sizes.len()] };
            let blob = (size > 0).then(|| Blob::from(vec![7; size]));
            (number as u64, blob, Lucky(7))
        };
        let values: Vec<Lumps> = (0..2_000).map(lump).collect();
        let bytes = values.iter().flat_map(|(_, blob, _)| blob).map(|blob| blob.len() as u64);
        let bytes = bytes.sum::<u64>();
        let most = send_all(&sender, &values).await?;
        assert_eq!(most, 64, "small ones went together");
        sender.close().await?;
        assert_eq!(cx.result().await?, (2_000, bytes));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_16_of_many_values_one_that_is_refused_is_told_to_whoever_asks_for_it() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(counts()).await?;
        let (sender, _receiver) = cx.open_stream()?.split();
        let values: Vec<Lumps> =
            [1, 2, 13, 3].into_iter().zip(0..).map(|(lucky, n)| (n, None, Lucky(lucky))).collect();
        assert_eq!(sender.send_many(&[]).await?, 0);
        assert_eq!(sender.send_many(&values).await?, 2);
        let refused = sender.send_many(&values[2..]).await.expect_err("13 is not sent");
        assert_eq!(refused.kind(), &ErrorKind::Codec);
        assert!(refused.to_string().contains("could not be encoded"), "{refused}");
        // Nothing of it was sent, and the stream goes on.
        assert_eq!(sender.send_many(&[(2, None, Lucky(3))]).await?, 1);
        sender.close().await?;
        let late = sender.send_many(&values).await.expect_err("it was closed");
        assert_eq!(late.kind(), &ErrorKind::Misuse);
        assert_eq!(cx.result().await?, (3, 0));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_16_many_values_to_a_reader_that_is_gone_fail() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(drops_its_half()).await?;
        let mut stream = cx.open_stream()?;
        stream.recv().await?;
        let failed = stream.send_many(&[vec![1], vec![2]]).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), &ErrorKind::ReceiverGone);
        drop(stream);
        let _ = cx.cancel().await;
        Ok(())
    })
    .await
}

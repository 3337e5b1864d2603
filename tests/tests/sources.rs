//! One-way streams between two actors: the kinds of endpoints, and the producer's life.

use std::pin::Pin;

use futures_lite::{Stream, StreamExt as _, stream};
use hatchery::Result;
use hatchery_tests::worker::with_worker;

mod kinds {
    //! Every way to say that an endpoint is a stream.
    use super::*;

    type Numbers = stream::Boxed<u64>;
    type Perhaps = Numbers;

    #[hatchery::endpoint]
    pub(super) fn plain(below: u64) -> impl Stream<Item = u64> {
        stream::iter(0..below)
    }

    #[hatchery::endpoint]
    pub(super) async fn later(below: u64) -> impl Stream<Item = u64> + Send {
        futures_lite::future::yield_now().await;
        stream::iter(0..below)
    }

    #[hatchery::endpoint]
    pub(super) fn boxed(below: u64) -> Pin<Box<dyn Stream<Item = u64> + Send>> {
        stream::iter(0..below).boxed()
    }

    #[hatchery::endpoint]
    pub(super) fn named(below: u64) -> stream::Boxed<u64> {
        stream::iter(0..below).boxed()
    }

    #[hatchery::endpoint]
    pub(super) async fn aliased(below: u64) -> Perhaps {
        stream::iter(0..below).boxed()
    }

    #[hatchery::endpoint]
    pub(super) fn concrete(below: u64) -> stream::Iter<std::ops::Range<u64>> {
        stream::iter(0..below)
    }
}

/// Everything that comes, to the end.
async fn all<E: hatchery::StreamEndpoint<Item = u64>>(
    worker: &hatchery::Portal,
    call: hatchery::Call<E>,
) -> Result<Vec<u64>> {
    let mut source = worker.open_stream_from(call).await.map_err(Into::into)?;
    let mut items = Vec::new();
    while let Some(item) = source.recv().await.map_err(Into::into)? {
        items.push(item);
    }
    // The end stays.
    assert!(matches!(source.recv().await, Ok(None)));
    assert!(source.next().await.is_none());
    Ok(items)
}

#[hatchery::test]
async fn str_24_a_function_that_returns_a_stream_is_one_however_it_says_so() -> Result<()> {
    with_worker(async |worker| {
        let wanted = vec![0, 1, 2];
        assert_eq!(all(worker, kinds::plain(3)).await?, wanted);
        assert_eq!(all(worker, kinds::later(3)).await?, wanted);
        assert_eq!(all(worker, kinds::boxed(3)).await?, wanted);
        assert_eq!(all(worker, kinds::named(3)).await?, wanted);
        assert_eq!(all(worker, kinds::aliased(3)).await?, wanted);
        assert_eq!(all(worker, kinds::concrete(3)).await?, wanted);
        Ok(())
    })
    .await
}

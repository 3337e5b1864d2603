//! Trace context: it travels with calls, contexts and actors, through as many processes as there are.

use futures_lite::StreamExt as _;
use hatchery::{
    Context, ErrorKind, Receives, Result, Sends, Starts, Trace, cancel_scope, open_nursery,
    open_pool, shield, with_trace,
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace() -> Trace {
    Trace::new(PARENT).unwrap()
}

fn text(trace: Option<Trace>) -> Option<String> {
    trace.map(|trace| String::from_utf8(trace.as_bytes().to_vec()).unwrap())
}

/// Which trace the task that runs this belongs to.
#[hatchery::endpoint]
async fn seen() -> Option<String> {
    text(Trace::current())
}

/// The same of the task itself, of one that it opens in a child of its own, of the main task of
/// another child, and of a context there.
#[hatchery::endpoint]
async fn seen_below() -> Result<Vec<Option<String>>> {
    let mine = text(Trace::current());
    open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let main = nursery.run_in_actor("main", seen()).await?;
        let (_context, first) = leaf.open_context(tells()).await?;
        let called = leaf.run(seen()).await?;
        leaf.cancel().await?;
        Ok(vec![mine, called, main.result::<seen>().await?, first])
    })
    .await
}

#[hatchery::context]
async fn tells(cx: Context<Starts<Option<String>>, Sends<u8>, Receives<u8>>) -> Result<()> {
    let _started = cx.started(text(Trace::current())).await?;
    Ok(())
}

#[hatchery::test]
async fn a_trace_travels_with_all_that_is_begun_through_three_processes() -> Result<()> {
    open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        // What was started before may be asked for part of any trace.
        let with = with_trace(trace(), async { worker.run(seen_below()).await }).await?;
        assert_eq!(with, vec![Some(PARENT.to_owned()); 4]);
        let other = Trace::new(b"other")?;
        let other = with_trace(other, async { worker.run(seen()).await }).await?;
        assert_eq!(other.as_deref(), Some("other"));
        assert_eq!(worker.run(seen_below()).await?, vec![None; 4]);
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn a_trace_belongs_to_the_block_that_it_was_set_for_and_to_nothing_around_it() {
    let (send, seen) = async_channel::unbounded();
    let ended: Result<()> = with_trace(trace(), async {
        let inner = with_trace(None, async { Trace::current() }).await;
        assert_eq!(inner, None);
        assert_eq!(shield(async { Trace::current() }).await, Some(trace()));
        let scoped = cancel_scope(async |_scope| Ok::<_, hatchery::Error>(Trace::current()));
        assert_eq!(scoped.await?, Some(Some(trace())));
        open_nursery(async |nursery| {
            nursery.spawn(async move { send.send(Trace::current()).await.unwrap() });
            // While this one waits, the executor runs others.
            let alone =
                with_trace(None, async { nursery.actor("x").start().await?.cancel().await });
            alone.await?;
            assert_eq!(Trace::current(), Some(trace()));
            Ok(())
        })
        .await
    })
    .await;
    ended.unwrap();
    assert_eq!(seen.recv().await.unwrap(), Some(trace()));
    assert_eq!(Trace::current(), None);
}

#[hatchery::test]
async fn p_f3_a_trace_that_is_too_long_is_refused_with_both_sizes() {
    let most = vec![0xff; Trace::MAX];
    let error = Trace::new(vec![0; Trace::MAX + 1]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Misuse);
    for size in ["641 bytes", "at most 640"] {
        assert!(error.to_string().contains(size), "{error}");
    }
    let ended: Result<()> = open_nursery(async |nursery| {
        let most = Trace::new(&most)?;
        let worker = with_trace(most.clone(), nursery.start_actor("worker")).await?;
        let came = with_trace(most, async { worker.run(length()).await }).await?;
        assert_eq!(came, Some(Trace::MAX));
        worker.cancel().await
    })
    .await;
    ended.unwrap();
}

/// How long the trace is that came with it.
#[hatchery::endpoint]
async fn length() -> Option<usize> {
    Trace::current().map(|trace| trace.as_bytes().len())
}

#[hatchery::test]
async fn a_job_of_a_pool_belongs_to_the_trace_that_it_was_given_in() -> Result<()> {
    open_pool(2, async |pool| {
        let ours = || vec![Some(PARENT.to_owned()); 6];
        let run = with_trace(trace(), async { pool.run(seen()).await }).await?;
        assert_eq!(run.as_deref(), Some(PARENT));
        // More than there are workers: some are begun when others have ended.
        let calls = || (0..6).map(|_| seen());
        let all = with_trace(trace(), async {
            let seen: Vec<_> = pool.as_completed(calls()).map(|(_, seen)| seen).collect().await;
            seen.into_iter().collect::<Result<Vec<_>>>()
        });
        assert_eq!(all.await?, ours());
        // Whoever polls them.
        let jobs = with_trace(trace(), async { pool.in_order(calls()) }).await;
        let other = with_trace(Trace::new(b"other")?, async {
            let seen: Vec<_> = jobs.map(|(_, seen)| seen).collect().await;
            seen.into_iter().collect::<Result<Vec<_>>>()
        });
        assert_eq!(other.await?, ours());
        assert_eq!(pool.run(seen()).await?, None, "a worker keeps none");
        Ok(())
    })
    .await
}

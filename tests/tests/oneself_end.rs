//! What an actor has open with itself does not outlive it, whoever holds the handles.

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::{FutureExt as _, Stream, StreamExt as _, future, stream};
use hatchery::{
    Context, ErrorKind, LocalPortal, MsgStream, OpenContext, Options, Receives, Result, Sends,
    Source, Starts,
};
use hatchery_tests::leaks::{Baseline, exclusive};
use hatchery_tests::sign::soon;
use hatchery_tests::worker::{HELD, Held, echo};

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

static BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Waits to be asked to end.
#[hatchery::context]
async fn waits(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let _held = Held::new();
    let _stream = cx.started(()).await?.open_stream();
    pending().await
}

#[hatchery::endpoint]
fn numbers() -> impl Stream<Item = u64> {
    let held = Held::new();
    stream::iter(0..).map(move |n| {
        let _ = &held;
        n
    })
}

type Left = (LocalPortal, OpenContext<waits>, MsgStream<u64, u64>, Source<numbers>);

/// A root that ends with something open with itself; gives what is held of that.
fn root() -> Result<Left> {
    hatchery::run(async {
        let here = LocalPortal::new()?;
        let (mut cx, ()) = here.open_context(waits()).await?;
        let stream = cx.open_stream()?;
        let source = here.open_stream_from(numbers()).await?;
        Ok((here, cx, stream, source))
    })
}

#[test]
fn ctx_27_what_is_held_beyond_the_actors_end_has_ended_with_it() -> Result<()> {
    let _one = exclusive();
    // The first starts what is kept.
    drop(root()?);
    let baseline = Baseline::process_wide();
    let (here, cx, mut stream, mut source) = root()?;
    assert_eq!(HELD.load(Ordering::Acquire), 0, "the end has waited for them");
    let asks = async {
        assert!(stream.recv().await.is_err());
        assert!(cx.result().await.is_err());
        while let Ok(Some(_)) = source.recv().await {}
        let error = here.open_context(echo()).await.map(drop).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Lost(_)), "{error:?}");
        assert!(here.open_stream_from(numbers()).await.is_err());
    };
    // Whoever waits for what has gone must not wait for ever.
    future::block_on(soon(asks));
    baseline.check(LONG).unwrap_or_else(|left| panic!("{left}"));
    Ok(())
}

#[test]
fn ctx_27_f_41_a_root_that_is_dropped_takes_along_what_it_has_open_with_itself() -> Result<()> {
    let _one = exclusive();
    let (tell, told) = smol::channel::bounded(1);
    let root = hatchery::open_root_actor(Options::new(), async move |_root| {
        let (mut cx, ()) = LocalPortal::new()?.open_context(waits()).await?;
        let stream = cx.open_stream()?;
        let _ = tell.send((cx, stream)).await;
        pending::<Result<()>>().await
    });
    let mut root = Box::pin(root);
    let runs = async { drop((&mut root).await) };
    let opened = async { told.recv().await.expect("a context") };
    let (cx, mut stream) = future::block_on(opened.or(async { (runs.await, pending().await).1 }));
    drop(root);
    let asks = async {
        assert!(stream.recv().await.is_err());
        assert!(cx.result().await.is_err());
    };
    // Whoever waits for what has gone must not wait for ever.
    future::block_on(soon(asks));
    Ok(())
}

#[test]
fn ctx_27_the_memory_of_an_actor_goes_with_it() -> Result<()> {
    const ROOTS: usize = 50;
    let _one = exclusive();
    for _ in 0..3 {
        drop(root()?);
    }
    let before = BYTES.load(Ordering::Relaxed);
    for _ in 0..ROOTS {
        drop(root()?);
    }
    let more = BYTES.load(Ordering::Relaxed).saturating_sub(before) / ROOTS;
    assert!(more < 500, "{more} bytes of each are left");
    Ok(())
}

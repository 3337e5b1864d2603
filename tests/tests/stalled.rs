//! One stream of a thousand over one link that nobody reads: what it costs in memory, at either end
//! (P-F5), and that the others know nothing of it (P-W3). What it costs them in throughput is measured
//! by the program `stalled`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hatchery::{
    Context, Error, Limits, MsgStream, OpenContext, Options, Portal, Receives, Result, Sends,
    Starts,
};
use hatchery_tests::worker::{alive, echo, with_worker};
use smol::channel::{self, Receiver, Sender};

/// Streams beside the one that stalls.
const LIVE: usize = 999;
/// How often each of them has a value sent there and back while it does.
const ROUNDS: u64 = 10;
/// What is offered to a reader that does not read: values of this size, 16 MiB of them.
const SIZE: usize = 2000;
const VALUES: u64 = 8000;

/// Small messages, so that the window is most of what a dialog may hold.
fn limits() -> Limits {
    Limits { max_message: 64 * 1024, ..Limits::default() }
}

fn options() -> Options {
    Options::new().limits(limits())
}

/// What the docs of `hatchery_proto::limits` let one dialog and the link's own buffers come to, with
/// buffers that may be twice their content.
fn bound() -> usize {
    let Limits { window, max_message, max_frame, .. } = limits();
    (1 << 20) + 2048 + 2 * (window + 2 * max_message + max_frame) as usize
}

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Begins to note how much is held at most in this process; says how much is held now.
#[hatchery::endpoint]
async fn mark() -> usize {
    let held = HELD.load(Ordering::Relaxed);
    MOST.store(held, Ordering::Relaxed);
    held
}

/// How much was held at most since then.
#[hatchery::endpoint]
async fn most() -> usize {
    MOST.load(Ordering::Relaxed)
}

/// How many values have been taken for a reader that does not read.
static TAKEN: AtomicU64 = AtomicU64::new(0);

#[hatchery::endpoint]
async fn taken() -> u64 {
    TAKEN.load(Ordering::Acquire)
}

/// Holds a reader up until it is let go.
static GATE: LazyLock<(Sender<()>, Receiver<()>)> = LazyLock::new(channel::unbounded);

#[hatchery::endpoint]
async fn let_go() -> Result<()> {
    GATE.0.send(()).await.map_err(Error::new)
}

/// Says what is in its place in a flood.
fn nth(n: u64) -> Vec<u8> {
    vec![(n % 251) as u8; SIZE]
}

/// Sends all of the flood.
async fn flood<Rx>(stream: &MsgStream<Vec<u8>, Rx>) -> Result<()>
where
    Rx: serde::de::DeserializeOwned,
{
    for n in 0..VALUES {
        stream.send(nth(n)).await?;
        TAKEN.fetch_add(1, Ordering::AcqRel);
    }
    stream.close().await
}

/// Receives all of it, each value in its place.
async fn drain<Tx>(stream: &mut MsgStream<Tx, Vec<u8>>) -> Result<u64>
where
    Tx: serde::Serialize,
{
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        assert!(value == nth(count), "value {count} is not in its place");
        count += 1;
    }
    Ok(count)
}

#[hatchery::context]
async fn floods(cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<()>>) -> Result<()> {
    flood(&cx.started(()).await?.open_stream()).await
}

/// Reads nothing until it is let go, then everything.
#[hatchery::context]
async fn stalls(cx: Context<Starts<()>, Sends<()>, Receives<Vec<u8>>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    GATE.1.recv().await.map_err(Error::new)?;
    drain(&mut stream).await
}

type Live = (OpenContext<echo>, MsgStream<u64, u64>);

/// A value there and back on each of them.
async fn round(live: &mut [Live], value: u64) -> Result<()> {
    for (_, stream) in live.iter() {
        stream.send(value).await?;
    }
    for (_, stream) in live.iter_mut() {
        assert_eq!(stream.recv().await?, Some(value));
    }
    Ok(())
}

/// The live ones go on while `offered` stays what it is: a whole window, and no more; nowhere is held
/// more than the documented bound.
async fn go_on_beside(
    worker: &Portal,
    live: &mut [Live],
    before: [usize; 2],
    offered: impl AsyncFn() -> Result<u64>,
) -> Result<()> {
    let window = u64::from(limits().window);
    let mut last = 0;
    // A call and its answer are behind whatever credit there was.
    loop {
        assert!(worker.run(alive()).await?);
        let now = offered().await?;
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    for value in 0..ROUNDS {
        round(live, value).await?;
    }
    let bytes = offered().await? * SIZE as u64;
    let grown = [most().await - before[0], worker.run(most()).await? - before[1]];
    assert!(grown.iter().all(|grown| *grown <= bound()), "{grown:?}, bound {}", bound());
    assert_eq!(bytes, last * SIZE as u64, "a stalled reader is sent more");
    assert!(bytes < window + SIZE as u64 && bytes > window * 9 / 10, "{bytes} of {window}");
    Ok(())
}

/// As many live streams, each used once before.
async fn warm(worker: &Portal) -> Result<(Vec<Live>, [usize; 2])> {
    let mut live = Vec::new();
    for _ in 0..LIVE {
        let (mut cx, ()) = worker.open_context(echo()).await?;
        let stream = cx.open_stream()?;
        live.push((cx, stream));
    }
    round(&mut live, 7).await?;
    let before = [mark().await, worker.run(mark()).await?];
    Ok((live, before))
}

/// Ends them: each had what it was sent.
async fn end(live: Vec<Live>) -> Result<()> {
    for (_, stream) in &live {
        stream.close().await?;
    }
    for (cx, _) in &live {
        assert_eq!(cx.result().await?, ROUNDS + 1);
    }
    Ok(())
}

#[hatchery::test(options = options())]
async fn p_f5_p_w3_an_opener_that_reads_one_of_a_thousand_streams_no_more_holds_one_window()
-> Result<()> {
    with_worker(async |worker| {
        let (mut live, before) = warm(worker).await?;
        let (mut cx, ()) = worker.open_context(floods()).await?;
        let mut stream = cx.open_stream()?;
        go_on_beside(worker, &mut live, before, async || worker.run(taken()).await).await?;
        assert_eq!(drain(&mut stream).await?, VALUES, "nothing is lost");
        cx.result().await?;
        end(live).await
    })
    .await
}

#[hatchery::test(options = options())]
async fn p_f5_p_w3_a_callee_that_reads_one_of_a_thousand_streams_no_more_holds_one_window()
-> Result<()> {
    with_worker(async |worker| {
        let (mut live, before) = warm(worker).await?;
        let (mut cx, ()) = worker.open_context(stalls()).await?;
        let stream = cx.open_stream()?;
        TAKEN.store(0, Ordering::Release);
        let beside = async {
            go_on_beside(worker, &mut live, before, async || Ok(taken().await)).await?;
            worker.run(let_go()).await
        };
        let (offered, beside) = futures_lite::future::zip(flood(&stream), beside).await;
        beside?;
        offered?;
        assert_eq!(cx.result().await?, VALUES, "nothing is lost");
        end(live).await
    })
    .await
}

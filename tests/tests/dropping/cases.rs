//! The case of each function: roots, nurseries, actors, calls, contexts and scopes.

use super::*;
use futures_lite::future;
use hatchery::{
    CancelScope, CancelStatus, Cause, ErrorKind, Options, Trace, cancel_scope, deadline,
    open_root_actor, shield, timeout, with_trace,
};

/// Every public future and its case.
pub(super) const CASES: &[(&str, Case)] = &[
    ("open_root_actor", Case::Alone(root)),
    ("open_nursery", Case::InRoot(|| hatchery::run(nursery()))),
    ("Nursery::start_actor", Case::InRoot(start_actor)),
    ("Nursery::warmed", Case::InRoot(warmed)),
    ("Nursery::run_in_actor", Case::InRoot(run_in_actor)),
    ("ActorBuilder::start", Case::InRoot(builder_start)),
    ("ActorBuilder::run", Case::InRoot(builder_run)),
    ("Portal::run", Case::InRoot(run)),
    ("Portal::open_context", Case::InRoot(open_context)),
    ("Portal::with_context", Case::InRoot(with_context)),
    ("Portal::result", Case::InRoot(portal_result)),
    ("Portal::cancel_actor", Case::InRoot(cancel_actor)),
    ("Portal::cancel", Case::InRoot(cancel)),
    ("Portal::kill", Case::InRoot(kill)),
    ("Portal::ended", Case::InRoot(linked::portal_ended)),
    ("Portal::close", Case::InRoot(discovery::closes)),
    ("tree", Case::InRoot(looks::seen)),
    ("connect", Case::InRoot(discovery::connects)),
    ("find_actor", Case::InRoot(discovery::finds_actor)),
    ("wait_for_actor", Case::InRoot(discovery::waits_for_actor)),
    ("with_actor", Case::InRoot(discovery::visits)),
    ("query_actor", Case::InRoot(discovery::queries)),
    ("unregister", Case::InRoot(discovery::unregisters)),
    ("Registry::list", Case::InRoot(discovery::lists)),
    ("Registry::query", Case::InRoot(discovery::registry_queries)),
    ("Registry::watch", Case::InRoot(discovery::watches)),
    ("Watching::recv", Case::InRoot(discovery::watching)),
    ("ParentPortal::run", Case::InRoot(parents::run)),
    ("ParentPortal::open_context", Case::InRoot(parents::open_context)),
    ("ParentPortal::with_context", Case::InRoot(parents::with_context)),
    ("ParentPortal::open_stream_from", Case::InRoot(parents::open_stream_from)),
    ("ParentPortal::with_stream_from", Case::InRoot(parents::with_stream_from)),
    ("ActorLife as Future", Case::Not("it is the whole life of a process, which ends with it")),
    ("pause", Case::Not("it needs a terminal: `a_pause_that_is_dropped_…` in `debugger.rs`")),
    ("post_mortem", Case::Not("as `pause`")),
    ("Context::started", Case::InRoot(started)),
    ("OpenContext::result", Case::InRoot(context_result)),
    ("OpenContext::cancel", Case::InRoot(context_cancel)),
    ("MsgStream::send", Case::InRoot(streams::send)),
    ("MsgStream::send_many", Case::InRoot(streams::send_many)),
    ("MsgStream::recv", Case::InRoot(streams::recv)),
    ("MsgStream::flush", Case::InRoot(streams::flush)),
    ("MsgStream::close", Case::InRoot(streams::close)),
    ("MsgStream as Stream", Case::InRoot(streams::next)),
    ("SendHalf::send", Case::InRoot(streams::half_send)),
    ("SendHalf::send_many", Case::InRoot(streams::half_send_many)),
    ("SendHalf::flush", Case::InRoot(streams::half_flush)),
    ("SendHalf::close", Case::InRoot(streams::half_close)),
    ("RecvHalf::recv", Case::InRoot(streams::half_recv)),
    ("RecvHalf as Stream", Case::InRoot(streams::half_next)),
    ("Portal::open_stream_from", Case::InRoot(sources::open)),
    ("Portal::with_stream_from", Case::InRoot(sources::with)),
    ("Source::recv", Case::InRoot(sources::recv)),
    ("Source::cancel", Case::InRoot(sources::cancel)),
    ("Source as Stream", Case::InRoot(sources::next)),
    ("Subscriber::recv", Case::InRoot(streams::subscriber_recv)),
    ("Subscriber as Stream", Case::InRoot(streams::subscriber_next)),
    ("Publisher::wanted", Case::InRoot(topics::wanted)),
    ("Publisher::feed", Case::InRoot(topics::feed)),
    ("Publisher::serve", Case::InRoot(topics::serve)),
    ("Publisher::serve_with", Case::InRoot(topics::serve_with)),
    ("Publisher::serve_fed", Case::InRoot(topics::serve_fed)),
    ("Subscription::want", Case::InRoot(topics::want)),
    ("Subscription::recv", Case::InRoot(topics::recv)),
    ("Subscription::leave", Case::InRoot(topics::leave)),
    ("Subscription as Stream", Case::InRoot(topics::next)),
    ("timeout", Case::InRoot(|| hatchery::run(in_timeout()))),
    ("deadline", Case::InRoot(|| hatchery::run(in_deadline()))),
    ("cancel_scope", Case::InRoot(|| hatchery::run(in_scope()))),
    ("shield", Case::InRoot(|| hatchery::run(in_shield()))),
    ("with_trace", Case::InRoot(|| hatchery::run(in_trace()))),
    ("LocalPortal::run", Case::InRoot(many::local)),
    ("LocalPortal::open_context", Case::InRoot(oneself::open_context)),
    ("LocalPortal::with_context", Case::InRoot(oneself::with_context)),
    ("LocalPortal::open_stream_from", Case::InRoot(oneself::open_stream_from)),
    ("LocalPortal::with_stream_from", Case::InRoot(oneself::with_stream_from)),
    ("Portal::call_named", Case::InRoot(many::named)),
    ("Portal::call_named_in", Case::InRoot(many::named_in)),
    ("foreign", Case::InRoot(linked::on_another_executor)),
    ("gather", Case::InRoot(many::gathered)),
    ("gather_contexts", Case::InRoot(many::contexts)),
    ("Held::up", Case::InRoot(many::up)),
    ("open_cache", Case::InRoot(linked::cache)),
    ("Cache::with", Case::InRoot(linked::cached)),
    ("open_cluster", Case::InRoot(many::cluster)),
    ("Fleet::open_cluster", Case::InRoot(many::fleet_cluster)),
    ("open_pool", Case::InRoot(many::pool)),
    ("Fleet::open_pool", Case::InRoot(many::fleet_pool)),
    ("ActorPool::run", Case::InRoot(many::pool_run)),
    ("Jobs as Stream", Case::InRoot(many::jobs)),
    ("Call as IntoFuture", Case::InRoot(call_here)),
    ("CallEndpoint::run", Case::Not("the user's own function, called by the macro's code")),
    ("ContextEndpoint::run", Case::Not("the user's own function, called by the macro's code")),
    ("StreamEndpoint::run", Case::Not("the user's own function, called by the macro's code")),
    ("hold_terminal", Case::InRoot(terminal::hold_terminal_below)),
    ("HeldTerminal::lost", Case::Not("for tests of the lock: it only looks")),
    ("terminal_is_wanted_by", Case::Not("the same")),
    ("terminal_is_idle", Case::Not("the same")),
    ("Body::body", Case::Not("the same, before its kind is known")),
    ("Gives::give", Case::Not("the user's own future")),
    ("IsStream::items", Case::Not("the user's own stream, item by item")),
    ("Opens::open", Case::Not("the user's own stream, in a box")),
];

// Blocks: dropped, they end what is in them by force, in the background.

/// What a block does that is dropped: everything that has to be ended.
async fn busy_block() -> Result<()> {
    let _held = Held::new();
    open_nursery(async |nursery: Nursery| {
        nursery.spawn(async {
            let _held = Held::new();
            Timer::after(Duration::from_millis(1)).await;
        });
        let worker = nursery.start_actor("worker").await?;
        assert_eq!(worker.run(double(2)).await?, 4);
        worker.cancel().await
    })
    .await
}

fn root() {
    let baseline = Baseline::process_wide();
    let polls = block_on(at_every_await(async |polls| {
        let opened = open_root_actor(Options::new(), |_root| busy_block());
        let ended = poll_times(opened, polls).await;
        baseline.check(LONG).map_err(|left| left.to_string())?;
        assert_eq!(HELD.load(Ordering::Acquire), 0);
        Ok::<_, String>(match ended {
            Polled::Done(done) => {
                done.map_err(|error| error.to_string())?;
                true
            }
            Polled::Dropped => false,
        })
    }));
    assert!(polls.unwrap() > 3);
    // This process may be a root again.
    hatchery::run(busy_block()).unwrap();
}

/// `block`, which is a busy one in something, dropped at every await.
pub(super) async fn dropped_block<F: Future<Output = Result<()>>>(
    block: impl Fn() -> F,
) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let polls = at_every_await(async |polls| {
            let ended = poll_times(block(), polls).await;
            eventually("tasks are dropped", async || Ok(HELD.load(Ordering::Acquire) == 0)).await?;
            no_children().await?;
            ended.done().transpose().map(|done| done.is_some())
        })
        .await?;
        assert!(polls > 3, "{polls}");
        // The scope around it is as it was.
        nursery.start_actor("worker").await?.cancel().await
    })
    .await
}

async fn nursery() -> Result<()> {
    dropped_block(busy_block).await
}

async fn in_timeout() -> Result<()> {
    dropped_block(|| timeout(LONG, busy_block())).await?;
    let late: Result<()> = timeout(Duration::from_millis(5), pending()).await;
    assert!(matches!(late.unwrap_err().cancelled().map(|by| &by.cause), Some(Cause::Deadline)));
    Ok(())
}

async fn in_deadline() -> Result<()> {
    dropped_block(|| deadline(Instant::now() + LONG, busy_block())).await
}

async fn in_scope() -> Result<()> {
    dropped_block(|| async {
        let ended = cancel_scope(async |_scope: CancelScope| busy_block().await).await?;
        assert!(ended.is_some());
        Ok(())
    })
    .await
}

async fn in_shield() -> Result<()> {
    dropped_block(|| shield(busy_block())).await
}

async fn in_trace() -> Result<()> {
    let trace = Trace::new("dropped")?;
    dropped_block(|| with_trace(trace.clone(), busy_block())).await?;
    assert_eq!(Trace::current(), None);
    Ok(())
}

// Starts: dropped, they end the actor that was being started, and that is no failure.

fn start_actor() -> Result<()> {
    starts(async |nursery, polls| {
        poll_times(nursery.start_actor("first"), polls).await.done().transpose()
    })
}

/// Those that wait come to wait all the same, and are taken.
fn warmed() -> Result<()> {
    hatchery::run(async {
        let polls = at_every_await(async |polls| {
            open_nursery(async |nursery: Nursery| {
                nursery.warm(2)?;
                let ended = poll_times(nursery.warmed(), polls).await.done().transpose()?;
                nursery.warmed().await?;
                // Dropped at every await as well, in the middle of being told.
                poll_times(nursery.start_actor("first"), polls).await.done().transpose()?;
                let second = nursery.start_actor("second").await?;
                assert_eq!(second.run(double(2)).await?, 4);
                nursery.cancel();
                Ok::<_, hatchery::Error>(ended.is_some())
            })
            .await
        });
        assert!(polls.await? > 1);
        no_children().await
    })
}

fn builder_start() -> Result<()> {
    starts(async |nursery, polls| {
        let builder = nursery.actor("first").debug(true);
        poll_times(builder.start(), polls).await.done().transpose()
    })
}

/// The nursery ends by itself, since nothing is left in it, and takes another actor before.
fn starts(mut start: impl AsyncFnMut(&Nursery, usize) -> Result<Option<Portal>>) -> Result<()> {
    hatchery::run(async {
        let polls = at_every_await(async |polls| {
            open_nursery(async |nursery: Nursery| {
                let first = start(&nursery, polls).await?;
                let second = nursery.start_actor("second").await?;
                assert_eq!(second.run(double(2)).await?, 4);
                second.cancel().await?;
                match first {
                    Some(first) => first.cancel().await.map(|()| true),
                    None => Ok(false),
                }
            })
            .await
        })
        .await?;
        assert!(polls > 1, "{polls}");
        no_children().await
    })
}

fn run_in_actor() -> Result<()> {
    one_shots(async |nursery, polls| {
        let started = nursery.run_in_actor("first", double_late(4));
        poll_times(started, polls).await.done().transpose()
    })
}

fn builder_run() -> Result<()> {
    one_shots(async |nursery, polls| {
        let started = nursery.actor("first").debug(true).run(double_late(4));
        poll_times(started, polls).await.done().transpose()
    })
}

fn one_shots(mut start: impl AsyncFnMut(&Nursery, usize) -> Result<Option<Portal>>) -> Result<()> {
    hatchery::run(async {
        let polls = at_every_await(async |polls| {
            open_nursery(async |nursery: Nursery| {
                let first = start(&nursery, polls).await?;
                let second = nursery.run_in_actor("second", double(3)).await?;
                assert_eq!(second.result::<double>().await?, 6);
                let Some(first) = first else { return Ok::<_, hatchery::Error>(false) };
                assert_eq!(first.result::<double_late>().await?, 8);
                Ok(true)
            })
            .await
        })
        .await?;
        assert!(polls > 1, "{polls}");
        no_children().await
    })
}

fn portal_result() -> Result<()> {
    hatchery::run(async {
        at_every_await(async |polls| {
            open_nursery(async |nursery: Nursery| {
                let one = nursery.run_in_actor("one", double_late(4)).await?;
                let ended = poll_times(one.result::<double_late>(), polls).await;
                // Nothing is lost by it, and the answer stays.
                assert_eq!(one.result::<double_late>().await?, 8);
                assert_eq!(one.result::<double_late>().await?, 8);
                Ok::<_, hatchery::Error>(ended.done().is_some())
            })
            .await
        })
        .await?;
        no_children().await
    })
}

// The end of an actor: asked for at the first poll, whoever waits.

fn cancel_actor() -> Result<()> {
    cancels(async |worker, polls| {
        let ended = poll_times(worker.cancel_actor(), polls).await.done().transpose()?;
        assert!(matches!(ended, None | Some(CancelStatus::Done)), "{ended:?}");
        Ok(ended.is_some())
    })
}

fn cancel() -> Result<()> {
    cancels(async |worker, polls| {
        Ok(poll_times(worker.cancel(), polls).await.done().transpose()?.is_some())
    })
}

fn kill() -> Result<()> {
    cancels(async |worker, polls| {
        let ended = poll_times(worker.kill(), polls).await.done();
        assert!(matches!(ended, None | Some(CancelStatus::Done)), "{ended:?}");
        Ok(ended.is_some())
    })
}

fn cancels(mut cancel: impl AsyncFnMut(&Portal, usize) -> Result<bool>) -> Result<()> {
    hatchery::run(async {
        at_every_await(async |polls| {
            open_nursery(async |nursery: Nursery| {
                let worker = nursery.start_actor("worker").await?;
                let ended = cancel(&worker, polls).await?;
                if polls == 0 {
                    assert_eq!(worker.run(double(2)).await?, 4);
                    worker.cancel().await?;
                }
                // Otherwise it ends by itself: the nursery waits for it.
                Ok::<_, hatchery::Error>(ended)
            })
            .await
        })
        .await?;
        no_children().await
    })
}

// Calls and contexts: dropped, the far task is cancelled.

fn run() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let ended = poll_times(worker.run(double_late(3)), polls).await.done().transpose()?;
            is_at_rest(worker).await?;
            assert!(matches!(ended, None | Some(6)), "{ended:?}");
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

fn open_context() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let opened = poll_times(worker.open_context(starts_late()), polls).await;
            let opened = opened.done().transpose()?.is_some();
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(opened)
        })
        .await?;
        Ok(())
    })
}

fn with_context() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let block = worker.with_context(echo(), async |mut cx, first| {
                let mut stream = cx.open_stream()?;
                for value in first..4 {
                    stream.send(value).await?;
                    assert_eq!(stream.recv().await?, Some(value));
                }
                drop(stream);
                cx.result().await
            });
            let ended = poll_times(block, polls).await.done().transpose()?;
            is_at_rest(worker).await?;
            assert!(matches!(ended, None | Some(3)), "{ended:?}");
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        assert!(polls > 3, "{polls}");
        Ok(())
    })
}

/// Polls `started` so often; says whether it was done.
#[hatchery::context]
async fn starts_dropped(cx: Context<Starts<u64>>, polls: usize) -> Result<bool> {
    Ok(poll_times(cx.started(5), polls).await.done().transpose()?.is_some())
}

fn started() -> Result<()> {
    with_worker(async |worker| {
        let polls =
            at_every_await(async |polls| match worker.open_context(starts_dropped(polls)).await {
                Ok((context, first)) => {
                    assert_eq!(first, 5);
                    assert!(context.result().await?);
                    Ok(true)
                }
                Err(error) => {
                    // The callee has returned, and never said that it was ready.
                    assert_eq!(polls, 0, "{error}");
                    assert!(!error.to_string().is_empty());
                    Ok::<_, hatchery::Error>(false)
                }
            })
            .await?;
        assert_eq!(polls, 1, "it does its work when it is first polled");
        Ok(())
    })
}

fn context_result() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let (mut context, _) = worker.open_context(echo()).await?;
            let mut stream = context.open_stream()?;
            stream.send(1).await?;
            assert_eq!(stream.recv().await?, Some(1));
            drop(stream);
            let ended = poll_times(context.result(), polls).await.done().transpose()?;
            assert_eq!(context.result().await?, 1);
            assert_eq!(context.result().await?, 1, "the answer stays");
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

fn context_cancel() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let (mut context, _) = worker.open_context(echo()).await?;
            let mut stream = context.open_stream()?;
            let ended = poll_times(context.cancel(), polls).await.done();
            if polls == 0 {
                stream.send(1).await?;
                assert_eq!(stream.recv().await?, Some(1));
                drop((stream, context));
            } else {
                let error = context.result().await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Cancelled(_)), "{error}");
            }
            is_at_rest(worker).await?;
            assert!(matches!(ended, None | Some(CancelStatus::Done)), "{ended:?}");
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

/// A call that is run here is the function itself.
fn call_here() -> Result<()> {
    hatchery::run(async {
        at_every_await(async |polls| {
            let call = std::future::IntoFuture::into_future(double_late(4));
            let ended = poll_times(call, polls).await.done();
            assert_eq!(HELD.load(Ordering::Acquire), 0);
            assert!(matches!(ended, None | Some(8)));
            future::yield_now().await;
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

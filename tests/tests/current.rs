//! The context that code is part of is known below it, and nowhere else.

use hatchery::{
    Context, CurrentContext, Nursery, OpenContext, Receives, Result, Sends, Starts, open_nursery,
};
use hatchery_tests::worker::{alive, with_worker};

/// Endpoint, whose far end it is, and whether the code is at that end.
type Known = Option<(String, String, bool)>;

fn known() -> Known {
    let context = CurrentContext::get()?;
    let peer = context.peer().name.clone();
    Some((context.endpoint().to_owned(), peer, context.is_callee()))
}

#[hatchery::endpoint]
async fn known_to_a_call() -> Known {
    known()
}

/// Says what it knows itself, then what a task in its nursery does, then what a call to itself does.
#[hatchery::context]
async fn tells(cx: Context<Starts<Known>, Sends<Known>, Receives<()>>) -> Result<Known> {
    let stream = cx.started(known()).await?.open_stream();
    let (sender, _receiver) = stream.split();
    open_nursery(async |nursery: Nursery| {
        nursery.spawn(async move { sender.send(known()).await });
        Ok::<_, hatchery::Error>(())
    })
    .await?;
    hatchery::LocalPortal::new()?.run(known_to_a_call()).await
}

fn own_name() -> String {
    hatchery::LocalPortal::new().expect("an actor").id().name
}

#[hatchery::test]
async fn ctx_28_the_context_is_known_at_both_ends_and_below_and_not_beside() -> Result<()> {
    assert_eq!(known(), None);
    with_worker(async |worker| {
        let name = "current::tells".to_owned();
        let there = Some((name.clone(), own_name(), true));
        let here = Some((name, "worker".to_owned(), false));
        worker
            .with_context(tells(), async |mut cx: OpenContext<tells>, first| {
                assert_eq!(first, there);
                assert_eq!(known(), here);
                let below: Result<_> = open_nursery(async |nursery: Nursery| {
                    let (tell, told) = smol::channel::bounded(1);
                    nursery.spawn(async move {
                        let _ = tell.send(known()).await;
                    });
                    Ok(told.recv().await)
                })
                .await;
                assert_eq!(below?, Ok(here.clone()));
                let mut stream = cx.open_stream()?;
                assert_eq!(stream.recv().await?, Some(there.clone()));
                // A call that is made here is no part of it over there.
                assert_eq!(worker.run(known_to_a_call()).await?, None);
                assert_eq!(cx.result().await?, there);
                Ok::<_, hatchery::Error>(())
            })
            .await?;
        assert_eq!(known(), None);
        // A context that is open without a block is nobody's.
        let (_open, first) = worker.open_context(tells()).await?;
        assert_eq!(first, there);
        assert_eq!(known(), None);
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

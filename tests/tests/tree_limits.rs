//! The bounds that a root is opened with hold on every link of its tree, at both of its ends.

use std::future::pending;
use std::time::Duration;

use hatchery::{Context, Limits, Options, Receives, Result, Sends, Starts, timeout};
use hatchery_tests::worker::with_mortal;

/// Far more than it takes where nobody has to wait.
const LONG: Duration = Duration::from_secs(60);

/// More than a link has by default.
fn many() -> Options {
    let usual = Limits::default();
    let dialogs = usual.max_dialogs + 100;
    let message = usual.max_message + 1024 * 1024;
    Options::new().limits(Limits { max_dialogs: dialogs, max_message: message, ..usual })
}

#[hatchery::endpoint]
async fn bytes(count: usize) -> Vec<u8> {
    vec![7; count]
}

#[hatchery::endpoint]
async fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[hatchery::context]
async fn idles(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> Result<()> {
    let _started = cx.started(()).await?;
    pending().await
}

/// Has a child of its own asked for as much.
#[hatchery::endpoint]
async fn below(count: usize) -> Result<usize> {
    with_mortal(async |leaf| Ok(leaf.run(bytes(count)).await?.len())).await
}

#[hatchery::test(options = many())]
async fn p_f2_p_f3_a_value_above_the_usual_bound_goes_both_ways_at_any_depth() -> Result<()> {
    let size = Limits::default().max_message as usize + 1024;
    with_mortal(async |child| {
        assert_eq!(child.run(bytes(size)).await?.len(), size);
        assert_eq!(child.run(length(vec![7; size])).await?, size);
        assert_eq!(child.run(below(size)).await?, size);
        Ok(())
    })
    .await
}

#[hatchery::test(options = many())]
async fn p_w5_more_contexts_than_usual_are_open_over_one_link() -> Result<()> {
    let count = Limits::default().max_dialogs + 50;
    with_mortal(async |child| {
        let mut open = Vec::new();
        // Who may open no more waits until one of them has ended, and none does.
        timeout(LONG, async {
            for _ in 0..count {
                open.push(child.open_context(idles()).await?.0);
            }
            Ok(())
        })
        .await
    })
    .await
}

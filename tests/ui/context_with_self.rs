//! An actor has no context with itself: its own portal makes calls, and nothing goes over a link.
use hatchery::{Context, LocalPortal, Result, Starts};

#[hatchery::context]
async fn talk(cx: Context<Starts<()>>) -> Result<()> {
    cx.started(()).await.map(drop)
}

async fn asks() -> Result<()> {
    LocalPortal::new()?.open_context(talk()).await.map(drop)
}

fn main() {}

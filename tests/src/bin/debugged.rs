//! Trees that pause and crash, for a person at their terminal: one for each first argument.

use hatchery::{Nursery, Options, Portal, Result, open_nursery};
use hatchery_tests::terminal;

#[derive(Debug)]
struct Oops(&'static str);

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Oops {}

fn oops<T>(what: &'static str) -> Result<T> {
    Err(hatchery::Error::new(Oops(what)))
}

/// Fails at once.
#[hatchery::endpoint]
async fn fails() -> Result<u32> {
    oops("the child's own error")
}

#[hatchery::endpoint]
async fn panics() -> Result<u32> {
    let nothing: Option<u32> = None;
    Ok(nothing.expect("something to be there"))
}

/// Pauses so many times.
#[hatchery::endpoint]
async fn pauses(times: u32) -> Result<u32> {
    for round in 0..times {
        let of = times;
        hatchery::pause!(round, &of).await?;
    }
    Ok(times)
}

async fn root_error() -> Result<()> {
    oops("the root's own error")
}

async fn root_panic() -> Result<()> {
    panic!("the root's own panic")
}

async fn root_pause() -> Result<()> {
    let (count, name) = (7, "seven".to_owned());
    hatchery::pause!(count, &name, name.len()).await?;
    println!("went on with {name}");
    Ok(())
}

async fn root_pauses_for_ever() -> Result<()> {
    for round in 0_u64.. {
        hatchery::pause!(round).await?;
    }
    Ok(())
}

async fn child(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let child = nursery.start_actor("worker").await?;
        body(&child).await?;
        child.cancel().await
    })
    .await
}

fn main() -> Result<()> {
    hatchery::init();
    terminal::take();
    let which = std::env::args().nth(1).unwrap_or_default();
    let options = Options::new().debug(true).log("warn");
    let body = async {
        match which.as_str() {
            "root-error" => root_error().await,
            "root-panic" => root_panic().await,
            "root-pause" => root_pause().await,
            "root-pauses" => root_pauses_for_ever().await,
            "child-error" => child(async |child| child.run(fails()).await.map(drop)).await,
            "child-panic" => child(async |child| child.run(panics()).await.map(drop)).await,
            "child-pause" => child(async |child| child.run(pauses(3)).await.map(drop)).await,
            other => Err(hatchery::Error::message(format!("there is no `{other}` here"))),
        }
    };
    hatchery::run_with(options, body)
}

//! A root with an actor and a context in it, of the cell that its first argument names: says `ready`
//! once the block is as far as it comes, and waits there. The second argument is the sign of the
//! callee's end. The subject of tests that interrupt it.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;

use hatchery::{Error, Result, open_nursery};
use hatchery_tests::cells::{Cell, linked};

#[hatchery::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let cell = arguments.next().and_then(|name| Cell::named(&name));
    let (Some(cell), Some(ended)) = (cell, arguments.next()) else {
        return Err(Error::message("usage: linked CELL SIGN"));
    };
    open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker
            .with_context(linked(cell, ended), async |mut cx, ()| {
                let _stream = cell.open(&mut cx).await?;
                println!("ready");
                pending().await
            })
            .await
    })
    .await
}

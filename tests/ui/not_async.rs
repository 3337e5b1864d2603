//! An endpoint that returns no stream is an `async fn`.

#[hatchery::endpoint]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[hatchery::endpoint]
fn nothing() {}

#[hatchery::context]
fn quiet(cx: hatchery::Context) -> hatchery::Result<()> {
    drop(cx);
    Ok(())
}

fn main() {}

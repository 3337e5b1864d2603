//! A context endpoint begins with its context.

#[hatchery::context]
async fn nothing() -> hatchery::Result<()> {
    Ok(())
}

fn main() {}

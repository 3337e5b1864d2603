//! An endpoint is an `async fn`.

#[hatchery::endpoint]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {}

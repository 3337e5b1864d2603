//! What an endpoint returns can be sent, whole or item by item.

struct Handle;

#[hatchery::endpoint]
async fn whole() -> Handle {
    Handle
}

#[hatchery::endpoint(stream)]
async fn declared() -> u64 {
    1
}

fn main() {}

//! Arguments cross a process boundary, so they own what they hold.

#[hatchery::endpoint]
async fn greet(name: &str) -> String {
    name.to_owned()
}

fn main() {}

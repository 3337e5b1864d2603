//! Arguments are checked where the call is written.

#[hatchery::endpoint]
async fn double(n: u32) -> u32 {
    n * 2
}

async fn ask(portal: hatchery::Portal) {
    let _ = portal.run(double("two")).await;
}

fn main() {}

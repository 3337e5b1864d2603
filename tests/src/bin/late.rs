//! An actor that is slow to come up: `late HERE SIGN` has been told what it is to be, says so by the
//! file HERE, and goes on once there is the file SIGN. Only as an actor; by itself it does nothing.

use std::fs;

use hatchery_tests::sign::raised_blocking;
use hatchery_tests::strike;

fn main() {
    let mut paths = std::env::args().skip(1);
    if let (Some(here), Some(sign)) = (paths.next(), paths.next()) {
        strike::at_settings(move || {
            fs::write(&here, "").expect("a file");
            assert!(raised_blocking(&sign), "nobody has it go on");
        });
    }
    hatchery::init();
}

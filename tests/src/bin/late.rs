//! An actor that is slow to come up: `late HERE SIGN` has been told what it is to be, says so by the
//! file HERE, and goes on once there is the file SIGN. Only as an actor; by itself it does nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hatchery_tests::strike;

fn main() {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    if let (Some(here), Some(sign)) = (paths.next(), paths.next()) {
        strike::at_settings(move || {
            fs::write(&here, "").expect("a file");
            while !sign.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
    hatchery::init();
}

//! Any calls to the terminal's lock, against a naive model of it (P-T2).
#![no_main]

use hatchery_fuzz::hostile::tty_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tty_against(bytes));

//! Any calls to the table of links by peer, against a naive model of it (P-R7 to P-R11).
#![no_main]

use hatchery_fuzz::hostile::peers_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| peers_against(bytes));

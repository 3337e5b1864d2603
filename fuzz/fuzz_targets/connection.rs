//! A link whose peer sends anything at all, at any time (P-A1 to P-A7).
#![no_main]

use hatchery_fuzz::hostile::connection_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| connection_against(bytes));

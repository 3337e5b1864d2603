//! Reports of any shape, cut to the limits, rendered and carried (P-F3).
#![no_main]

use hatchery_fuzz::hostile::reports_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reports_against(bytes));

//! Trees of a few processes under faults, with bytes for dice (P-D4, P-T1, P-C1).
#![no_main]

use hatchery_fuzz::hostile::world_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| world_against(bytes));

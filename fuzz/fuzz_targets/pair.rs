//! Two honest cores under a schedule made of bytes (P-D4, P-D7, P-C6).
#![no_main]

use hatchery_fuzz::hostile::pair_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pair_against(bytes));

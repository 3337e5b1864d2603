//! Bytes of any kind, in pieces of any size, into the deframer (P-F1 to P-F4).
#![no_main]

use hatchery_fuzz::hostile::deframer_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| deframer_against(bytes));

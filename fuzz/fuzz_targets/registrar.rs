//! Any calls to a registrar, against a naive model of it (P-R1 to P-R6).
#![no_main]

use hatchery_fuzz::hostile::registrar_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| registrar_against(bytes));

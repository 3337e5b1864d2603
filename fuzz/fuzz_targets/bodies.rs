//! Bodies of control frames: what decodes, encodes to the same bytes (P-F1, P-F4).
#![no_main]

use hatchery_fuzz::hostile::bodies_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bodies_against(bytes));

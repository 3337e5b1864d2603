//! What a peer says before it has proven that it may speak (P-L1, P-A6).
#![no_main]

use hatchery_fuzz::hostile::greeting_against;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| greeting_against(bytes));

//! Trees of a few processes, whose chances the fuzzer chooses: what the simulator checks must hold.

use crate::world::{Options, run_chosen};

/// The bytes are the dice: how large the world is, what its programs do, what befalls it and when.
pub fn world_against(bytes: &[u8]) {
    let ran = run_chosen(bytes, Options::default());
    assert!(ran.violations.is_empty(), "{:?}", ran.violations);
}

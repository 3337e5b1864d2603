//! The harness, shared with the tests that replay the corpora on a stable compiler. It names nothing
//! but the core, so its file alone is included: the rest of the test crate would slow fuzzing down.

#[path = "../../tests/src/hostile.rs"]
pub mod hostile;

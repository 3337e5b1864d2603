//! The harness, shared with the tests that replay the corpora on a stable compiler. It names nothing
//! but the core, so its folders alone are included: the rest of the test crate would slow fuzzing
//! down.

#[path = "../../tests/src/hostile/mod.rs"]
pub mod hostile;
#[path = "../../tests/src/world/mod.rs"]
pub mod world;

//! What must not compile, and what the compiler then says: `ui/*.rs` beside their `*.stderr`.
//!
//! `TRYBUILD=overwrite` writes the latter anew.

#[test]
fn ctx_02_03_04_36_rpc_05_misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}

//! Runs the unit tests of the census example.
//!
//! Its modules are taken in here because cargo builds an example either as a program or as a test,
//! and the tests of the whole need the program.
#![allow(dead_code, reason = "what only the example's main uses")]
#![allow(missing_docs, reason = "the modules are documented where they are")]

#[path = "../examples/census/args.rs"]
mod args;
#[path = "../examples/census/count.rs"]
mod count;
#[path = "../examples/census/report.rs"]
mod report;
#[path = "../examples/census/tally.rs"]
mod tally;
#[path = "../examples/census/walk.rs"]
mod walk;
#[path = "../examples/census/worker.rs"]
mod worker;

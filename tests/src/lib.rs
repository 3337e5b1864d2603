//! The harness that the tests of all layers share. Not published.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`leaks`] | the checker that every test of several processes goes through (Z, O, F, S) |
//! | [`procfs`] | the process table, descriptors and threads, as the kernel tells them |
//! | [`programs`] | examples and other programs run as processes, with their whole tree |
//! | [`build`] | where these programs are, built on demand |
//! | [`deep`] | parts of the tests at their full figures, in slices that are kept |
//! | [`dropping`] | futures that are dropped at every await, and which there are |
//! | [`explore`] | every order of events over the real machines, breadth first |
//! | [`groups`] | processes that are frozen, or that have little memory |
//! | [`hostile`] | what the fuzz targets do with an input |
//! | [`instants`] | made-up times for tests of the core |
//! | [`model`] | what the two ends of a dialog should make of any calls |
//! | [`pair`] | two cores of one link, the bytes between them, and a clock that a test moves |
//! | [`strike`] | processes that are hit at a step of the protocol |
//! | [`sweep`] | the n-th system call fails, and what a run comes to then |
//! | [`rows`] | tables of rows that have no test, and why |
//! | [`ssh`] | an ssh daemon of its own, and trees whose actors it starts |
//! | [`sign`] | files by which actors tell how far they are, or are held there |
//! | [`terminal`] | programs on a terminal of their own, prompt by prompt |
//! | [`spot`] | folders for the sockets that tests listen at |
//! | [`cells`] | contexts whose streams one side opens, or both, or none |
//! | [`world`] | whole trees of actors in one thread, with faults from a seed |
//! | [`tidy`] | rules about the sources themselves |
//!
//! `src/bin/repeat.rs` runs a command many times and looks after each run; `src/bin/leaky.rs` leaves
//! something behind for the checker to find. The tests are in `tests/`, one file for a subject.

pub mod build;
pub mod cells;
pub mod deep;
pub mod dropping;
pub mod events;
pub mod explore;
pub mod groups;
pub mod hostile;
pub mod instants;
pub mod leaks;
pub mod model;
pub mod pair;
pub mod procfs;
pub mod programs;
pub mod rows;
pub mod sign;
pub mod spot;
pub mod ssh;
pub mod strike;
pub mod sweep;
pub mod terminal;
pub mod tidy;
pub mod worker;
pub mod world;

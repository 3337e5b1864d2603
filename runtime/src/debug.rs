//! Debugging a tree of processes from one terminal. Here is what follows from who holds it; the system
//! is called by the driver alone.

pub(crate) mod lock;
mod served;

pub(crate) use served::{ENTRIES, asks_for_it, is_own};

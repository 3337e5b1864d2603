//! What an actor is made of: its links by peer, the tree of its open scopes, the order of its end.
//!
//! Links and nurseries meet here and nowhere lower.

pub mod peers;
pub mod plea;
pub mod scopes;
pub mod shutdown;

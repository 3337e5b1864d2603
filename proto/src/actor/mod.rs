//! What an actor is made of beside its links: the tree of its open scopes, and the order of its end.
//!
//! Links and nurseries meet here and nowhere lower.

pub mod plea;
pub mod scopes;
pub mod shutdown;

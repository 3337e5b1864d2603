//! What an actor is made of beside its links: the tree of its open scopes.
//!
//! Links and nurseries meet here and nowhere lower.

pub mod scopes;

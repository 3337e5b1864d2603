//! Every order of events, not a sample of them: the real machines of the core, explored breadth
//! first until no new state is left.
//!
//! [`search`] knows states, actions and fingerprints and nothing else; each of the other rooms says
//! what the states and actions of one world are, and what has to hold in all of them. Nothing here
//! may decide by chance or by the clock: the same world has the same counts on every machine.
//!
//! | module | its world |
//! | --- | --- |
//! | [`pair`] | two conforming peers, their users, and a link each way |
//! | [`hostile`] | one conforming peer against every message in every state |
//! | [`ladder`] | the teardown of one child |
//! | [`nursery`] | the members of a nursery, and its verdict |
//! | [`table`] | which of them are explored, and their pinned counts |

pub mod hostile;
pub mod ladder;
pub mod nursery;
pub mod pair;
pub mod search;
pub mod table;

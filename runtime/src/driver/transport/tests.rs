//! Links over every carrier, and sockets within one process. What takes several is tried elsewhere.

mod lines;
mod links;
mod memory;
mod places;
mod sockets;

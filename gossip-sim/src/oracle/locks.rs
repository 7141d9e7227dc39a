//! Locks.

mod model;

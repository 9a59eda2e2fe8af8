//! Locks and waiting, by one name for the program and for the model checker.
//!
//! Built with `--cfg shuttle`, the types are those of the `shuttle` checker, which runs a test under
//! many orders of its threads (`make shuttle`); else they are the standard library's.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

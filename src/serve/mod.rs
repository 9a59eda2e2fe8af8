//! The server: protocols that programs already speak, in front of one [`Scheduler`].
//!
//! ```text
//! socket ─connection─▶ guard ─▶ routes ─▶ chat, transcriptions, original, realtime ─▶ Scheduler
//! ```
//!
//! [`run`] takes an open listener and a sign to stop, so that a test owns both. The model is loaded
//! behind the open socket; until then every question is refused in a sentence. Everything shared by
//! the connections is a [`Shared`]. It is part of the binary and uses the library from outside.
//!
//! [`Scheduler`]: mini_omni::Scheduler

mod connection;
mod refusal;
mod routes;
mod server;
mod settings;
mod shared;

mod health;
mod page;
mod realtime;

pub use server::run;
pub use settings::{Limits, Settings};
pub use shared::{Model, Shared};

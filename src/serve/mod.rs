//! The server: protocols that programs already speak, in front of one [`Scheduler`].
//!
//! ```text
//! socket ─connection─▶ log ─access─▶ routes ─▶ chat, transcriptions, original, realtime ─▶ Scheduler
//! ```
//!
//! [`run`] takes an open listener and a sign to stop, so that a test owns both. The model is loaded
//! behind the open socket; until then every question is refused in a sentence. All that connections
//! share is a [`Shared`]. This folder is part of the binary and uses the library from outside;
//! `docs/protocol.md` says what a client may send and what it gets.
//!
//! [`Scheduler`]: mini_omni::Scheduler

mod access;
mod answering;
mod connection;
mod counts;
mod ids;
mod log;
mod metrics;
mod patience;
mod pieces;
mod player;
mod refusal;
mod routes;
mod sampling;
mod server;
mod settings;
mod shape;
mod shared;
mod sound;
mod upload;

mod chat;
mod health;
mod models;
mod original;
mod page;
mod realtime;
mod transcriptions;

use std::sync::Arc;

use axum::extract::State;

pub use access::{Access, Token};
pub use log::Format;
pub use server::run;
pub use settings::{Limits, Settings};
pub use shared::{Model, Shared};

/// What a handler takes.
type SharedState = State<Arc<Shared>>;

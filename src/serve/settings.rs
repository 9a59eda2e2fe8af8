//! What the person who starts the server decides.

use std::time::Duration;

use mini_omni::EncoderWindow;
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::log::Format;

/// How the server goes.
pub struct Settings {
    /// The model's name in answers: its folder's.
    pub model: String,
    /// How much the encoder hears.
    pub window: EncoderWindow,
    /// Turns that a conversation remembers.
    pub turns: usize,
    /// Who may ask.
    pub access: Access,
    /// The certificate, if it is https that is spoken.
    pub tls: Option<TlsAcceptor>,
    /// How a request is told on standard error.
    pub log: Format,
    /// What one client may take.
    pub limits: Limits,
}

/// What is taken from clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Conversations at once; a question over HTTP is one until its answer has been sent.
    pub conversations: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Seconds of a recording that is transcribed; questions are as long as the model hears.
    pub recording: f64,
    /// How long a client may neither send what it owes nor take what it asked for.
    pub idle: Duration,
    /// How long running answers may take to end once the server stops.
    pub drain: Duration,
}

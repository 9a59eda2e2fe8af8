//! What the person who starts the server decides.

use std::time::Duration;

use mini_omni::EncoderWindow;

/// How the server goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model's name in answers: its folder's.
    pub model: String,
    /// How much the encoder hears.
    pub window: EncoderWindow,
    /// Turns that a conversation remembers.
    pub turns: usize,
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
    /// How long a client may neither send what it owes nor take what it asked for.
    pub idle: Duration,
    /// How long a conversation may go on with a client that is there and says nothing.
    pub quiet: Duration,
    /// How long running answers may take to end once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            conversations: 8,
            body: 32 << 20,
            idle: Duration::from_secs(60),
            quiet: Duration::from_secs(600),
            drain: Duration::from_secs(30),
        }
    }
}

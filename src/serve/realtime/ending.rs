//! Why a conversation ends: the `error` event that says so, and the code that closes the socket.

use axum::extract::ws::close_code;
use tungstenite::Error as SocketError;

use super::server::{ErrorBody, ServerEvent};
use crate::serve::refusal::Refusal;

/// Why.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The client went away, or answers no ping.
    Gone,
    /// The client takes its events too slowly.
    TooSlow,
    /// The client is there and says nothing.
    Idle,
    /// A message was too large.
    TooLarge,
    /// What came is no WebSocket message.
    Garbled,
    /// The server stops.
    Stopping,
    /// It was not let in.
    Refused(Refusal),
    /// It could not begin.
    Failed(String),
}

impl Ending {
    /// What a broken socket means.
    pub fn of_socket(error: axum::Error) -> Ending {
        let error = error.into_inner().downcast::<SocketError>();
        match error.as_deref() {
            Ok(SocketError::Capacity(_)) => Ending::TooLarge,
            Ok(SocketError::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => Ending::Gone,
            Ok(SocketError::Protocol(_) | SocketError::Utf8(_)) => Ending::Garbled,
            _ => Ending::Gone,
        }
    }

    /// Whether an answer under way is still sent.
    pub fn waits(&self) -> bool {
        matches!(self, Ending::Stopping)
    }

    /// The event that tells it; `None` where nobody hears.
    pub fn event(&self) -> Option<ServerEvent> {
        Some(ServerEvent::Error {
            error: self.error()?,
        })
    }

    /// The same in one word, for the log and the socket's close.
    pub fn reason(&self) -> &'static str {
        self.error().map_or("client_gone", |error| error.code)
    }

    fn error(&self) -> Option<ErrorBody> {
        Some(match self.clone() {
            Ending::Gone => return None,
            Ending::TooSlow => ErrorBody::invalid(
                "client_too_slow",
                "too many events wait: the client does not read them",
            ),
            Ending::Idle => ErrorBody::invalid("idle", "nothing was said for too long"),
            Ending::TooLarge => {
                ErrorBody::invalid("message_too_large", "a message has at most 16 MiB")
            }
            Ending::Garbled => {
                ErrorBody::invalid("invalid_message", "what came is no WebSocket message")
            }
            Ending::Stopping => ErrorBody::server("server_stopping", "the server is stopping"),
            Ending::Refused(refusal) => refused(&refusal),
            Ending::Failed(sentence) => ErrorBody::server("server_error", sentence),
        })
    }

    /// The code that closes the socket.
    pub fn code(&self) -> u16 {
        match self {
            Ending::Gone => close_code::NORMAL,
            Ending::TooSlow | Ending::Idle => close_code::POLICY,
            Ending::TooLarge => close_code::SIZE,
            Ending::Garbled => close_code::PROTOCOL,
            Ending::Stopping => close_code::AWAY,
            Ending::Refused(_) => close_code::AGAIN,
            Ending::Failed(_) => close_code::ERROR,
        }
    }
}

/// A refusal of the server as an error of the protocol.
fn refused(refusal: &Refusal) -> ErrorBody {
    match refusal.kind() {
        "server_error" => ErrorBody::server(refusal.reason.code(), &refusal.sentence),
        _ => ErrorBody::invalid(refusal.reason.code(), &refusal.sentence),
    }
}

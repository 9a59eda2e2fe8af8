//! The socket of one conversation: messages to the worker's thread, its events back.
//!
//! Reading and writing go on independently, so pings are answered while the model computes, and a
//! client may send before it reads. What waits is bounded both ways.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::ending::Ending;
use super::outgoing::{Messages, Outgoing, message, outgoing};
use super::worker::{Input, Worker};
use crate::serve::shared::{Model, Shared};

/// Bytes of a message that is taken: 16 MiB of event around its sound.
pub const MOST_BYTES: usize = (16 << 20) + (64 << 10);
/// Bytes of messages that wait for the worker; the client's own buffers hold more.
const MOST_WAITING: usize = 2 * MOST_BYTES;
/// What a message takes beside its bytes, so that a flood of short ones is bounded, too.
const OVERHEAD: usize = 256;
/// A client that answers pings may say nothing for so many times as long.
const QUIET: u32 = 10;
/// Pings within the time after which a client that says nothing is taken to be gone.
const PINGS: u32 = 3;
/// How long a client is given to take the last message.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How patient the socket is.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// With a client that neither sends nor takes anything, not even a ping.
    alive: Duration,
    /// With a client that is there and says nothing.
    quiet: Duration,
}

impl Patience {
    fn new(alive: Duration) -> Patience {
        Patience {
            alive,
            quiet: alive * QUIET,
        }
    }
}

/// Holds a conversation until one of its ends.
pub async fn converse(socket: WebSocket, shared: Arc<Shared>, model: Arc<Model>) {
    let patience = Patience::new(shared.settings.limits.idle);
    let stopping = shared.stopping();
    let (sink, stream) = socket.split();
    let (inputs, received) = std::sync::mpsc::channel();
    let (outgoing, messages) = outgoing();
    let worker = {
        let inputs = inputs.clone();
        move || work((&shared, &model), inputs, &received, outgoing)
    };
    let spawned = std::thread::Builder::new()
        .name("conversation".into())
        .spawn(worker);
    if let Err(error) = spawned {
        let ending = Ending::Failed(format!("a conversation cannot be begun: {error}"));
        say_goodbye(sink, &ending).await;
        return;
    }
    let reading = tokio::spawn(read(stream, inputs.clone(), patience, stopping));
    write(sink, messages, patience.alive).await;
    reading.abort();
    let _ = inputs.send(Input::End(Ending::Gone));
}

/// The worker's thread.
fn work(
    server: (&Arc<Shared>, &Model),
    inputs: Sender<Input>,
    received: &Receiver<Input>,
    outgoing: Outgoing,
) {
    let ended = Worker::new(server, inputs, outgoing.clone()).map(|worker| worker.run(received));
    outgoing.end(match ended {
        Ok(ending) => ending,
        Err(error) => Ending::Failed(error.to_string()),
    });
}

/// Messages in, until there are no more; then the worker is told why.
async fn read(
    mut stream: SplitStream<WebSocket>,
    inputs: Sender<Input>,
    patience: Patience,
    mut stopping: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MOST_WAITING));
    let mut asked = Instant::now();
    let ending = loop {
        let next = tokio::select! {
            next = timeout(patience.alive, stream.next()) => next,
            _ = stopping.wait_for(|stopping| *stopping) => break Ending::Stopping,
        };
        let message = match next {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => break Ending::of_socket(error),
            Ok(None) | Err(_) => break Ending::Gone,
        };
        match take(message, &room, &inputs).await {
            ControlFlow::Continue(true) => asked = Instant::now(),
            ControlFlow::Continue(false) if asked.elapsed() > patience.quiet => break Ending::Idle,
            ControlFlow::Continue(false) => {}
            ControlFlow::Break(()) => break Ending::Gone,
        }
    };
    let _ = inputs.send(Input::End(ending));
}

/// Hands a message to the worker, once there is room; whether it was one of the client's own.
async fn take(
    message: Message,
    room: &Arc<Semaphore>,
    inputs: &Sender<Input>,
) -> ControlFlow<(), bool> {
    let text = match message {
        Message::Text(text) => text,
        Message::Binary(_) => {
            let sent = inputs.send(Input::Binary);
            return sent.map_or(ControlFlow::Break(()), |()| ControlFlow::Continue(true));
        }
        Message::Ping(_) | Message::Pong(_) => return ControlFlow::Continue(false),
        Message::Close(_) => return ControlFlow::Break(()),
    };
    let bytes = u32::try_from(text.len() + OVERHEAD).unwrap_or(u32::MAX);
    let Ok(place) = room.clone().acquire_many_owned(bytes).await else {
        return ControlFlow::Break(());
    };
    match inputs.send(Input::Message(text, place)) {
        Ok(()) => ControlFlow::Continue(true),
        Err(_) => ControlFlow::Break(()),
    }
}

/// Events out, and pings, until the conversation ends or the client takes nothing more.
async fn write(mut sink: SplitSink<WebSocket, Message>, mut messages: Messages, alive: Duration) {
    let mut pings = interval(alive / PINGS);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (message, length) = tokio::select! {
            next = messages.next() => match next {
                Ok(message) => {
                    let length = message.len();
                    (Message::Text(message.into()), length)
                }
                Err(ending) => return say_goodbye(sink, &ending).await,
            },
            _ = pings.tick() => (Message::Ping(Default::default()), 0),
        };
        match timeout(alive, sink.send(message)).await {
            Ok(Ok(())) => messages.sent(length),
            // The client has closed, perhaps while events waited for it.
            Ok(Err(_)) => return hang_up(sink).await,
            // A client that takes nothing has no use for a reason, either.
            Err(_) => return,
        }
    }
}

/// Tells a client why its conversation ends, and closes it.
async fn say_goodbye(mut sink: SplitSink<WebSocket, Message>, ending: &Ending) {
    let close = Message::Close(Some(CloseFrame {
        code: ending.code(),
        reason: Utf8Bytes::from_static(ending.reason()),
    }));
    let last = ending
        .event()
        .map(|event| Message::Text(message(&event).into()));
    for message in last.into_iter().chain([close]) {
        let Ok(Ok(())) = timeout(LAST_WORDS, sink.send(message)).await else {
            break;
        };
    }
    hang_up(sink).await;
}

/// Ends the connection. Where the client closed first, this sends the answer to its close.
async fn hang_up(mut sink: SplitSink<WebSocket, Message>) {
    let _ = timeout(LAST_WORDS, sink.close()).await;
}

/// Refuses a conversation that could not begin: an error, and the end.
pub async fn refuse(socket: WebSocket, ending: Ending) {
    let (sink, mut stream) = socket.split();
    say_goodbye(sink, &ending).await;
    // The client's own close is waited for, so that it reads ours.
    let _ = timeout(LAST_WORDS, async {
        while let Some(Ok(_)) = stream.next().await {}
    })
    .await;
}

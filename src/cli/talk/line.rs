//! The two ends of a conversation, whatever they are: sound comes in, a player is emptied.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use super::files::{self, Recording};
use super::player::Player;
use crate::cli::output::WavSink;

/// What a conversation waits for.
pub enum Input {
    /// The next samples, at [`Line::input_rate`].
    Sound(Vec<f32>),
    /// The recording is over; silence follows.
    Over,
    /// The microphone or the loudspeaker is gone: why.
    Lost(String),
    /// The session has something to tell.
    Told,
    /// The person has had enough.
    Stop,
}

/// Both ends, running.
pub struct Line {
    /// Hz of the samples that come in.
    pub input_rate: u32,
    pub player: Arc<Mutex<Player>>,
    ends: Ends,
}

enum Ends {
    Files(JoinHandle<Result<Option<WavSink>>>),
    #[cfg(feature = "live")]
    Devices(#[expect(dead_code, reason = "they sound while they live")] super::devices::Streams),
}

impl Line {
    /// A recording in place of a microphone, a file in place of a loudspeaker.
    pub fn files(
        input: Recording,
        output: Option<&PathBuf>,
        codec_rate: u32,
        inputs: Sender<Input>,
    ) -> Result<Line> {
        let wav = output.map(|path| WavSink::create(path, codec_rate));
        let player = Arc::new(Mutex::new(Player::new(codec_rate, codec_rate)));
        Ok(Line {
            input_rate: input.rate(),
            ends: Ends::Files(files::start(
                input,
                wav.transpose()?,
                player.clone(),
                codec_rate,
                inputs,
            )),
            player,
        })
    }

    /// The microphone and the loudspeaker of these names, or the system's.
    #[cfg(feature = "live")]
    pub fn devices(
        microphone: Option<&str>,
        loudspeaker: Option<&str>,
        codec_rate: u32,
        inputs: Sender<Input>,
    ) -> Result<Line> {
        let (streams, input_rate, player) =
            super::devices::open(microphone, loudspeaker, codec_rate, inputs)?;
        Ok(Line {
            input_rate,
            player,
            ends: Ends::Devices(streams),
        })
    }

    /// Whether it is a microphone and a loudspeaker.
    pub fn is_live(&self) -> bool {
        !matches!(self.ends, Ends::Files(_))
    }

    /// Ends both; what was played is put in its place. The receiver of the sound must be gone before.
    pub fn finish(self) -> Result<()> {
        match self.ends {
            Ends::Files(thread) => {
                let wav = thread
                    .join()
                    .map_err(|_| anyhow!("the clock's thread died"))??;
                wav.map_or(Ok(()), WavSink::finish)
            }
            #[cfg(feature = "live")]
            Ends::Devices(_) => Ok(()),
        }
    }
}

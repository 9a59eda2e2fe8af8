//! Steps to sound, on a thread of its own beside the decoder.
//!
//! The decoder hands over frames as the delay pattern completes them; this thread decodes all that
//! have come since it last looked, so chunks grow by themselves when the machine is busy, and the
//! first sound leaves as soon as its samples are exact.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;

use crate::delay::Frame;
use crate::error::{Error, Result};
use crate::graph::CodecDecoder;
use crate::noise::Noise;
use crate::trace::Millis;

/// The speaking side of one answer.
pub struct Speech<'scope> {
    frames: Sender<Frame>,
    pcm: Receiver<Vec<f32>>,
    thread: ScopedJoinHandle<'scope, Result<Millis>>,
}

impl<'scope> Speech<'scope> {
    /// Starts the codec's thread.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        codec: &'env mut CodecDecoder,
        noise: Noise,
    ) -> Speech<'scope> {
        let (frames, frames_in) = channel();
        let (pcm_out, pcm) = channel();
        let thread = scope.spawn(move || speak(codec, noise, &frames_in, &pcm_out));
        Speech {
            frames,
            pcm,
            thread,
        }
    }

    /// Hands a frame over.
    pub fn push(&self, frame: Frame) {
        // A codec that failed has hung up; `finish` returns its error.
        let _ = self.frames.send(frame);
    }

    /// Sound that is ready by now.
    pub fn ready(&self) -> Option<Vec<f32>> {
        self.pcm.try_recv().ok()
    }

    /// No more frames: gives the rest of the sound to `sink`, returns the codec's time.
    pub fn finish(self, mut sink: impl FnMut(&[f32]) -> Result<()>) -> Result<Millis> {
        drop(self.frames);
        while let Ok(chunk) = self.pcm.recv() {
            sink(&chunk)?;
        }
        self.thread
            .join()
            .map_err(|_| Error::Sink("the codec's thread panicked".into()))?
    }
}

fn speak(
    codec: &mut CodecDecoder,
    noise: Noise,
    frames: &Receiver<Frame>,
    pcm: &Sender<Vec<f32>>,
) -> Result<Millis> {
    let mut state = codec.start(noise)?;
    let mut spent = 0.0;
    let mut timed = |samples: &mut dyn FnMut() -> Result<Vec<f32>>| -> Result<()> {
        let start = Instant::now();
        let samples = samples()?;
        spent += start.elapsed().as_secs_f64() * 1000.0;
        if !samples.is_empty() {
            // Nobody listening any more is no error of the codec's.
            let _ = pcm.send(samples);
        }
        Ok(())
    };
    while let Ok(first) = frames.recv() {
        let mut chunk = vec![first];
        chunk.extend(frames.try_iter());
        timed(&mut || codec.decode(&mut state, &chunk))?;
    }
    timed(&mut || codec.finish(&mut state))?;
    Ok(spent)
}

//! For benchmarks: what is measured of a model beside its answers.
//!
//! Nothing here is needed to ask a question, and nothing of it is promised to stay.

use std::time::Instant;

use crate::ask::{Millis, Options, millis};
use crate::audio::mel::MelSpectrogram;
use crate::decoding::generation::ForcedLength;
use crate::error::Result;
use crate::graph::{Call, Limits, Runtime, What};
use crate::model::MelDims;
use crate::omni::Omni;

pub use crate::decoding::delay::{Codes, DelayPattern, Frame};
pub use crate::decoding::sampling::Sampler;

/// The same options for an answer of their most steps, whatever the model would say, whose text ends
/// after `text_steps`.
pub fn forced(options: &Options, text_steps: usize) -> Options {
    Options {
        forced: Some(ForcedLength { text_steps }),
        ..options.clone()
    }
}

/// Bytes that the host read from the memory of sessions that is not its own, by what they are, and that
/// it wrote there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossed {
    /// Ids that were chosen there.
    pub ids: usize,
    /// Logits, to draw from.
    pub logits: usize,
    /// Audio features.
    pub features: usize,
    /// Samples.
    pub sound: usize,
    /// Inputs.
    pub written: usize,
}

/// What has crossed for all sessions of a runtime.
pub fn crossed(runtime: &Runtime) -> Crossed {
    let crossed = runtime.crossed();
    Crossed {
        ids: crossed.read(What::Ids),
        logits: crossed.read(What::Logits),
        features: crossed.read(What::Features),
        sound: crossed.read(What::Sound),
        written: crossed.written(),
    }
}

/// The same runtime with the host's memory treated as a GPU's: what is done there on a GPU is done
/// there, and what crosses is counted.
pub fn apart(runtime: &Runtime) -> Runtime {
    runtime.apart()
}

/// Times `n` passes of the decoder over one row with both heads, and the choice of ids, at `position`; none where the
/// model has no such position.
pub fn time_steps(omni: &mut Omni, position: usize, n: usize) -> Result<Vec<Millis>> {
    let capacity = position + n + 1;
    if capacity > omni.manifest.decoder.max_length {
        return Ok(Vec::new());
    }
    let decoder = &mut omni.decoder;
    let mut rows = decoder.rows(decoder.cache_at(&[position], capacity)?);
    let ids = vec![0; omni.manifest.ids.streams()];
    let call = Call {
        ids: &ids,
        seq: 1,
        features: None,
        text_rows: &[0],
        audio_rows: &[0],
    };
    let ids = &omni.manifest.ids;
    let limits = Limits {
        text: vec![ids.text_vocab_size as i64],
        audio: vec![ids.audio_vocab_size as i64],
    };
    decoder.run(&mut rows, call)?;
    decoder.likeliest(&mut rows, &limits)?;
    let time = |_| {
        let start = Instant::now();
        decoder.run(&mut rows, call)?;
        decoder.likeliest(&mut rows, &limits)?;
        Ok(millis(start.elapsed()))
    };
    (0..n).map(time).collect()
}

/// The mel spectrogram, planned once.
pub struct Mel(MelSpectrogram);

impl Mel {
    /// Plans the FFT, and computes window and filters.
    pub fn new(dims: &MelDims) -> Mel {
        Mel(MelSpectrogram::new(dims))
    }

    /// [n_mels, frames], flat, of samples at the model's rate.
    pub fn compute(&self, samples: &[f32], frames: usize) -> Vec<f32> {
        self.0.compute(samples, frames).into_raw_vec_and_offset().0
    }
}

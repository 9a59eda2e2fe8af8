//! Codec frames to sound, each frame computed once.
//!
//! The graph is stateful: every convolution keeps its last inputs and delays its output instead of
//! looking ahead, so any cutting into chunks gives the same samples as the whole. Its output lags by
//! `delay_samples`; feeding a few frames past the end pushes the rest out. What it remembers stays
//! where the graph left it; codes and noise go in, sound comes out.

use std::path::Path;

use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::inside::Inside;
use super::mover::taken_out;
use super::place::{Input, Place, What};
use super::runtime::Runtime;
use super::session::{self, SessionOptions};
use crate::decoding::delay::{Codes, Frame};
use crate::decoding::noise::Noise;
use crate::error::{Error, Result};
use crate::model::contract::{STATE_IN, STATE_OUT};
use crate::model::manifest::{CodecDims, Dim, Manifest, TensorSpec};

/// Stands for "the clip's length is not known yet".
const UNKNOWN_FRAMES: i64 = 1 << 31;

/// The codec's decoder graph.
pub struct CodecDecoder {
    session: Session,
    place: Place,
    dims: CodecDims,
    state: Vec<TensorSpec>,
    /// What it was opened to hand out.
    pub inside: Inside,
}

/// Where one clip's decoding stands.
pub struct CodecState {
    tensors: Vec<Tensor<f32>>,
    frames: usize,
    noise: Noise,
}

impl CodecDecoder {
    /// Opens the codec of the model in `folder`, to run on so many threads.
    pub fn open(
        runtime: &Runtime,
        folder: &Path,
        manifest: &Manifest,
        threads: usize,
    ) -> Result<CodecDecoder> {
        CodecDecoder::open_inside(runtime, (folder, manifest), threads, &[])
    }

    /// The same, to hand out the values `names` inside it.
    pub fn open_inside(
        runtime: &Runtime,
        (folder, manifest): (&Path, &Manifest),
        threads: usize,
        names: &[String],
    ) -> Result<CodecDecoder> {
        let options = SessionOptions {
            threads,
            spin: threads > 1,
            arena: true,
            replayed: false,
        };
        let spec = &manifest.graphs.codec_decoder;
        let state = spec
            .inputs
            .iter()
            .filter(|input| input.name.starts_with(STATE_IN))
            .cloned()
            .collect();
        Ok(CodecDecoder {
            session: session::open(runtime, (folder, spec), options, names)?,
            place: runtime.place(),
            inside: Inside::of(names),
            dims: manifest.codec.clone(),
            state,
        })
    }

    /// The beginning of a clip.
    pub fn start(&self, noise: Noise) -> Result<CodecState> {
        let tensors = self
            .state
            .iter()
            .map(|spec| {
                let zeros = Input::zeros(&self.place, &self.session, &fixed_shape(spec)?)?;
                Ok(zeros.into_bound())
            })
            .collect::<ort::Result<_>>();
        Ok(CodecState {
            tensors: tensors.map_err(failed)?,
            frames: 0,
            noise,
        })
    }

    /// The samples that `frames` complete; fewer than 2048 a frame at the clip's start.
    pub fn decode(&mut self, state: &mut CodecState, frames: &[Frame]) -> Result<Vec<f32>> {
        self.run(state, frames, UNKNOWN_FRAMES).map_err(failed)
    }

    /// The samples still inside after the clip's last frame.
    pub fn finish(&mut self, state: &mut CodecState) -> Result<Vec<f32>> {
        let clip = state.frames;
        if clip == 0 {
            return Ok(Vec::new());
        }
        let silence = vec![Frame::silence(self.dims.levels.len()); self.dims.flush_frames()];
        let mut pcm = self.run(state, &silence, clip as i64).map_err(failed)?;
        pcm.truncate(self.samples_left(clip));
        Ok(pcm)
    }

    /// Samples of a clip of `frames` that are not final before the flush.
    fn samples_left(&self, frames: usize) -> usize {
        self.dims
            .delay_samples
            .min(frames * self.dims.samples_per_frame)
    }

    fn run(
        &mut self,
        state: &mut CodecState,
        frames: &[Frame],
        clip: i64,
    ) -> ort::Result<Vec<f32>> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let before = state.frames;
        let binding = self.bind(state, frames, clip)?;
        let mut outputs = self.session.run_binding(&binding)?;
        self.inside.keep(&outputs);
        let (shape, pcm) = session::output(&outputs, "pcm")?.try_extract_tensor::<f32>()?;
        let samples = frames.len() * self.dims.samples_per_frame;
        session::hold_shape("pcm", shape, &[1, samples])?;
        self.place.note_read(What::Sound, size_of_val(pcm));
        // Samples before the clip's first are the delay line filling up.
        let early = self
            .dims
            .delay_samples
            .saturating_sub(before * self.dims.samples_per_frame);
        let pcm = pcm[early.min(pcm.len())..].to_vec();
        let mut next = Vec::with_capacity(self.state.len());
        for spec in &self.state {
            next.push(taken_out(&mut outputs, &name_out(spec))?.downcast()?);
        }
        drop(outputs);
        state.tensors = next;
        state.frames = before + frames.len();
        Ok(pcm)
    }

    fn bind(&self, state: &CodecState, frames: &[Frame], clip: i64) -> ort::Result<IoBinding> {
        let mut binding = self.session.create_binding()?;
        self.bind_codes(&mut binding, frames)?;
        self.bind_noise(&mut binding, state, frames.len())?;
        let place = &self.place;
        place.bind(&mut binding, "frames_before", &scalar(state.frames as i64)?)?;
        place.bind(&mut binding, "clip_frames", &scalar(clip)?)?;
        binding.bind_output_to_device("pcm", &Place::host_info()?)?;
        let info = place.info()?;
        for (spec, tensor) in self.state.iter().zip(&state.tensors) {
            binding.bind_input(&spec.name, tensor)?;
            binding.bind_output_to_device(name_out(spec), &info)?;
        }
        self.inside.bind(&mut binding)?;
        Ok(binding)
    }

    fn bind_codes(&self, binding: &mut IoBinding, frames: &[Frame]) -> ort::Result<()> {
        let codes = Codes::of(frames, &self.dims.levels, self.dims.level_strides.len());
        for (level, codes) in codes.levels.into_iter().enumerate() {
            let codes = Tensor::from_array(([1, codes.len()], codes))?;
            self.place
                .bind(binding, &format!("codes_{level}"), &codes)?;
        }
        Ok(())
    }

    fn bind_noise(
        &self,
        binding: &mut IoBinding,
        state: &CodecState,
        frames: usize,
    ) -> ort::Result<()> {
        for (block, dims) in self.dims.noise.iter().enumerate() {
            let mut draws = vec![0.0; frames * dims.per_frame];
            let start = (state.frames * dims.per_frame) as i64 - dims.delay as i64;
            state.noise.fill(block, start, &mut draws);
            let draws = Tensor::from_array(([1, 1, draws.len()], draws))?;
            self.place
                .bind(binding, &format!("noise_{block}"), &draws)?;
        }
        Ok(())
    }
}

/// What a remembered input is called when it comes out.
fn name_out(spec: &TensorSpec) -> String {
    spec.name.replacen(STATE_IN, STATE_OUT, 1)
}

fn fixed_shape(spec: &TensorSpec) -> ort::Result<Vec<usize>> {
    spec.shape
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(n) => Ok(*n as usize),
            Dim::Named(name) => Err(ort::Error::new(format!(
                "{} has an open dimension {name}",
                spec.name
            ))),
        })
        .collect()
}

fn scalar(value: i64) -> ort::Result<Tensor<i64>> {
    Tensor::from_array(([1], vec![value]))
}

fn failed(source: ort::Error) -> Error {
    session::failed("codec decoder", source)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ndarray::{Array1, Array2};

    use super::*;
    use crate::graph::Provider;

    /// PCM against torch, and streamed against whole.
    const PCM_TOLERANCE: f32 = 1e-4;
    const STREAM_TOLERANCE: f32 = 1e-6;

    /// What torch says of the tiny model (`export/tests/make_fixtures.py`).
    fn fixture(name: &str) -> PathBuf {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny");
        PathBuf::from(folder).join(name)
    }

    fn codec() -> CodecDecoder {
        let runtime = Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime");
        let folder = fixture("fused");
        let manifest = Manifest::load(&folder).expect("a manifest");
        CodecDecoder::open(&runtime, &folder, &manifest, 1).expect("a codec")
    }

    /// Decodes `frames` in chunks of `stride`.
    fn decode(codec: &mut CodecDecoder, frames: &[Frame], stride: usize, noise: Noise) -> Vec<f32> {
        let mut state = codec.start(noise).expect("a clip");
        let mut pcm = Vec::new();
        for chunk in frames.chunks(stride) {
            pcm.extend(codec.decode(&mut state, chunk).expect("samples"));
        }
        pcm.extend(codec.finish(&mut state).expect("the last samples"));
        pcm
    }

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn streamed_sound_is_the_whole_sound() {
        let mut codec = codec();
        let frames: Vec<Frame> = (0..23)
            .map(|m| Frame::from((0..7).map(|j| (m * 37 + j * 11) % 128).collect::<Vec<_>>()))
            .collect();
        for noise in [Noise::Zero, Noise::Seeded(5)] {
            for n in [1, 2, 3, 23] {
                let whole = decode(&mut codec, &frames[..n], n, noise);
                assert_eq!(whole.len(), n * 2048);
                for stride in [1, 2, 4, 7] {
                    let streamed = decode(&mut codec, &frames[..n], stride, noise);
                    let error = largest_difference(&streamed, &whole);
                    assert!(error <= STREAM_TOLERANCE, "{n} frames by {stride}: {error}");
                }
            }
        }
        let seeds = [1, 2].map(|seed| decode(&mut codec, &frames, 23, Noise::Seeded(seed)));
        assert!(
            largest_difference(&seeds[0], &seeds[1]) > 0.0,
            "the noise is heard"
        );
    }

    #[test]
    fn the_sound_is_the_references() {
        let expected: Array1<f32> =
            ndarray_npy::read_npy(fixture("expected/pcm.npy")).expect("fixture");
        let frames: Array2<i64> =
            ndarray_npy::read_npy(fixture("expected/frames.npy")).expect("fixture");
        let mut codec = codec();
        let frames: Vec<Frame> = frames
            .rows()
            .into_iter()
            .map(|row| Frame::from(row.to_vec()))
            .collect();
        let pcm = decode(&mut codec, &frames, frames.len(), Noise::Zero);
        assert!(largest_difference(&pcm, expected.as_slice().expect("flat")) < PCM_TOLERANCE);
    }
}

//! The language model: one graph for prefill and step, for every task and any number of rows.
//!
//! Rows that are stepped together keep the buffers of their last call beside their cache
//! ([`DecoderRows`]): ids, lengths and logits keep their memory, so nothing is allocated or copied
//! between two steps of the same shape. The buffers are made anew only when rows or heads change.
//!
//! On a device cache and logits stay where they are; the host writes ids and lengths, and reads the
//! likeliest ids, or the logits where they are drawn from.

use std::path::Path;
use std::sync::Arc;

use ort::session::{IoBinding, RunOptions, Session, SessionOutputs};
use ort::value::{Tensor, TensorElementType};

use super::buffers::{Buffers, Shape};
use super::call::{Call, Ids, Limits, Logits};
use super::features::Placing;
use super::inside::Inside;
use super::kv_cache::KvCache;
use super::likeliest::{Likeliest, argmaxima};
use super::mover::{Mover, taken_out};
use super::place::{Place, What};
use super::runtime::Runtime;
use super::session::{self, SessionOptions, zeros};
use crate::error::{Error, ErrorKind, Result};
use crate::model::contract::kv_names;
use crate::model::manifest::{CacheDtype, DecoderDims, KvLayout, Manifest, SpecialIds};

/// Added to an attention score to hide a position; finite, so that a row of nothing else is no NaN.
const HIDDEN: f32 = -1e9;

/// Steps recorded at most: ONNX Runtime forgets none of them.
const MOST_RECORDED: usize = 256;

/// The decoder graph.
pub struct Decoder {
    session: Session,
    dims: DecoderDims,
    ids: SpecialIds,
    names: Vec<(String, String)>,
    place: Place,
    /// What works beside the graph on a device.
    device: Option<Device>,
    /// What moves rows of caches that the host does not.
    mover: Option<Arc<Mover>>,
    /// Steps that a GPU recorded, where it does.
    recorded: Option<usize>,
    /// What it was opened to hand out.
    pub inside: Inside,
}

/// The graphs around the decoder's where its values stay on a device.
struct Device {
    likeliest: Likeliest,
    placing: Placing,
}

/// Rows that take calls together: what they have read, and the buffers of their last call.
pub struct DecoderRows {
    pub cache: KvCache,
    /// In place for the next call of the same shape.
    buffers: Option<Buffers>,
    /// Heads of the last call.
    heads: [usize; 2],
}

impl Decoder {
    /// Opens the decoder of the model in `folder`.
    pub fn open(runtime: &Runtime, folder: &Path, manifest: &Manifest) -> Result<Decoder> {
        Decoder::open_inside(runtime, folder, manifest, &[])
    }

    /// The same, to hand out the values `inside` it.
    pub fn open_inside(
        runtime: &Runtime,
        folder: &Path,
        manifest: &Manifest,
        inside: &[String],
    ) -> Result<Decoder> {
        let options = SessionOptions {
            threads: runtime.threads(),
            spin: true,
            arena: true,
            replayed: true,
        };
        let session = session::open(runtime, (folder, &manifest.graphs.decoder), options, inside)?;
        let (place, dims) = (runtime.place(), manifest.decoder.clone());
        let half = dims.cache_dtype == CacheDtype::Float16;
        let mover = (half || !place.is_host()).then(|| {
            let ty = match half {
                true => TensorElementType::Float16,
                false => TensorElementType::Float32,
            };
            Mover::open(runtime, &place, ty, 2 * dims.n_layer).map(Arc::new)
        });
        let device = (!place.is_host()).then(|| Device::open(runtime, &place));
        Ok(Decoder {
            session,
            ids: manifest.ids.clone(),
            names: kv_names(dims.n_layer).collect(),
            dims,
            place,
            device: device.transpose().map_err(failed)?,
            mover: mover.transpose().map_err(failed)?,
            recorded: runtime.records().then_some(0),
            inside: Inside::of(inside),
        })
    }

    /// Whether its values are not on the host.
    pub fn is_on_a_device(&self) -> bool {
        self.device.is_some()
    }

    /// The rows of `cache`, ready for a call.
    pub fn rows(&self, cache: KvCache) -> DecoderRows {
        DecoderRows {
            cache,
            buffers: None,
            heads: [0; 2],
        }
    }

    /// An empty cache for this decoder.
    pub fn cache(&self, rows: usize, capacity: usize) -> Result<KvCache> {
        self.cache_at(&vec![0; rows], capacity)
    }

    /// A cache whose rows have read so many zeros, to measure with.
    pub fn cache_at(&self, lengths: &[usize], capacity: usize) -> Result<KvCache> {
        let capacity = capacity.min(self.dims.max_length);
        KvCache::new(&self.dims, lengths, capacity, self.mover.clone()).map_err(failed)
    }

    /// A cache of copies of the given rows, for up to `capacity` positions each.
    pub fn gather(&self, rows: &[(&KvCache, usize)], capacity: usize) -> Result<KvCache> {
        KvCache::gather(rows, capacity.min(self.dims.max_length)).map_err(failed)
    }

    /// Has the one row of `cache` forget what it has read from position `length` on.
    pub fn forget(&self, cache: &mut KvCache, length: usize) -> Result<()> {
        cache.truncate(0, length).map_err(failed)
    }

    /// Reads `call.ids` into the cache of `rows` and computes the heads asked for. Rows may have any
    /// lengths where `call.seq` is 1; more columns at once are read at batch 1.
    pub fn run(&mut self, rows: &mut DecoderRows, call: Call) -> Result<()> {
        let cache = &rows.cache;
        debug_assert_eq!(call.ids.len(), cache.rows() * self.ids.streams() * call.seq);
        let longest = cache.longest() + call.seq;
        if longest > cache.capacity() {
            let sentence = format!(
                "prompt and answer need {longest} positions, the cache holds {}",
                cache.capacity()
            );
            return Err(Error::new(ErrorKind::TooLong, sentence));
        }
        rows.heads = [call.text_rows.len(), call.audio_rows.len()];
        let call = self.with_heads(call);
        let buffers = match cache.layout {
            KvLayout::Shared => self.run_shared(rows, &call),
            KvLayout::Concat => self.run_concat(&mut rows.cache, &call),
        };
        rows.buffers = Some(buffers.map_err(failed)?);
        let lengths = rows.cache.lengths.iter_mut();
        lengths.for_each(|length| *length += call.seq);
        Ok(())
    }

    /// On a device each head is computed for a row at least: the graph of a step is the same then.
    fn with_heads<'c>(&self, call: Call<'c>) -> Call<'c> {
        let at_least_one = |rows: &'c [i64]| match rows.is_empty() && self.device.is_some() {
            true => &[0],
            false => rows,
        };
        Call {
            text_rows: at_least_one(call.text_rows),
            audio_rows: at_least_one(call.audio_rows),
            ..call
        }
    }

    /// What the heads of the last call said, brought to the host.
    pub fn logits<'r>(&self, rows: &'r mut DecoderRows) -> Result<Logits<'r>> {
        let [n_text, n_audio] = rows.heads;
        let (text, audio) = rows.read_logits().map_err(failed)?;
        Ok(Logits {
            text: &text[..n_text * self.ids.text_vocab_size],
            audio: &audio[..n_audio * self.ids.audio_streams * self.ids.audio_vocab_size],
        })
    }

    /// The likeliest ids by the heads of the last call; each head chooses among its first `limits`.
    pub fn likeliest(&mut self, rows: &mut DecoderRows, limits: &Limits) -> Result<Ids> {
        self.choose(rows, limits).map_err(failed)
    }

    fn choose(&mut self, rows: &mut DecoderRows, limits: &Limits) -> ort::Result<Ids> {
        let Some(device) = &mut self.device else {
            let (text, audio) = rows.read_logits()?;
            let streams = self.ids.audio_streams;
            return Ok(Ids {
                text: argmaxima(text, &limits.text, 1),
                audio: argmaxima(audio, &limits.audio, streams),
            });
        };
        let Some(buffers) = &mut rows.buffers else {
            return Err(nothing_ran());
        };
        let choice = match &mut buffers.choice {
            Some(choice) => choice,
            none => none.insert(
                device
                    .likeliest
                    .among([buffers.text_logits.there(), buffers.audio_logits.there()])?,
            ),
        };
        device.likeliest.choose(choice, limits)
    }

    fn run_shared(&mut self, rows: &mut DecoderRows, call: &Call) -> ort::Result<Buffers> {
        let cache = &mut rows.cache;
        let mut buffers = match rows.buffers.take() {
            Some(buffers) if buffers.shape.fits(cache.rows(), call) => buffers,
            _ => self.bind_shared(cache, Shape::of(cache.rows(), call))?,
        };
        let placing = self.device.as_mut().map(|device| &mut device.placing);
        buffers.write(&cache.lengths, call, placing)?;
        if buffers.recorded.is_some() {
            // A recording has what the host said when it was made.
            buffers.total.extract_tensor_mut().1[0] = cache.capacity() as i32;
        }
        let options = self.recording(&buffers)?;
        let outputs = run(&mut self.session, &buffers.binding, options.as_ref())?;
        self.inside.keep(&outputs);
        drop(outputs);
        Ok(buffers)
    }

    /// By which name a GPU records or replays the run; -1 is none.
    fn recording(&self, buffers: &Buffers) -> ort::Result<Option<RunOptions>> {
        if self.recorded.is_none() {
            return Ok(None);
        }
        let name = buffers.recorded.map_or(-1, |n| n as i64);
        let mut options = RunOptions::new()?;
        options.set("gpu_graph_id", name.to_string())?;
        Ok(Some(options))
    }

    fn bind_shared(&mut self, cache: &mut KvCache, shape: Shape) -> ort::Result<Buffers> {
        let is_step = shape.seq == 1;
        let mut buffers = self.bound(shape)?;
        let binding = &mut buffers.binding;
        binding.bind_input("seqlens_k", buffers.seqlens_k.bound())?;
        binding.bind_input("total_sequence_length", &buffers.total)?;
        for ((past, present), tensor) in self.names.iter().zip(&mut cache.tensors) {
            binding.bind_input(past, tensor)?;
            binding.bind_output(present, tensor)?;
        }
        if let Some(n) = self
            .recorded
            .as_mut()
            .filter(|n| is_step && **n < MOST_RECORDED)
        {
            *n += 1;
            buffers.recorded = Some(*n);
        }
        Ok(buffers)
    }

    /// Buffers of a shape, all that both layouts have bound.
    fn bound(&self, shape: Shape) -> ort::Result<Buffers> {
        let mut buffers = Buffers::new(
            &self.place,
            &self.session,
            &self.ids,
            self.dims.n_embd,
            shape,
        )?;
        let binding = &mut buffers.binding;
        binding.bind_input("ids", buffers.ids.bound())?;
        binding.bind_input("audio_features", buffers.features.bound())?;
        binding.bind_input("audio_feature_mask", buffers.feature_mask.bound())?;
        binding.bind_input("text_rows", buffers.text_rows.bound())?;
        binding.bind_input("audio_rows", buffers.audio_rows.bound())?;
        binding.bind_output("text_logits", buffers.text_logits.bound())?;
        binding.bind_output("audio_logits", buffers.audio_logits.bound())?;
        self.inside.bind(binding)?;
        Ok(buffers)
    }

    fn run_concat(&mut self, cache: &mut KvCache, call: &Call) -> ort::Result<Buffers> {
        let mut buffers = self.bound(Shape::of(cache.rows(), call))?;
        let placing = self.device.as_mut().map(|device| &mut device.placing);
        buffers.write(&cache.lengths, call, placing)?;
        let seq = call.seq;
        let past = cache.tensors[0].shape()[2] as usize;
        let (place, binding) = (&self.place, &mut buffers.binding);
        let positions = position_ids(&cache.lengths, seq)?;
        place.bind(binding, "position_ids", &positions)?;
        let bias = attention_bias(&cache.lengths, seq, past)?;
        place.bind(binding, "attention_bias", &bias)?;
        let info = place.info()?;
        for ((past, present), tensor) in self.names.iter().zip(&cache.tensors) {
            binding.bind_input(past, tensor)?;
            binding.bind_output_to_device(present, &info)?;
        }
        let mut outputs = run(&mut self.session, &buffers.binding, None)?;
        self.inside.keep(&outputs);
        let (heads, size) = (self.dims.n_kv_head, self.dims.head_size);
        let shape = [cache.rows(), heads, past + seq, size];
        let mut present = Vec::with_capacity(self.names.len());
        for (_, name) in &self.names {
            let value: ort::value::DynTensor = taken_out(&mut outputs, name)?.downcast()?;
            session::hold_shape(name, value.shape(), &shape)?;
            present.push(value);
        }
        drop(outputs);
        cache.tensors = present;
        Ok(buffers)
    }
}

impl Device {
    fn open(runtime: &Runtime, place: &Place) -> ort::Result<Device> {
        Ok(Device {
            likeliest: Likeliest::open(runtime, place)?,
            placing: Placing::open(runtime, place)?,
        })
    }
}

impl DecoderRows {
    /// Text and audio logits of the last call, on the host.
    fn read_logits(&mut self) -> ort::Result<(&[f32], &[f32])> {
        let Some(buffers) = &mut self.buffers else {
            return Err(nothing_ran());
        };
        let [text, audio] = self.heads;
        let text = match text {
            0 => &[],
            _ => buffers.text_logits.read(What::Logits)?,
        };
        let audio = match audio {
            0 => &[],
            _ => buffers.audio_logits.read(What::Logits)?,
        };
        Ok((text, audio))
    }
}

fn nothing_ran() -> ort::Error {
    ort::Error::new("no call was made")
}

fn run<'b>(
    session: &'b mut Session,
    binding: &'b IoBinding,
    options: Option<&RunOptions>,
) -> ort::Result<SessionOutputs<'b>> {
    match options {
        Some(options) => session.run_binding_with_options(binding, options),
        None => session.run_binding(binding),
    }
}

/// [rows, seq]: positions count from each row's own length.
fn position_ids(lengths: &[usize], seq: usize) -> ort::Result<Tensor<i64>> {
    let mut tensor = zeros(&[lengths.len(), seq])?;
    for (row, &length) in tensor
        .extract_tensor_mut()
        .1
        .chunks_exact_mut(seq)
        .zip(lengths)
    {
        row.iter_mut()
            .enumerate()
            .for_each(|(i, id)| *id = (length + i) as i64);
    }
    Ok(tensor)
}

/// [rows, 1, seq, past + seq]: causal, with the filler in front of each row hidden.
fn attention_bias(lengths: &[usize], seq: usize, past: usize) -> ort::Result<Tensor<f32>> {
    let total = past + seq;
    let mut tensor = zeros(&[lengths.len(), 1, seq, total])?;
    for (i, scores) in tensor
        .extract_tensor_mut()
        .1
        .chunks_exact_mut(total)
        .enumerate()
    {
        scores[..past - lengths[i / seq]].fill(HIDDEN);
        scores[past + i % seq + 1..].fill(HIDDEN);
    }
    Ok(tensor)
}

fn failed(source: ort::Error) -> Error {
    session::failed("decoder", source)
}

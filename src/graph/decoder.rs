//! The language model: one graph for prefill and step, for every task and any number of rows.
//!
//! Rows that are stepped together keep the buffers of their last call beside their cache
//! ([`DecoderRows`]): ids, lengths and logits keep their memory, so nothing is allocated or copied
//! between two steps of the same shape. The buffers are made anew only when rows or heads change.

use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::buffers::{Buffers, Shape};
use super::call::{Call, Logits};
use super::inside::Inside;
use super::kv_cache::KvCache;
use super::runtime::Runtime;
use super::session::{self, SessionOptions, zeros};
use crate::error::{Error, ErrorKind, Result};
use crate::model::contract::kv_names;
use crate::model::manifest::{DecoderDims, KvLayout, Manifest, SpecialIds};

/// Added to an attention score to hide a position; finite, so that a row of nothing else is no NaN.
const HIDDEN: f32 = -1e9;

/// The decoder graph.
pub struct Decoder {
    session: Session,
    dims: DecoderDims,
    ids: SpecialIds,
    names: Vec<(String, String)>,
    /// What it was opened to hand out.
    pub inside: Inside,
}

/// Rows that take calls together: what they have read, and the buffers of their last call.
pub struct DecoderRows {
    pub cache: KvCache,
    /// In place for the next call of the same shape.
    buffers: Option<Buffers>,
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
        };
        let session = session::open(runtime, (folder, &manifest.graphs.decoder), options, inside)?;
        let names = kv_names(manifest.decoder.n_layer).collect();
        Ok(Decoder {
            session,
            dims: manifest.decoder.clone(),
            ids: manifest.ids.clone(),
            names,
            inside: Inside::of(inside),
        })
    }

    /// The rows of `cache`, ready for a call.
    pub fn rows(&self, cache: KvCache) -> DecoderRows {
        DecoderRows {
            cache,
            buffers: None,
        }
    }

    /// An empty cache for this decoder.
    pub fn cache(&self, rows: usize, capacity: usize) -> Result<KvCache> {
        self.cache_at(&vec![0; rows], capacity)
    }

    /// A cache whose rows have read so many zeros, to measure with.
    pub fn cache_at(&self, lengths: &[usize], capacity: usize) -> Result<KvCache> {
        KvCache::new(&self.dims, lengths, capacity.min(self.dims.max_length)).map_err(failed)
    }

    /// A cache of copies of the given rows, for up to `capacity` positions each.
    pub fn gather(&self, rows: &[(&KvCache, usize)], capacity: usize) -> Result<KvCache> {
        KvCache::gather(rows, capacity.min(self.dims.max_length)).map_err(failed)
    }

    /// Reads `call.ids` into the cache of `rows` and computes the heads asked for. Rows may have any
    /// lengths where `call.seq` is 1; more columns at once are read at batch 1.
    pub fn run<'r>(&mut self, rows: &'r mut DecoderRows, call: Call) -> Result<Logits<'r>> {
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
        let buffers = match cache.layout {
            KvLayout::Shared => self.run_shared(rows, call),
            KvLayout::Concat => self.run_concat(&mut rows.cache, call),
        }
        .map_err(failed)?;
        let cache = &mut rows.cache;
        cache
            .lengths
            .iter_mut()
            .for_each(|length| *length += call.seq);
        let buffers = rows.buffers.insert(buffers);
        Ok(Logits {
            text: buffers.text_logits.extract_tensor().1,
            audio: buffers.audio_logits.extract_tensor().1,
        })
    }

    fn run_shared(&mut self, rows: &mut DecoderRows, call: Call) -> ort::Result<Buffers> {
        let cache = &mut rows.cache;
        let mut buffers = match rows.buffers.take() {
            Some(buffers) if buffers.shape.fits(cache.rows(), &call) => buffers,
            _ => self.bind(cache, Shape::of(cache.rows(), &call))?,
        };
        buffers.write(&cache.lengths, &call);
        let outputs = self.session.run_binding(&buffers.binding)?;
        self.inside.keep(&outputs);
        drop(outputs);
        Ok(buffers)
    }

    fn bind(&self, cache: &mut KvCache, shape: Shape) -> ort::Result<Buffers> {
        let mut buffers = Buffers::new(&self.session, &self.ids, self.dims.n_embd, shape)?;
        let binding = &mut buffers.binding;
        binding.bind_input("ids", &buffers.ids)?;
        binding.bind_input("audio_features", &buffers.features)?;
        binding.bind_input("audio_feature_mask", &buffers.feature_mask)?;
        binding.bind_input("seqlens_k", &buffers.seqlens_k)?;
        binding.bind_input("total_sequence_length", &buffers.total)?;
        binding.bind_input("text_rows", &buffers.text_rows)?;
        binding.bind_input("audio_rows", &buffers.audio_rows)?;
        binding.bind_output("text_logits", &mut buffers.text_logits)?;
        binding.bind_output("audio_logits", &mut buffers.audio_logits)?;
        for ((past, present), tensor) in self.names.iter().zip(&mut cache.tensors) {
            binding.bind_input(past, tensor)?;
            binding.bind_output(present, tensor)?;
        }
        self.inside.bind(binding)?;
        Ok(buffers)
    }

    fn run_concat(&mut self, cache: &mut KvCache, call: Call) -> ort::Result<Buffers> {
        let shape = Shape::of(cache.rows(), &call);
        let mut buffers = Buffers::new(&self.session, &self.ids, self.dims.n_embd, shape)?;
        buffers.write(&cache.lengths, &call);
        let seq = call.seq;
        let past = cache.tensors[0].shape()[2] as usize;
        let mut inputs: Vec<(&str, SessionInputValue)> = vec![
            ("ids", (&buffers.ids).into()),
            ("audio_features", (&buffers.features).into()),
            ("audio_feature_mask", (&buffers.feature_mask).into()),
            ("position_ids", position_ids(&cache.lengths, seq)?.into()),
            (
                "attention_bias",
                attention_bias(&cache.lengths, seq, past)?.into(),
            ),
            ("text_rows", (&buffers.text_rows).into()),
            ("audio_rows", (&buffers.audio_rows).into()),
        ];
        for ((name, _), tensor) in self.names.iter().zip(&cache.tensors) {
            inputs.push((name, tensor.into()));
        }
        let mut outputs = self.session.run(inputs)?;
        self.inside.keep(&outputs);
        copy_logits(
            session::output(&outputs, "text_logits")?,
            &mut buffers.text_logits,
        )?;
        copy_logits(
            session::output(&outputs, "audio_logits")?,
            &mut buffers.audio_logits,
        )?;
        let (heads, size) = (self.dims.n_kv_head, self.dims.head_size);
        let shape = [cache.rows(), heads, past + seq, size];
        let mut present = Vec::with_capacity(self.names.len());
        for (_, name) in &self.names {
            let value = outputs
                .remove(name)
                .ok_or_else(|| ort::Error::new(format!("no output {name}")))?;
            let value: Tensor<f32> = value.downcast()?;
            session::hold_shape(name, value.shape(), &shape)?;
            present.push(value);
        }
        drop(outputs);
        cache.tensors = present;
        Ok(buffers)
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

fn copy_logits(from: &ort::value::DynValue, to: &mut Tensor<f32>) -> ort::Result<()> {
    let (_, logits) = from.try_extract_tensor::<f32>()?;
    let target = to.extract_tensor_mut().1;
    if logits.len() != target.len() {
        return Err(ort::Error::new(format!(
            "{} logits came, {} expected",
            logits.len(),
            target.len()
        )));
    }
    target.copy_from_slice(logits);
    Ok(())
}

fn failed(source: ort::Error) -> Error {
    session::failed("decoder", source)
}

//! The language model: one graph for prefill and step, for every task and any number of rows.
//!
//! A step over a shared cache runs through one binding that lives with the cache: ids, lengths and
//! logits keep their memory, so nothing is allocated or copied between two steps of the same shape.
//! The binding is made anew only when rows or heads change.

use std::path::Path;

use ndarray::ArrayView2;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::binding::{Bound, Shape};
use super::kv_cache::KvCache;
use super::runtime::Runtime;
use super::session::{self, SessionOptions, zeros};
use crate::error::{Error, Result};
use crate::manifest::{DecoderDims, KvLayout, Manifest, SpecialIds};

/// Added to an attention score to hide a position; finite, so that a row of nothing else is no NaN.
const HIDDEN: f32 = -1e9;

/// The decoder graph.
pub struct Decoder {
    session: Session,
    dims: DecoderDims,
    ids: SpecialIds,
    names: Vec<(String, String)>,
}

/// One call: which ids go in, which rows get a head.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// [rows, streams, seq], flat.
    pub ids: &'a [i64],
    pub seq: usize,
    /// Audio features that replace the audio streams' embeddings from a column on.
    pub features: Option<(usize, ArrayView2<'a, f32>)>,
    /// Rows whose last position gets the text head.
    pub text_rows: &'a [i64],
    /// Rows whose last position gets the audio heads.
    pub audio_rows: &'a [i64],
}

/// What the heads said.
#[derive(Debug)]
pub struct Logits<'a> {
    /// [text rows, text vocabulary].
    pub text: &'a [f32],
    /// [audio rows, audio streams, audio vocabulary].
    pub audio: &'a [f32],
}

impl Decoder {
    /// Opens the decoder of the model in `folder`.
    pub fn open(runtime: &Runtime, folder: &Path, manifest: &Manifest) -> Result<Decoder> {
        let options = SessionOptions {
            threads: runtime.threads,
            spin: true,
            arena: true,
        };
        let session = session::open(runtime, folder, &manifest.graphs.decoder, options)?;
        let names = (0..manifest.decoder.n_layer)
            .flat_map(|layer| ["key", "value"].map(|kind| (layer, kind)))
            .map(|(layer, kind)| {
                (
                    format!("past_key_values.{layer}.{kind}"),
                    format!("present.{layer}.{kind}"),
                )
            })
            .collect();
        Ok(Decoder {
            session,
            dims: manifest.decoder.clone(),
            ids: manifest.ids.clone(),
            names,
        })
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

    /// Reads `call.ids` into `cache` and computes the heads asked for. Rows may have any lengths
    /// where `call.seq` is 1; more columns at once are read at batch 1.
    pub fn run<'c>(&mut self, cache: &'c mut KvCache, call: Call) -> Result<Logits<'c>> {
        debug_assert_eq!(call.ids.len(), cache.rows() * self.ids.streams() * call.seq);
        let longest = cache.longest() + call.seq;
        if longest > cache.capacity() {
            return Err(Error::Input(format!(
                "prompt and answer need {longest} positions, the cache holds {}",
                cache.capacity()
            )));
        }
        match cache.layout {
            KvLayout::Shared => self.run_shared(cache, call),
            KvLayout::Concat => self.run_concat(cache, call),
        }
        .map_err(failed)?;
        cache
            .lengths
            .iter_mut()
            .for_each(|length| *length += call.seq);
        let bound = cache.bound.as_ref().expect("a run leaves its logits");
        Ok(Logits {
            text: bound.text_logits.extract_tensor().1,
            audio: bound.audio_logits.extract_tensor().1,
        })
    }

    fn run_shared(&mut self, cache: &mut KvCache, call: Call) -> ort::Result<()> {
        let rows = cache.rows();
        let mut bound = match cache.bound.take() {
            Some(bound) if bound.shape.fits(rows, &call) => bound,
            _ => self.bind(cache, Shape::of(rows, &call))?,
        };
        bound.write(&cache.lengths, &call);
        self.session.run_binding(&bound.binding)?;
        cache.bound = Some(bound);
        Ok(())
    }

    fn bind(&self, cache: &mut KvCache, shape: Shape) -> ort::Result<Bound> {
        let mut bound = Bound::new(&self.session, &self.ids, self.dims.n_embd, shape)?;
        let binding = &mut bound.binding;
        binding.bind_input("ids", &bound.ids)?;
        binding.bind_input("audio_features", &bound.features)?;
        binding.bind_input("audio_feature_mask", &bound.feature_mask)?;
        binding.bind_input("seqlens_k", &bound.seqlens_k)?;
        binding.bind_input("total_sequence_length", &bound.total)?;
        binding.bind_input("text_rows", &bound.text_rows)?;
        binding.bind_input("audio_rows", &bound.audio_rows)?;
        binding.bind_output("text_logits", &mut bound.text_logits)?;
        binding.bind_output("audio_logits", &mut bound.audio_logits)?;
        for ((past, present), tensor) in self.names.iter().zip(&mut cache.tensors) {
            binding.bind_input(past, tensor)?;
            binding.bind_output(present, tensor)?;
        }
        Ok(bound)
    }

    fn run_concat(&mut self, cache: &mut KvCache, call: Call) -> ort::Result<()> {
        let shape = Shape::of(cache.rows(), &call);
        let mut bound = Bound::new(&self.session, &self.ids, self.dims.n_embd, shape)?;
        bound.write(&cache.lengths, &call);
        let seq = call.seq;
        let past = cache.tensors[0].shape()[2] as usize;
        let mut inputs: Vec<(&str, SessionInputValue)> = vec![
            ("ids", (&bound.ids).into()),
            ("audio_features", (&bound.features).into()),
            ("audio_feature_mask", (&bound.feature_mask).into()),
            ("position_ids", position_ids(&cache.lengths, seq)?.into()),
            (
                "attention_bias",
                attention_bias(&cache.lengths, seq, past)?.into(),
            ),
            ("text_rows", (&bound.text_rows).into()),
            ("audio_rows", (&bound.audio_rows).into()),
        ];
        for ((name, _), tensor) in self.names.iter().zip(&cache.tensors) {
            inputs.push((name, tensor.into()));
        }
        let mut outputs = self.session.run(inputs)?;
        copy_logits(&outputs["text_logits"], &mut bound.text_logits)?;
        copy_logits(&outputs["audio_logits"], &mut bound.audio_logits)?;
        let mut present = Vec::with_capacity(self.names.len());
        for (_, name) in &self.names {
            let value = outputs
                .remove(name)
                .ok_or_else(|| ort::Error::new(format!("no output {name}")))?;
            present.push(value.downcast()?);
        }
        drop(outputs);
        cache.tensors = present;
        cache.bound = Some(bound);
        Ok(())
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
    Error::Graph {
        graph: "decoder",
        source,
    }
}

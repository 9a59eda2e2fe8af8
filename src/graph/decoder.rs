//! The language model: one graph for prefill and step, for every task.
//!
//! A step over a shared cache runs through one binding: ids, lengths and logits keep their memory,
//! so nothing is allocated or copied between two steps of the same shape. The binding is made anew
//! only when rows or heads change.

use std::path::Path;

use ndarray::ArrayView2;
use ort::session::{IoBinding, Session, SessionInputValue};
use ort::value::Tensor;

use super::kv_cache::{CONCAT_FILLER, KvCache};
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
    bound: Option<Bound>,
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

/// Inputs and outputs that stay in place between calls of one shape.
struct Bound {
    binding: IoBinding,
    shape: Shape,
    ids: Tensor<i64>,
    features: Tensor<f32>,
    feature_mask: Tensor<f32>,
    seqlens_k: Tensor<i32>,
    total: Tensor<i32>,
    text_logits: Tensor<f32>,
    audio_logits: Tensor<f32>,
}

/// What a binding depends on. `cache` is the address of the cache's first tensor.
#[derive(PartialEq, Eq)]
struct Shape {
    rows: usize,
    seq: usize,
    text_rows: Vec<i64>,
    audio_rows: Vec<i64>,
    cache: usize,
}

impl Decoder {
    /// Opens the decoder of the model in `folder`.
    pub fn open(runtime: &Runtime, folder: &Path, manifest: &Manifest) -> Result<Decoder> {
        let options = SessionOptions {
            threads: runtime.threads,
            spin: true,
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
            bound: None,
        })
    }

    /// An empty cache for this decoder.
    pub fn cache(&self, rows: usize, capacity: usize) -> Result<KvCache> {
        KvCache::new(&self.dims, rows, capacity.min(self.dims.max_length)).map_err(failed)
    }

    /// A cache whose rows are copies of the given rows of `cache`.
    pub fn select(&self, cache: &KvCache, rows: &[usize]) -> Result<KvCache> {
        cache.select(rows).map_err(failed)
    }

    /// Reads `call.ids` into `cache` and computes the heads asked for.
    pub fn run(&mut self, cache: &mut KvCache, call: Call) -> Result<Logits<'_>> {
        debug_assert_eq!(call.ids.len(), cache.rows() * self.ids.streams() * call.seq);
        let longest = cache.lengths.iter().max().copied().unwrap_or(0) + call.seq;
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
        let bound = self.bound.as_ref().expect("a run leaves its logits");
        Ok(Logits {
            text: bound.text_logits.extract_tensor().1,
            audio: bound.audio_logits.extract_tensor().1,
        })
    }

    fn run_shared(&mut self, cache: &mut KvCache, call: Call) -> ort::Result<()> {
        let shape = Shape::of(cache, &call);
        let mut bound = match self.bound.take() {
            Some(bound) if bound.shape == shape => bound,
            _ => self.bind(cache, shape)?,
        };
        bound.write(&cache.lengths, &call);
        self.session.run_binding(&bound.binding)?;
        self.bound = Some(bound);
        Ok(())
    }

    /// Allocates inputs and outputs of the call's shape.
    fn tensors(&self, shape: Shape) -> ort::Result<Bound> {
        let (rows, seq, embd) = (shape.rows, shape.seq, self.dims.n_embd);
        let audio = [
            shape.audio_rows.len(),
            self.ids.audio_streams,
            self.ids.audio_vocab_size,
        ];
        Ok(Bound {
            binding: self.session.create_binding()?,
            ids: zeros(&[rows, self.ids.streams(), seq])?,
            features: zeros(&[rows, seq, embd])?,
            feature_mask: zeros(&[rows, seq, 1])?,
            seqlens_k: zeros(&[rows])?,
            total: zeros(&[])?,
            text_logits: zeros(&[shape.text_rows.len(), self.ids.text_vocab_size])?,
            audio_logits: zeros(&audio)?,
            shape,
        })
    }

    fn bind(&self, cache: &mut KvCache, shape: Shape) -> ort::Result<Bound> {
        let mut bound = self.tensors(shape)?;
        let binding = &mut bound.binding;
        binding.bind_input("ids", &bound.ids)?;
        binding.bind_input("audio_features", &bound.features)?;
        binding.bind_input("audio_feature_mask", &bound.feature_mask)?;
        binding.bind_input("seqlens_k", &bound.seqlens_k)?;
        binding.bind_input("total_sequence_length", &bound.total)?;
        binding.bind_input("text_rows", &rows_tensor(&bound.shape.text_rows)?)?;
        binding.bind_input("audio_rows", &rows_tensor(&bound.shape.audio_rows)?)?;
        binding.bind_output("text_logits", &mut bound.text_logits)?;
        binding.bind_output("audio_logits", &mut bound.audio_logits)?;
        for ((past, present), tensor) in self.names.iter().zip(&mut cache.tensors) {
            binding.bind_input(past, tensor)?;
            binding.bind_output(present, tensor)?;
        }
        Ok(bound)
    }

    fn run_concat(&mut self, cache: &mut KvCache, call: Call) -> ort::Result<()> {
        let mut bound = self.tensors(Shape::of(cache, &call))?;
        bound.write(&cache.lengths, &call);
        let (rows, seq) = (bound.shape.rows, bound.shape.seq);
        let past = cache.tensors[0].shape()[2] as usize;
        let mut inputs: Vec<(&str, SessionInputValue)> = vec![
            ("ids", (&bound.ids).into()),
            ("audio_features", (&bound.features).into()),
            ("audio_feature_mask", (&bound.feature_mask).into()),
            ("position_ids", position_ids(&cache.lengths, seq)?.into()),
            ("attention_bias", attention_bias(rows, seq, past)?.into()),
            ("text_rows", rows_tensor(&bound.shape.text_rows)?.into()),
            ("audio_rows", rows_tensor(&bound.shape.audio_rows)?.into()),
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
        self.bound = Some(bound);
        Ok(())
    }
}

impl Shape {
    fn of(cache: &KvCache, call: &Call) -> Shape {
        Shape {
            rows: cache.rows(),
            seq: call.seq,
            text_rows: call.text_rows.to_vec(),
            audio_rows: call.audio_rows.to_vec(),
            cache: cache.tensors[0].extract_tensor().1.as_ptr() as usize,
        }
    }
}

impl Bound {
    fn write(&mut self, lengths: &[usize], call: &Call) {
        self.ids.extract_tensor_mut().1.copy_from_slice(call.ids);
        // A binding may serve a question with features and then one without.
        self.feature_mask.extract_tensor_mut().1.fill(0.0);
        if let Some((start, features)) = call.features {
            let width = features.ncols();
            let target = self.features.extract_tensor_mut().1;
            for (row, feature) in features.rows().into_iter().enumerate() {
                let at = (start + row) * width;
                target[at..at + width]
                    .iter_mut()
                    .zip(feature)
                    .for_each(|(t, &v)| *t = v);
            }
            self.feature_mask.extract_tensor_mut().1[start..start + features.nrows()].fill(1.0);
        }
        let seqlens = self.seqlens_k.extract_tensor_mut().1;
        for (seqlen, length) in seqlens.iter_mut().zip(lengths) {
            *seqlen = (length + call.seq) as i32 - 1;
        }
        let longest = seqlens.iter().max().copied().unwrap_or(0);
        self.total.extract_tensor_mut().1[0] = longest + 1;
    }
}

fn rows_tensor(rows: &[i64]) -> ort::Result<Tensor<i64>> {
    let mut tensor = zeros(&[rows.len()])?;
    tensor.extract_tensor_mut().1.copy_from_slice(rows);
    Ok(tensor)
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

/// [rows, 1, seq, past + seq]: causal, with the filler hidden.
fn attention_bias(rows: usize, seq: usize, past: usize) -> ort::Result<Tensor<f32>> {
    let total = past + seq;
    let mut tensor = zeros(&[rows, 1, seq, total])?;
    for (i, scores) in tensor
        .extract_tensor_mut()
        .1
        .chunks_exact_mut(total)
        .enumerate()
    {
        scores[..CONCAT_FILLER].fill(HIDDEN);
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

//! The arrays of a recorded question, as a safetensors file: little-endian float32 and int64.

use std::collections::HashMap;

use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::super::Protocol;
use super::check::is_id;
use super::{Entry, Recorded, StepLogits};
use crate::ask::Question;
use crate::audio::Pcm;
use crate::decoding::delay::Frame;
use crate::decoding::prompt::Prompt;
use crate::decoding::sampling::all_finite;
use crate::decoding::task::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::Manifest;

/// Stands for an id of a stream without a head.
const NONE: i64 = -1;

/// One of the two heads of a step.
type Head = fn(&StepLogits) -> &Option<Vec<f32>>;

/// An array to write.
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn f32(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Array {
        Array {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: values.into_iter().flat_map(f32::to_le_bytes).collect(),
        }
    }

    fn i64(shape: &[usize], values: impl IntoIterator<Item = i64>) -> Array {
        Array {
            dtype: Dtype::I64,
            shape: shape.to_vec(),
            bytes: values.into_iter().flat_map(i64::to_le_bytes).collect(),
        }
    }

    fn matrix(matrix: &Array2<f32>) -> Array {
        Array::f32(matrix.shape(), matrix.iter().copied())
    }

    fn rows(rows: &[Vec<i64>]) -> Array {
        let width = rows.first().map_or(0, Vec::len);
        Array::i64(&[rows.len(), width], rows.iter().flatten().copied())
    }
}

/// The bytes of the file.
pub(super) fn write(recorded: &Recorded) -> Result<Vec<u8>> {
    let said = |ids: &Vec<Option<i64>>| ids.iter().map(|id| id.unwrap_or(NONE)).collect();
    let frames: Vec<Vec<i64>> = recorded.frames.iter().map(|f| f.ids().to_vec()).collect();
    let ids: Vec<Vec<i64>> = recorded.ids.iter().map(said).collect();
    let mut arrays = vec![
        ("prompt", Array::rows(&recorded.prompt.shared)),
        ("marks", Array::rows(&recorded.prompt.marks)),
        ("ids", Array::rows(&ids)),
        ("frames", Array::rows(&frames)),
        ("sound", vector(&recorded.sound)),
    ];
    if let Question::Audio(pcm) = &recorded.question {
        arrays.push(("question", vector(pcm.samples())));
    }
    let matrices = [("mel", &recorded.mel), ("features", &recorded.features)];
    arrays.extend(matrices.into_iter().filter_map(|(name, matrix)| {
        let matrix = matrix.as_ref()?;
        Some((name, Array::matrix(matrix)))
    }));
    let heads: [(_, _, Head); 2] = [
        ("text_logits", "text_logit_steps", |logits| &logits.text),
        ("audio_logits", "audio_logit_steps", |logits| &logits.audio),
    ];
    for (name, steps_name, head) in heads {
        let known = || {
            recorded
                .logits
                .iter()
                .filter(|logits| head(logits).is_some())
        };
        let steps: Vec<i64> = known().map(|logits| logits.step as i64).collect();
        let rows: Vec<&[f32]> = known()
            .filter_map(|logits| head(logits).as_deref())
            .collect();
        let width = rows.first().map_or(0, |row| row.len());
        let values = rows.iter().copied().flatten().copied();
        arrays.push((name, Array::f32(&[rows.len(), width], values)));
        arrays.push((steps_name, Array::i64(&[steps.len()], steps)));
    }
    let views = arrays.iter().map(|(name, array)| {
        let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes)?;
        Ok((*name, view))
    });
    let written = views
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .and_then(|views| safetensors::serialize(views, None));
    written.map_err(|e| Error::new(ErrorKind::File, format!("cannot record an answer: {e}")))
}

fn vector(values: &[f32]) -> Array {
    Array::f32(&[values.len()], values.iter().copied())
}

/// What a file of arrays holds, each of the shape that the model gives it.
pub(super) fn read(bytes: &[u8], entry: &Entry, manifest: &Manifest) -> Result<Recorded, String> {
    let task = Task::by_name(&entry.task).ok_or("its task is none")?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let arrays = Arrays(&file);
    let (ids, streams) = (&manifest.ids, manifest.ids.streams());
    let question = match (&entry.text, entry.sample_rate) {
        (Some(text), None) => Question::Text(text.clone()),
        (None, Some(rate)) => {
            let samples = arrays.f32("question", &[None])?.1;
            Question::Audio(Pcm::new(samples, rate).map_err(|e| e.to_string())?)
        }
        _ => return Err("its question is neither a text nor a sound".into()),
    };
    let spoken = entry.sample_rate.is_some();
    let matrix = |name: &str, shape: [Option<usize>; 2]| match spoken {
        true => arrays.matrix(name, shape).map(Some),
        false => Ok(None),
    };
    let features = matrix("features", [None, Some(manifest.decoder.n_embd)])?;
    let audio_width = ids.audio_streams * ids.audio_vocab_size;
    let text = arrays.logits("text", ids.text_vocab_size)?;
    let audio = arrays.logits("audio", audio_width)?;
    let frames = arrays.rows("frames", [None, Some(ids.audio_streams)])?;
    Ok(Recorded {
        question,
        protocol: Protocol {
            task,
            max_steps: entry.max_steps,
        },
        steps: entry.steps,
        said: entry.answer.clone(),
        prompt: Prompt {
            shared: arrays.rows("prompt", [Some(streams), None])?,
            marks: arrays.rows("marks", [Some(task.marks.len()), Some(streams)])?,
            n_features: features.as_ref().map_or(0, Array2::nrows),
        },
        mel: matrix("mel", [Some(manifest.mel.n_mels), None])?,
        features,
        ids: said(arrays.rows("ids", [None, Some(streams)])?, task, manifest)?,
        logits: joined(text, audio),
        frames: frames.into_iter().map(Frame::from).collect(),
        sound: arrays.f32("sound", &[None])?.1,
    })
}

/// The ids of each step, each within its vocabulary. A spoken answer has audio in all of them.
fn said(
    rows: Vec<Vec<i64>>,
    task: Task,
    manifest: &Manifest,
) -> Result<Vec<Vec<Option<i64>>>, String> {
    let needed = |stream: usize| task.speaks() && stream < manifest.ids.audio_streams;
    let row = |row: Vec<i64>| -> Result<Vec<Option<i64>>, String> {
        let ids = row.into_iter().enumerate().map(|(stream, id)| match id {
            NONE if !needed(stream) => Ok(None),
            id if is_id(stream, id, manifest) => Ok(Some(id)),
            id => Err(format!("stream {stream} says {id}, which is no id")),
        });
        ids.collect()
    };
    rows.into_iter().map(row).collect()
}

type ByStep = HashMap<usize, Vec<f32>>;

/// Logits of both kinds by step.
fn joined(mut text: ByStep, mut audio: ByStep) -> Vec<StepLogits> {
    let mut steps: Vec<usize> = text.keys().chain(audio.keys()).copied().collect();
    steps.sort_unstable();
    steps.dedup();
    let logits = steps.into_iter().map(|step| StepLogits {
        step,
        text: text.remove(&step),
        audio: audio.remove(&step),
    });
    logits.collect()
}

/// Arrays by name, with shapes that are fixed as far as they are known.
struct Arrays<'a>(&'a SafeTensors<'a>);

impl Arrays<'_> {
    fn get(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[Option<usize>],
    ) -> Result<TensorView<'_>, String> {
        let tensor = self.0.tensor(name).map_err(|e| e.to_string())?;
        let found = tensor.shape();
        // An array of nothing has no rows whose width could be told.
        let fits = |(found, known): (&usize, &Option<usize>)| known.is_none_or(|n| *found == n);
        let fitting =
            found.len() == shape.len() && (found.contains(&0) || found.iter().zip(shape).all(fits));
        if tensor.dtype() != dtype || !fitting {
            return Err(format!(
                "{name} is {:?} {found:?} and does not fit the model",
                tensor.dtype()
            ));
        }
        Ok(tensor)
    }

    fn f32(&self, name: &str, shape: &[Option<usize>]) -> Result<(Vec<usize>, Vec<f32>), String> {
        let tensor = self.get(name, Dtype::F32, shape)?;
        let values = tensor.data().as_chunks().0.iter().copied();
        let values: Vec<f32> = values.map(f32::from_le_bytes).collect();
        if !all_finite(&values) {
            return Err(format!("values of {name} are no finite numbers"));
        }
        Ok((tensor.shape().to_vec(), values))
    }

    fn i64(&self, name: &str, shape: &[Option<usize>]) -> Result<(Vec<usize>, Vec<i64>), String> {
        let tensor = self.get(name, Dtype::I64, shape)?;
        let values = tensor.data().as_chunks().0.iter().copied();
        let values = values.map(i64::from_le_bytes).collect();
        Ok((tensor.shape().to_vec(), values))
    }

    fn matrix(&self, name: &str, shape: [Option<usize>; 2]) -> Result<Array2<f32>, String> {
        let (shape, values) = self.f32(name, &shape)?;
        Array2::from_shape_vec((shape[0], shape[1]), values).map_err(|e| e.to_string())
    }

    fn rows(&self, name: &str, shape: [Option<usize>; 2]) -> Result<Vec<Vec<i64>>, String> {
        let (found, values) = self.i64(name, &shape)?;
        let rows = values.chunks_exact(found[1].max(1)).map(<[i64]>::to_vec);
        let rows: Vec<Vec<i64>> = rows.collect();
        match shape[0].is_none_or(|n| n == rows.len()) {
            true => Ok(rows),
            false => Err(format!("{name} has {} rows", rows.len())),
        }
    }

    fn logits(&self, head: &str, width: usize) -> Result<ByStep, String> {
        let (_, values) = self.f32(&format!("{head}_logits"), &[None, Some(width)])?;
        let (_, steps) = self.i64(&format!("{head}_logit_steps"), &[None])?;
        let rows = values.chunks_exact(width);
        if rows.len() != steps.len() {
            return Err(format!("the {head} logits are not those of their steps"));
        }
        if !steps.is_sorted_by(|a, b| a < b) || steps.first().is_some_and(|&step| step < 0) {
            return Err(format!("the steps of the {head} logits are not in order"));
        }
        let by_step = steps.iter().map(|&step| step as usize);
        Ok(by_step.zip(rows.map(<[f32]>::to_vec)).collect())
    }
}

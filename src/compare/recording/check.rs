//! A recording may come from anywhere: what it says is held against its own manifest, and one part of
//! it against the other, before a model is.

use ndarray::Array2;

use super::{Entry, Model, Recorded, Recording};
use crate::ask::{EncoderWindow, Question};
use crate::audio::{self, Pcm, mel};
use crate::decoding::sampling::argmax;
use crate::decoding::task::{Source, Task};
use crate::engine::window::{Clip, Window};
use crate::graph::{Kernels, Provider};
use crate::model::manifest::Manifest;
use crate::model::names;

/// A check's outcome: why not, as the part of a sentence.
type Check = Result<(), String>;

fn hold(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(why()) }
}

/// What the index says of the model, and of each question.
pub(super) fn index(recording: &Recording) -> Check {
    hold(!recording.questions.is_empty(), || {
        "it has no question, so nothing can be held against it".into()
    })?;
    hold(recording.threads > 0, || "its threads are 0".into())?;
    for text in [&recording.version, &recording.onnxruntime] {
        printable("version", text)?;
    }
    model(&recording.model, &recording.manifest)?;
    let mut entries = recording.questions.iter().enumerate();
    entries.try_for_each(|(i, entry)| entry_of(i, entry, &recording.manifest))
}

fn printable(what: &str, text: &str) -> Check {
    hold(names::is_printable(text), || {
        format!("its {what} {text:?} has characters that do not show")
    })
}

/// The model is the one of the manifest, computed by what there is.
fn model(model: &Model, manifest: &Manifest) -> Check {
    let precision =
        |p: &crate::model::Precision| format!("{}, {}, {}", p.encoder, p.decoder, p.codec);
    for (what, said, found) in [
        ("name", &model.name, manifest.name.clone()),
        ("hash", &model.hash, manifest.hash()),
        ("profile", &model.profile, manifest.profile.clone()),
        (
            "precision",
            &precision(&model.precision),
            precision(&manifest.precision),
        ),
    ] {
        hold(*said == found, || {
            format!("its model's {what} is {said:?}, and {found:?} by its manifest")
        })?;
    }
    window(&model.encoder_window, manifest)?;
    let providers = [Provider::Cpu, Provider::Cuda, Provider::CoreMl];
    one_of("provider", &model.provider, providers.map(Provider::name))?;
    match &model.kernels {
        Some(kernels) => one_of("kernels", kernels, Kernels::ALL.map(Kernels::name)),
        None => Ok(()),
    }
}

fn one_of<const N: usize>(what: &str, said: &str, known: [&str; N]) -> Check {
    hold(known.contains(&said), || {
        format!("its {what} {said:?} is none of {}", known.join(", "))
    })
}

fn window(said: &str, manifest: &Manifest) -> Result<EncoderWindow, String> {
    let all = [
        EncoderWindow::Full,
        EncoderWindow::Merged,
        EncoderWindow::Short,
    ];
    one_of("encoder_window", said, all.map(EncoderWindow::name))?;
    let found = all.into_iter().find(|window| window.name() == said);
    EncoderWindow::of(found, manifest).map_err(|e| e.to_string())
}

fn entry_of(at: usize, entry: &Entry, manifest: &Manifest) -> Check {
    let named = |why: String| format!("question {at}: {why}");
    question(entry).map_err(named)?;
    steps(entry, manifest).map_err(named)
}

/// What is asked is what the task answers.
fn question(entry: &Entry) -> Check {
    names::inside(&entry.file)?;
    hold(!entry.name.is_empty(), || "it has no name".into())?;
    printable("name", &entry.name)?;
    let task = Task::by_name(&entry.task);
    let task = task.ok_or_else(|| format!("there is no task {:?}", entry.task))?;
    let source = match (&entry.text, entry.sample_rate) {
        (Some(text), None) if !text.trim().is_empty() => Source::Text,
        (None, Some(_)) => Source::Audio,
        _ => return Err("it is neither a text with words nor a sound with a sample rate".into()),
    };
    hold(task.source() == source, || {
        format!("{} does not answer questions of its kind", entry.task)
    })
}

fn steps(entry: &Entry, manifest: &Manifest) -> Check {
    let (most, length) = (entry.max_steps, manifest.decoder.max_length);
    hold((1..=most.min(length)).contains(&entry.steps), || {
        format!(
            "its steps are {}, with max_steps {most} and a model of {length} positions",
            entry.steps
        )
    })?;
    hold(entry.answer.steps <= entry.steps, || {
        format!(
            "its answer has {} steps, and {} at most were allowed",
            entry.answer.steps, entry.steps
        )
    })
}

/// The arrays of a question, each against the others.
pub(super) fn arrays(recorded: &Recorded, recording: &Recording) -> Check {
    let manifest = &recording.manifest;
    let (taken, kept, most) = (recorded.ids.len(), recorded.said.steps, recorded.steps);
    hold((kept.max(1)..=most).contains(&taken), || {
        format!("it has ids of {taken} steps, and an answer of {kept} of at most {most}")
    })?;
    prompt(recorded, manifest)?;
    logits(recorded, manifest)?;
    spoken(recorded, manifest)?;
    let (Question::Audio(pcm), Some(mel), Some(features)) =
        (&recorded.question, &recorded.mel, &recorded.features)
    else {
        return Ok(());
    };
    let window = window(&recording.model.encoder_window, manifest)?;
    heard(pcm, (mel, features), window, manifest)
}

/// Whether a stream has such an id.
pub(super) fn is_id(stream: usize, id: i64, manifest: &Manifest) -> bool {
    let ids = &manifest.ids;
    let of = match stream == ids.audio_streams {
        true => ids.text_vocab_size,
        false => ids.audio_vocab_size,
    };
    (0..of as i64).contains(&id)
}

fn prompt(recorded: &Recorded, manifest: &Manifest) -> Check {
    let prompt = &recorded.prompt;
    hold(!prompt.shared[0].is_empty(), || {
        "its prompt has no column".into()
    })?;
    let shared = prompt.shared.iter().enumerate();
    let shared = shared.flat_map(|(stream, ids)| ids.iter().map(move |&id| (stream, id)));
    let marks = prompt
        .marks
        .iter()
        .flat_map(|row| row.iter().copied().enumerate());
    match shared
        .chain(marks)
        .find(|&(stream, id)| !is_id(stream, id, manifest))
    {
        Some((stream, id)) => Err(format!(
            "its prompt has {id} in stream {stream}, which is no id"
        )),
        None => Ok(()),
    }
}

/// Logits are those of steps of the answer, and say its ids.
fn logits(recorded: &Recorded, manifest: &Manifest) -> Check {
    let (streams, width) = (manifest.ids.audio_streams, manifest.ids.audio_vocab_size);
    for logits in &recorded.logits {
        let step = logits.step;
        let said = recorded.ids.get(step);
        let said = said.ok_or_else(|| format!("it has logits of step {step}, and no such step"))?;
        let audio = logits
            .audio
            .iter()
            .flat_map(|audio| audio.chunks_exact(width))
            .enumerate();
        let text = logits.text.iter().map(|text| (streams, text.as_slice()));
        for (stream, logits) in audio.chain(text) {
            hold(said[stream] == Some(argmax(logits) as i64), || {
                format!("its logits of step {step}, stream {stream}, do not say its id")
            })?;
        }
    }
    Ok(())
}

/// Frames are codes, not more than steps, and the sound is as long as they are.
fn spoken(recorded: &Recorded, manifest: &Manifest) -> Check {
    let (frames, codec) = (&recorded.frames, &manifest.codec);
    let n = frames.len();
    let most = if recorded.protocol.task.speaks() {
        recorded.ids.len()
    } else {
        0
    };
    hold(n <= most, || {
        format!("it has {n} frames, and its steps make {most} at most")
    })?;
    let codes = 0..codec.codebook_size as i64;
    for (at, frame) in frames.iter().enumerate() {
        if let Some(id) = frame.ids().iter().find(|id| !codes.contains(id)) {
            return Err(format!("frame {at} has {id}, which is no code"));
        }
    }
    let (found, expected) = (
        recorded.sound.len(),
        n.saturating_mul(codec.samples_per_frame),
    );
    hold(found == expected, || {
        format!("its sound has {found} samples, and its frames make {expected}")
    })
}

/// Spectrogram and features are as long as the question is in that window.
fn heard(
    pcm: &Pcm,
    (mel, features): (&Array2<f32>, &Array2<f32>),
    window: EncoderWindow,
    manifest: &Manifest,
) -> Check {
    let dims = &manifest.mel;
    hold(pcm.seconds() <= dims.max_seconds as f64, || {
        format!(
            "its question lasts longer than the {} s that the model hears",
            dims.max_seconds
        )
    })?;
    let clip = audio::resample(pcm, dims.sample_rate).map_err(|e| e.to_string())?;
    let n_samples = clip.samples().len();
    let n_features = mel::n_features(dims, n_samples).min(dims.max_features());
    let clip = Clip {
        n_samples,
        n_features,
    };
    let frames = Window::of(dims, manifest.merged_window.as_ref(), window, clip).frames;
    let found = (mel.ncols(), features.nrows());
    hold(found == (frames, n_features), || {
        format!(
            "it has {} mel frames and {} features; its question, at that sample rate and in the {} window, has {frames} and {n_features}",
            found.0,
            found.1,
            window.name()
        )
    })
}

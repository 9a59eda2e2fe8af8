//! `mini-omni inspect`: the model as a table, its files checked on request.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use mini_omni::Kernels;
use mini_omni::model::{GraphSpec, Manifest, TensorSpec, Weights};

use super::terminal::print;

#[derive(Args)]
pub struct Inspect {
    /// The model folder
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// Read every file and compare it with its sha256
    #[arg(long)]
    verify: bool,
}

impl Inspect {
    pub fn run(&self) -> Result<ExitCode> {
        let manifest = Manifest::load(&self.model_dir)?;
        print(&table(&manifest))?;
        if self.verify {
            let differing = manifest.verify(&self.model_dir)?;
            if !differing.is_empty() {
                bail!(
                    "{} differ from the manifest's sha256; copy or export the model again",
                    differing.join(", ")
                );
            }
            print(&format!(
                "verified     {} files, all that the manifest and the graphs name, each as the manifest says
",
                manifest.files.len()
            ))?;
            for name in manifest.unlisted(&self.model_dir)? {
                print(&format!(
                    "not listed   {name}, no part of the model
"
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(m: &Manifest) -> String {
    let noise = if m.weights == Weights::Random {
        " (its speech is noise)"
    } else {
        ""
    };
    let mut rows = vec![
        (
            "model",
            format!("{}, {:?} weights{noise}", m.name, m.weights).to_lowercase(),
        ),
        (
            "exporter",
            format!(
                "{} {}, opset {}",
                m.exporter.name, m.exporter.version, m.exporter.opset
            ),
        ),
        ("profile", m.profile.clone()),
        (
            "precision",
            format!(
                "encoder {}, decoder {}, codec {}",
                m.precision.encoder, m.precision.decoder, m.precision.codec
            ),
        ),
        (
            "decoder",
            format!(
                "{} layers of {}, {} heads, {} key/value heads of {}, {} positions",
                m.decoder.n_layer,
                m.decoder.n_embd,
                m.decoder.n_head,
                m.decoder.n_kv_head,
                m.decoder.head_size,
                m.decoder.max_length
            ),
        ),
        (
            "vocabulary",
            format!(
                "{} text ids, {} streams of {} audio ids",
                m.ids.text_vocab_size, m.ids.audio_streams, m.ids.audio_vocab_size
            ),
        ),
        (
            "sound in",
            format!(
                "{} Hz, {} mels, up to {} s",
                m.mel.sample_rate, m.mel.n_mels, m.mel.max_seconds
            ),
        ),
        (
            "sound out",
            format!(
                "{} Hz, {} samples a frame ({:.1} ms)",
                m.codec.sample_rate,
                m.codec.samples_per_frame,
                m.codec.samples_per_frame as f64 * 1000.0 / f64::from(m.codec.sample_rate)
            ),
        ),
        ("hash", m.hash()),
        ("kernels", kernels()),
    ];
    for source in &m.source {
        rows.push((
            "made from",
            format!(
                "{} ({}, {})",
                source.name,
                size(source.bytes),
                &source.sha256
            ),
        ));
    }
    for file in &m.files {
        let licence = file
            .licence
            .as_ref()
            .map_or(String::new(), |l| format!(", {l}"));
        rows.push((
            "file",
            format!("{:<24} {:>10}{licence}", file.name, size(file.bytes)),
        ));
    }
    let mut text: String = rows
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}\n"))
        .collect();
    let graphs = &m.graphs;
    for (name, graph) in [
        ("encoder", &graphs.encoder),
        ("decoder", &graphs.decoder),
        ("codec decoder", &graphs.codec_decoder),
        ("codec encoder", &graphs.codec_encoder),
    ] {
        text += &format!("graph        {name}: {}\n", signature(graph));
    }
    text
}

/// What computes on this processor, and what else could.
fn kernels() -> String {
    let best = Kernels::best();
    let here = Kernels::ALL
        .into_iter()
        .filter(|other| other.is_here() && *other != best);
    let others: Vec<_> = here.map(Kernels::name).collect();
    format!("{}; by --kernels also {}", best.name(), others.join(", "))
}

/// Inputs and outputs, without the many that carry state.
fn signature(graph: &GraphSpec) -> String {
    let list = |tensors: &[TensorSpec]| {
        let shown: Vec<_> = tensors
            .iter()
            .filter(|t| !t.name.starts_with("past_") && !t.name.starts_with("present"))
            .map(|t| {
                let dims: Vec<_> = t.shape.iter().map(ToString::to_string).collect();
                format!("{} {}[{}]", t.name, t.dtype, dims.join(", "))
            })
            .collect();
        shown.join(", ")
    };
    format!("{} -> {}", list(&graph.inputs), list(&graph.outputs))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

//! Where inside a graph two models first leave each other.
//!
//! Both graphs are opened again with some of the values inside them among their outputs, a piece at a
//! time so that memory stays bounded, and are given what the reference gave its own: its spectrogram,
//! its prompt and features, its ids, its frames. The engine runs them as it runs any answer. Values
//! are matched by the weights of their nodes (`matching`), so that graphs of two precisions or profiles
//! can be compared, too; what only one of them has is passed over and named.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;

use super::drift::Look;
use super::matching::{keyed, stands_for, unmatched};
use super::measure::Energy;
use super::pass::{Pass, ReadQuestion};
use super::side::{CODEC_CHUNK, KeptFrames, NOISE, Side, taken};
use super::stage::{Stage, StageDrift, beyond, first_fault};
use super::{Comparison, Protocol};
use crate::ask::Question;
use crate::decoding::delay::Frame;
use crate::decoding::generation::Step;
use crate::engine::front_end::Prepared;
use crate::engine::window::all;
use crate::engine::{Prefill, Sink};
use crate::error::{Error, Result};
use crate::graph::{CodecDecoder, Decoder, Encoder};
use crate::model::inside::{GraphNode, nodes};
use crate::model::manifest::GraphSpec;

/// Values asked for at once: of a published model's encoder some hundred MB.
const PIECE: usize = 24;

/// The first place at which the candidate leaves the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Located {
    /// The stage at fault.
    pub stage: Stage,
    /// The graph it is computed by; `None` where it is no graph.
    pub graph: Option<String>,
    /// The node whose output leaves the band; without a graph the field, frame or column.
    pub place: String,
    /// The node's operator.
    pub operator: Option<String>,
    /// Its weights.
    pub weights: Vec<String>,
    /// Of its output; of all stages the same figure.
    pub error: f64,
    /// Values that were compared before it and are within the band.
    pub within: usize,
    /// Nodes right before it that the reference's graph does not have by these names.
    pub unmatched: Vec<String>,
}

/// What a graph is given: what the reference gave its own.
enum Given<'a> {
    /// A spectrogram.
    Mel,
    /// All columns of the prompt but its marks.
    Prompt,
    /// The ids of so many steps behind it; the last pass is looked into.
    Steps(&'a [Step]),
    /// The first frames of the answer.
    Frames(&'a [Frame]),
}

/// Looks into the first stage of `comparison` at fault; `None` where no stage is, or where no single
/// value of the stage leaves the band.
pub fn locate(
    reference: &mut Side,
    candidate: &mut Side,
    (question, protocol): (&Question, Protocol),
    comparison: &Comparison,
    band: f64,
) -> Result<Option<Located>> {
    let Some(fault) = first_fault(&comparison.stages, band) else {
        return Ok(None);
    };
    let mut search = Search {
        stage: fault.stage,
        reads: [
            reference.read(question, protocol)?,
            candidate.read(question, protocol)?,
        ],
        sides: [reference, candidate],
        protocol,
        band,
    };
    match fault.stage {
        Stage::Rules | Stage::Mel | Stage::Prompt | Stage::Frames => Ok(Some(outside(fault))),
        Stage::Features => search.within(&Given::Mel),
        Stage::PromptLogits => match search.within(&Given::Prompt)? {
            Some(located) => Ok(Some(located)),
            None => search.within(&Given::Steps(&[])),
        },
        Stage::StepLogits => {
            let errors = &comparison.teacher_forced.errors;
            let steps = errors.iter().position(|&error| beyond(error, band));
            let (steps, _) = search.said(steps.unwrap_or(0))?;
            search.within(&Given::Steps(&steps))
        }
        Stage::Sound => {
            let (_, mut frames) = search.said(usize::MAX)?;
            frames.truncate(CODEC_CHUNK);
            search.within(&Given::Frames(&frames))
        }
    }
}

/// A fault outside every graph has its place already.
fn outside(fault: &StageDrift) -> Located {
    Located {
        stage: fault.stage,
        graph: None,
        place: fault.at.clone().unwrap_or_default(),
        operator: None,
        weights: Vec::new(),
        error: fault.error,
        within: 0,
        unmatched: Vec::new(),
    }
}

/// Reference and candidate, each with what it has read.
struct Search<'a> {
    stage: Stage,
    sides: [&'a mut Side; 2],
    reads: [ReadQuestion; 2],
    protocol: Protocol,
    band: f64,
}

type Values = HashMap<String, Vec<f32>>;

impl Search<'_> {
    /// The reference's first steps and the frames that they make.
    fn said(&mut self, most: usize) -> Result<(Vec<Step>, Vec<Frame>)> {
        let (side, read, kept) = (&mut self.sides[0], &self.reads[0], KeptFrames::default());
        let ids = side.omni.manifest.ids.clone();
        let mut pass = side.pass(read, self.protocol, read.prepared.steps, &kept)?;
        let mut steps = Vec::new();
        while steps.len() < most
            && let Some(logits) = pass.look()?
        {
            let step = Look::at(logits, &ids).step(&ids);
            pass.take(&step);
            steps.push(step);
        }
        drop(pass);
        Ok((steps, taken(kept)))
    }

    /// The first node of the stage's graph whose output leaves the band.
    fn within(&self, given: &Given) -> Result<Option<Located>> {
        let [ours, theirs] = [self.nodes(0, given)?, self.nodes(1, given)?];
        let known: HashMap<String, String> = keyed(&ours).collect();
        let shared: Vec<(String, String)> = keyed(&theirs)
            .filter_map(|(key, theirs)| Some((known.get(&key)?.clone(), theirs)))
            .collect();
        let mut within = 0;
        for piece in shared.chunks(PIECE) {
            let (ours, names): (Vec<String>, Vec<String>) = piece.iter().cloned().unzip();
            let reference = self.values(0, given, &ours)?;
            let candidate = self.values(1, given, &names)?;
            for (our, name) in piece {
                let (Some(a), Some(b)) = (reference.get(our), candidate.get(name)) else {
                    continue;
                };
                let error = error(a, b);
                if !beyond(error, self.band) {
                    within += 1;
                    continue;
                }
                let place = theirs.iter().position(|node| node.outputs.contains(name));
                let place = place.map(|at| stands_for(&theirs, at));
                return Ok(place.map(|at| Located {
                    stage: self.stage,
                    graph: Some(self.spec(1, given).file.clone()),
                    place: theirs[at].name.clone(),
                    operator: Some(theirs[at].operator.clone()),
                    weights: theirs[at].weights.clone(),
                    error,
                    within,
                    unmatched: unmatched(&theirs[..at], &shared),
                }));
            }
        }
        Ok(None)
    }

    fn spec(&self, side: usize, given: &Given) -> &GraphSpec {
        let graphs = &self.sides[side].omni.manifest.graphs;
        match given {
            Given::Mel => &graphs.encoder,
            Given::Prompt | Given::Steps(_) => &graphs.decoder,
            Given::Frames(_) => &graphs.codec_decoder,
        }
    }

    fn nodes(&self, side: usize, given: &Given) -> Result<Vec<GraphNode>> {
        let (_, folder) = self.sides[side].omni.place();
        let path = folder.join(&self.spec(side, given).file);
        let read = std::fs::read(&path).and_then(|graph| nodes(&graph));
        read.map_err(Error::unreadable(path))
    }

    /// What one side computes of the values `names`.
    fn values(&self, side: usize, given: &Given, names: &[String]) -> Result<Values> {
        let omni = &self.sides[side].omni;
        let ((runtime, folder), manifest) = (omni.place(), &*omni.manifest);
        let values = match given {
            Given::Mel => {
                let mut encoder = Encoder::open_inside(runtime, folder, manifest, names)?;
                let read = &self.reads[0];
                if let (Some(mel), Some(features)) = (&read.mel, &read.prepared.features) {
                    // A reference without a merged window has each position for itself.
                    let n = mel.ncols() / manifest.mel.frames_per_feature;
                    let known = read.positions.clone().unwrap_or_else(|| all(n));
                    let positions = manifest.merged_window.is_some().then_some(&known);
                    encoder.encode(mel.view(), features.n(), positions)?;
                }
                encoder.inside.take()
            }
            Given::Prompt => {
                let mut decoder = Decoder::open_inside(runtime, folder, manifest, names)?;
                let (sink, _answer) = Sink::new(Instant::now(), None);
                let prepared = again(&self.reads[0].prepared);
                let mut prefill = Prefill::new(&decoder, prepared, None)?;
                prefill.advance(&mut decoder, usize::MAX, &sink)?;
                decoder.inside.take()
            }
            Given::Steps(steps) => {
                let mut decoder = Decoder::open_inside(runtime, folder, manifest, names)?;
                self.step(side, &mut decoder, steps)?;
                decoder.inside.take()
            }
            Given::Frames(frames) => {
                let place = (folder, manifest);
                let mut codec = CodecDecoder::open_inside(runtime, place, 1, names)?;
                let mut state = codec.start(NOISE)?;
                codec.decode(&mut state, frames)?;
                codec.inside.take()
            }
        };
        Ok(values.into_iter().collect())
    }

    /// Goes through `steps` behind what the side itself has read, and takes one pass more.
    fn step(&self, side: usize, decoder: &mut Decoder, steps: &[Step]) -> Result<()> {
        let (side, read, kept) = (&self.sides[side], &self.reads[side], KeptFrames::default());
        let options = side.options(self.protocol);
        let parts = (&*side.omni.manifest, &*side.omni.tokenizer, decoder);
        let mut pass = Pass::start(parts, &options, read, read.prepared.steps, &kept)?;
        for step in steps {
            pass.look()?;
            pass.take(step);
        }
        pass.look().map(drop)
    }
}

/// The same prompt, to be read once more.
fn again(prepared: &Prepared) -> Prepared {
    Prepared {
        prompt: prepared.prompt.clone(),
        features: prepared.features.clone(),
        steps: prepared.steps,
    }
}

/// Values of other sizes are as far apart as can be.
fn error(reference: &[f32], candidate: &[f32]) -> f64 {
    match reference.len() == candidate.len() {
        true => Energy::of(reference, candidate).error(),
        false => f64::NAN,
    }
}

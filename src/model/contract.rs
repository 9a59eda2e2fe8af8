//! What the runtime gives to each graph and takes from it, by name, type and shape.
//!
//! The runtime makes buffers and reads tensors by the sizes in the manifest. Here those sizes are held
//! against the inputs and outputs that the manifest writes down for each graph, and `graph::session`
//! holds these against the graph itself: a model whose parts disagree is refused before it runs.

use super::manifest::{Dim, GraphSpec, KvLayout, Manifest, TensorSpec};

type Check = std::result::Result<(), String>;

/// What a codec's remembered inputs are called, going in and coming out.
pub(crate) const STATE_IN: &str = "past_state.";
pub(crate) const STATE_OUT: &str = "present_state.";
/// Values that a codec may remember, 64 MiB: 300 times the published one's.
const MOST_STATE: i64 = 1 << 24;
/// A dimension's name that says how many there are of it in a frame.
const IN_A_FRAME: &str = "frames_x";

/// A tensor as the runtime makes or reads it; a dimension of `None` differs from call to call.
struct Wanted {
    name: String,
    dtype: &'static str,
    shape: Vec<Option<usize>>,
}

fn wanted(name: impl Into<String>, dtype: &'static str, shape: &[Option<usize>]) -> Wanted {
    Wanted {
        name: name.into(),
        dtype,
        shape: shape.to_vec(),
    }
}

/// Every graph must take and give exactly what the runtime does, in the manifest's sizes.
pub(super) fn graphs(manifest: &Manifest) -> Check {
    let graphs = &manifest.graphs;
    hold("encoder", &graphs.encoder, &encoder(manifest))?;
    hold("decoder", &graphs.decoder, &decoder(manifest))?;
    let spec = &graphs.codec_decoder;
    state(spec)?;
    frame_rates(manifest)?;
    hold("codec_decoder", spec, &codec(manifest))
}

/// Inputs, then outputs.
type Sides = [Vec<Wanted>; 2];

fn encoder(m: &Manifest) -> Sides {
    let mel = [Some(1), Some(m.mel.n_mels), None];
    let features = [None, Some(m.decoder.n_embd)];
    let mut inputs = vec![
        wanted("mel", "float32", &mel),
        wanted("n_features", "int64", &[Some(1)]),
    ];
    if m.merged_window.is_some() {
        inputs.extend([
            wanted("rows", "int64", &[None]),
            wanted("kept", "int64", &[None]),
            wanted("log_counts", "float32", &[None]),
        ]);
    }
    [inputs, vec![wanted("audio_features", "float32", &features)]]
}

fn decoder(m: &Manifest) -> Sides {
    let (ids, d) = (&m.ids, &m.decoder);
    let audio = [None, Some(ids.audio_streams), Some(ids.audio_vocab_size)];
    let features = [None, None, Some(d.n_embd)];
    let mut inputs = vec![
        wanted("ids", "int64", &[None, Some(ids.streams()), None]),
        wanted("audio_features", "float32", &features),
        wanted("audio_feature_mask", "float32", &[None, None, Some(1)]),
        wanted("text_rows", "int64", &[None]),
        wanted("audio_rows", "int64", &[None]),
    ];
    inputs.extend(positions(d.kv_cache));
    let text = [None, Some(ids.text_vocab_size)];
    let mut outputs = vec![
        wanted("text_logits", "float32", &text),
        wanted("audio_logits", "float32", &audio),
    ];
    let kv = [None, Some(d.n_kv_head), None, Some(d.head_size)];
    for (past, present) in kv_names(d.n_layer) {
        inputs.push(wanted(past, d.cache_dtype.name(), &kv));
        outputs.push(wanted(present, d.cache_dtype.name(), &kv));
    }
    [inputs, outputs]
}

/// How a decoder is told where each row stands.
fn positions(layout: KvLayout) -> [Wanted; 2] {
    match layout {
        KvLayout::Shared => [
            wanted("seqlens_k", "int32", &[None]),
            wanted("total_sequence_length", "int32", &[]),
        ],
        KvLayout::Concat => [
            wanted("position_ids", "int64", &[None, None]),
            wanted("attention_bias", "float32", &[None, Some(1), None, None]),
        ],
    }
}

/// Past and present of each layer's keys, then values.
pub(crate) fn kv_names(n_layer: usize) -> impl Iterator<Item = (String, String)> {
    (0..n_layer)
        .flat_map(|layer| ["key", "value"].map(|kind| (layer, kind)))
        .map(|(layer, kind)| {
            (
                format!("past_key_values.{layer}.{kind}"),
                format!("present.{layer}.{kind}"),
            )
        })
}

fn codec(m: &Manifest) -> Sides {
    let levels = 0..m.codec.level_strides.len();
    let blocks = 0..m.codec.noise.len();
    let noise = [Some(1), Some(1), None];
    let mut inputs = vec![
        wanted("frames_before", "int64", &[Some(1)]),
        wanted("clip_frames", "int64", &[Some(1)]),
    ];
    inputs.extend(levels.map(|i| wanted(format!("codes_{i}"), "int64", &[Some(1), None])));
    inputs.extend(blocks.map(|i| wanted(format!("noise_{i}"), "float32", &noise)));
    let mut outputs = vec![wanted("pcm", "float32", &[Some(1), None])];
    for spec in states(&m.graphs.codec_decoder) {
        let shape: Vec<_> = spec.shape.iter().map(fixed).collect();
        inputs.push(wanted(&spec.name, "float32", &shape));
        let name = spec.name.replacen(STATE_IN, STATE_OUT, 1);
        outputs.push(wanted(name, "float32", &shape));
    }
    [inputs, outputs]
}

fn states(spec: &GraphSpec) -> impl Iterator<Item = &TensorSpec> {
    let is_state = |input: &&TensorSpec| input.name.starts_with(STATE_IN);
    spec.inputs.iter().filter(is_state)
}

fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(n) => usize::try_from(*n).ok(),
        Dim::Named(_) => None,
    }
}

/// What the codec remembers has one size, and not an absurd one: the runtime makes it full of zeros.
fn state(spec: &GraphSpec) -> Check {
    let mut values: i64 = 0;
    for input in states(spec) {
        let size = input.shape.iter().try_fold(1i64, |size, dim| match dim {
            Dim::Fixed(n) if *n > 0 => size.checked_mul(*n),
            _ => None,
        });
        values = size
            .and_then(|size| values.checked_add(size))
            .filter(|&values| values <= MOST_STATE)
            .ok_or_else(|| {
                let shape = shape(&input.shape);
                format!(
                    "graphs.codec_decoder remembers {} {shape}; each dimension must be a number above 0, and all of them together {MOST_STATE} values at most",
                    input.name
                )
            })?;
    }
    Ok(())
}

/// Where a dimension's name says how many there are in a frame, the codec's sizes say the same.
fn frame_rates(m: &Manifest) -> Check {
    let codes = (0..m.codec.level_strides.len())
        .map(|level| (format!("codes_{level}"), m.codec.codes_per_frame(level)));
    let draws = m.codec.noise.iter().enumerate();
    let draws = draws.map(|(block, noise)| (format!("noise_{block}"), noise.per_frame));
    for (name, expected) in codes.chain(draws) {
        let inputs = &m.graphs.codec_decoder.inputs;
        let input = inputs.iter().find(|input| input.name == name);
        let last = input.and_then(|input| input.shape.last());
        let Some(Dim::Named(dim)) = last else {
            continue; // `hold` says what is wrong with it
        };
        let found = dim.strip_prefix(IN_A_FRAME).map(str::parse::<usize>);
        if found.is_some_and(|found| found != Ok(expected)) {
            return Err(format!(
                "graphs.codec_decoder takes {dim} of {name}, the codec's sizes make {expected} a frame"
            ));
        }
    }
    Ok(())
}

fn hold(graph: &str, spec: &GraphSpec, [inputs, outputs]: &Sides) -> Check {
    hold_side(graph, "input", &spec.inputs, inputs)?;
    hold_side(graph, "output", &spec.outputs, outputs)
}

fn hold_side(graph: &str, side: &str, found: &[TensorSpec], wanted: &[Wanted]) -> Check {
    for want in wanted {
        let mut same = found.iter().filter(|spec| spec.name == want.name);
        let (Some(spec), None) = (same.next(), same.next()) else {
            return Err(format!(
                "graphs.{graph} must have one {side} {}, and has none or several",
                want.name
            ));
        };
        if !fits(spec, want) {
            return Err(format!(
                "graphs.{graph} has the {side} {} as {} {}, the manifest's sizes make it {} {}",
                spec.name,
                spec.dtype,
                shape(&spec.shape),
                want.dtype,
                wanted_shape(&want.shape)
            ));
        }
    }
    let known = |spec: &&TensorSpec| wanted.iter().any(|want| want.name == spec.name);
    match found.iter().find(|spec| !known(spec)) {
        Some(spec) => Err(format!(
            "graphs.{graph} has the {side} {}, which this runtime does not know",
            spec.name
        )),
        None => Ok(()),
    }
}

fn fits(spec: &TensorSpec, want: &Wanted) -> bool {
    let same = |(dim, size): (&Dim, &Option<usize>)| match (dim, size) {
        (Dim::Fixed(found), Some(size)) => usize::try_from(*found) == Ok(*size),
        (Dim::Named(_), None) => true,
        _ => false,
    };
    spec.dtype == want.dtype
        && spec.shape.len() == want.shape.len()
        && spec.shape.iter().zip(&want.shape).all(same)
}

/// As in "[batch, 8, seq]".
pub(crate) fn shape(dims: &[Dim]) -> String {
    let dims: Vec<_> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(", "))
}

fn wanted_shape(dims: &[Option<usize>]) -> String {
    let text = |dim: &Option<usize>| dim.map_or("a name".to_string(), |n| n.to_string());
    let dims: Vec<_> = dims.iter().map(text).collect();
    format!("[{}]", dims.join(", "))
}

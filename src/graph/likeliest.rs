//! The likeliest id of each stream, chosen where the logits are: an id crosses to the host in place of
//! a vocabulary of logits.

use ort::session::{IoBinding, Session};
use ort::value::{Tensor, TensorElementType};

use super::call::{Ids, Limits};
use super::place::{Input, Place, What};
use super::runtime::Runtime;
use super::session;
use super::sketch::Sketch;
use crate::decoding::sampling::{all_finite, argmax};

/// In place of an id where logits are not finite numbers.
pub(crate) const NOT_FINITE: i64 = -1;

/// Dimensions of the logits, the last of them the vocabulary.
const HEADS: [(&str, usize); 2] = [("text", 2), ("audio", 3)];

/// The graph that chooses, for both heads.
pub(super) struct Likeliest {
    session: Session,
    place: Place,
}

/// A choice among the logits of one place, made as often as they are computed there.
pub(super) struct Choice {
    binding: IoBinding,
    /// The first ids that may be chosen, one a row of the head.
    limits: [Input<i64>; 2],
}

impl Likeliest {
    pub fn open(runtime: &Runtime, place: &Place) -> ort::Result<Likeliest> {
        Ok(Likeliest {
            session: sketch(runtime)?,
            place: place.clone(),
        })
    }

    /// Among the logits of the text head and of the audio heads, a row of each at least.
    pub fn among(&self, logits: [&Tensor<f32>; 2]) -> ort::Result<Choice> {
        let limits = |i: usize| {
            let mut shape = vec![1; HEADS[i].1];
            shape[0] = logits[i].shape()[0] as usize;
            Input::zeros(&self.place, &self.session, &shape)
        };
        let limits = [limits(0)?, limits(1)?];
        let mut binding = self.session.create_binding()?;
        for (i, (head, _)) in HEADS.iter().enumerate() {
            binding.bind_input(format!("{head}.logits"), logits[i])?;
            binding.bind_input(format!("{head}.limits"), limits[i].bound())?;
            binding.bind_output_to_device(*head, &Place::host_info()?)?;
        }
        Ok(Choice { binding, limits })
    }

    /// Of each stream the first of the largest among the first ids that its head's limit allows, or
    /// [`NOT_FINITE`]. A head without limits says nothing.
    pub fn choose(&mut self, choice: &mut Choice, limits: &Limits) -> ort::Result<Ids> {
        let limits = [&limits.text, &limits.audio];
        for (input, limits) in choice.limits.iter_mut().zip(limits) {
            // They hardly ever change from step to step.
            if !limits.is_empty() && input.values() != &limits[..] {
                input.write(|input| input.copy_from_slice(limits))?;
            }
        }
        let outputs = self.session.run_binding(&choice.binding)?;
        let said = |i: usize| -> ort::Result<Vec<i64>> {
            if limits[i].is_empty() {
                return Ok(Vec::new());
            }
            let ids = session::output(&outputs, HEADS[i].0)?;
            let ids = ids.try_extract_tensor::<i64>()?.1.to_vec();
            self.place.note_read(What::Ids, size_of_val(&ids[..]));
            Ok(ids)
        };
        Ok(Ids {
            text: said(0)?,
            audio: said(1)?,
        })
    }
}

/// On the host: the likeliest id of each of the heads' streams.
pub(super) fn argmaxima(logits: &[f32], limits: &[i64], streams: usize) -> Vec<i64> {
    let n = (logits.len() / (limits.len() * streams).max(1)).max(1);
    let limits = limits
        .iter()
        .flat_map(|&limit| std::iter::repeat_n(limit, streams));
    let choose = |(logits, limit): (&[f32], i64)| match all_finite(logits) {
        true => argmax(&logits[..limit as usize]) as i64,
        false => NOT_FINITE,
    };
    logits.chunks_exact(n).zip(limits).map(choose).collect()
}

fn sketch(runtime: &Runtime) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    graph.constant("zero", &[0i64])?;
    graph.constant("one", &[1i64])?;
    graph.constant("nothing", &[0f32])?;
    graph.constant("least", &[f32::NEG_INFINITY])?;
    graph.constant("behind", &[i64::MAX])?;
    graph.constant("none", &[NOT_FINITE])?;
    graph.constant_of("last", &[1], &[-1i64])?;
    for (head, rank) in HEADS {
        let chosen = chosen(&mut graph, head, rank)?;
        graph.output(head, &chosen, (TensorElementType::Int64, rank - 1))?;
    }
    graph.open(runtime)
}

/// By the largest value and where it comes first, so that equals are ordered on every device.
fn chosen(graph: &mut Sketch, head: &str, rank: usize) -> ort::Result<String> {
    let [logits, limits] = ["logits", "limits"].map(|what| format!("{head}.{what}"));
    graph.input(&logits, TensorElementType::Float32, rank);
    graph.input(&limits, TensorElementType::Int64, rank);
    let keep = [("keepdims", 1)];
    let drop = [("keepdims", 0)];

    let size = graph.node("Shape", &[&logits], &[("start", -1)])?;
    let size = graph.node("Squeeze", &[&size], &[])?;
    let ids = graph.node("Range", &["zero", &size, "one"], &[])?;
    let allowed = graph.node("Less", &[&ids, &limits], &[])?;
    let among = graph.node("Where", &[&allowed, &logits, "least"], &[])?;
    let largest = graph.node("ReduceMax", &[&among, "last"], &keep)?;
    let equal = graph.node("Equal", &[&among, &largest], &[])?;
    let places = graph.node("Where", &[&equal, &ids, "behind"], &[])?;
    let first = graph.node("ReduceMin", &[&places, "last"], &drop)?;
    // Zero times anything finite is zero, and times all else not a number.
    let zeros = graph.node("Mul", &[&logits, "nothing"], &[])?;
    let sum = graph.node("ReduceSum", &[&zeros, "last"], &drop)?;
    let finite = graph.node("Equal", &[&sum, "nothing"], &[])?;
    graph.node("Where", &[&finite, &first, "none"], &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Provider;

    /// The ids of [heads, streams, vocabulary].
    fn chosen(shape: [usize; 3], logits: Vec<f32>, limits: &[i64]) -> Vec<i64> {
        let runtime = Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime");
        let runtime = runtime.apart();
        let mut likeliest = Likeliest::open(&runtime, &runtime.place()).expect("a graph");
        let logits = Tensor::from_array((shape, logits)).expect("a tensor");
        let text = Tensor::from_array(([1, 3], vec![0f32, 2.0, 1.0])).expect("a tensor");
        let mut choice = likeliest.among([&text, &logits]).expect("a choice");
        let limits = |text: &[i64]| Limits {
            text: text.to_vec(),
            audio: limits.to_vec(),
        };
        let both = likeliest.choose(&mut choice, &limits(&[3])).expect("ids");
        assert_eq!(both.text, [1]);
        let audio = likeliest.choose(&mut choice, &limits(&[])).expect("ids");
        assert_eq!((audio.text, &audio.audio), (vec![], &both.audio));
        let n = both.audio.len();
        assert_eq!(runtime.crossed().read(What::Ids), 8 * (1 + 2 * n));
        both.audio
    }

    #[test]
    fn it_is_the_first_of_the_largest_as_the_host_says() {
        let mut logits: Vec<f32> = (0..3 * 7 * 500).map(|i| (i as f32 * 1.7).sin()).collect();
        (logits[40], logits[400]) = (3.0, 3.0);
        let expected: Vec<i64> = logits.chunks(500).map(|one| argmax(one) as i64).collect();
        assert_eq!(expected[0], 40);
        assert_eq!(chosen([3, 7, 500], logits, &[500; 3]), expected);
    }

    #[test]
    fn a_head_chooses_below_its_limit() {
        let logits: Vec<f32> = (0..2 * 100).map(|i| (i % 100) as f32).collect();
        assert_eq!(chosen([2, 1, 100], logits, &[60, 100]), [59, 99]);
    }

    #[test]
    fn what_is_not_finite_is_no_id() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut logits = vec![1.0; 2 * 300];
            logits[299] = bad;
            assert_eq!(chosen([2, 1, 300], logits, &[300; 2]), [NOT_FINITE, 0]);
        }
    }
}

//! The likeliest id of each stream, chosen where the logits are: an id crosses to the host in place of
//! a vocabulary of logits.

use ort::session::Session;
use ort::value::{Tensor, TensorElementType};

use super::place::{Place, What};
use super::runtime::Runtime;
use super::sketch::Sketch;

/// In place of an id where logits are not finite numbers.
pub(crate) const NOT_FINITE: i64 = -1;

/// The graph of one kind of head.
pub(super) struct Likeliest {
    session: Session,
    place: Place,
}

impl Likeliest {
    /// For logits of so many dimensions, the last of them the vocabulary.
    pub fn open(runtime: &Runtime, place: &Place, rank: usize) -> ort::Result<Likeliest> {
        Ok(Likeliest {
            session: sketch(runtime, rank)?,
            place: place.clone(),
        })
    }

    /// Of each stream the first of the largest among the first `limits` (one a head), or
    /// [`NOT_FINITE`].
    pub fn choose(&mut self, logits: &Tensor<f32>, limits: &[i64]) -> ort::Result<Vec<i64>> {
        let mut shape = vec![1; logits.shape().len()];
        shape[0] = limits.len();
        let limits = Tensor::from_array((shape, limits.to_vec()))?;
        let mut binding = self.session.create_binding()?;
        binding.bind_input("logits", logits)?;
        self.place.bind(&mut binding, "limits", &limits)?;
        binding.bind_output_to_device("output", &Place::host_info()?)?;
        let outputs = self.session.run_binding(&binding)?;
        let ids = super::session::output(&outputs, "output")?;
        let ids = ids.try_extract_tensor::<i64>()?.1.to_vec();
        self.place.note_read(What::Ids, size_of_val(&ids[..]));
        Ok(ids)
    }
}

/// By the largest value and where it comes first, so that equals are ordered on every device.
fn sketch(runtime: &Runtime, rank: usize) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    let logits = graph.input("logits", TensorElementType::Float32, rank);
    let limits = graph.input("limits", TensorElementType::Int64, rank);
    let zero = graph.constant("zero", &[0i64])?;
    let one = graph.constant("one", &[1i64])?;
    let nothing = graph.constant("nothing", &[0f32])?;
    let least = graph.constant("least", &[f32::NEG_INFINITY])?;
    let behind = graph.constant("behind", &[i64::MAX])?;
    let none = graph.constant("none", &[NOT_FINITE])?;
    let last = graph.constant_of("last", &[1], &[-1i64])?;
    let keep = [("keepdims", 1)];
    let drop = [("keepdims", 0)];

    let size = graph.node("Shape", &[logits], &[("start", -1)])?;
    let size = graph.node("Squeeze", &[&size], &[])?;
    let ids = graph.node("Range", &[&zero, &size, &one], &[])?;
    let allowed = graph.node("Less", &[&ids, limits], &[])?;
    let among = graph.node("Where", &[&allowed, logits, &least], &[])?;
    let largest = graph.node("ReduceMax", &[&among, &last], &keep)?;
    let equal = graph.node("Equal", &[&among, &largest], &[])?;
    let places = graph.node("Where", &[&equal, &ids, &behind], &[])?;
    let first = graph.node("ReduceMin", &[&places, &last], &drop)?;
    // Zero times anything finite is zero, and times all else not a number.
    let zeros = graph.node("Mul", &[logits, &nothing], &[])?;
    let sum = graph.node("ReduceSum", &[&zeros, &last], &drop)?;
    let finite = graph.node("Equal", &[&sum, &nothing], &[])?;
    let chosen = graph.node("Where", &[&finite, &first, &none], &[])?;
    graph.open(runtime, &chosen, (TensorElementType::Int64, rank - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoding::sampling::argmax;
    use crate::graph::Provider;

    /// The ids of [heads, streams, vocabulary].
    fn chosen(shape: [usize; 3], logits: Vec<f32>, limits: &[i64]) -> Vec<i64> {
        let runtime = Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime");
        let runtime = runtime.apart();
        let mut likeliest = Likeliest::open(&runtime, &runtime.place(), 3).expect("a graph");
        let logits = Tensor::from_array((shape, logits)).expect("a tensor");
        let ids = likeliest.choose(&logits, limits).expect("ids");
        assert_eq!(runtime.crossed().read(What::Ids), 8 * ids.len());
        ids
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

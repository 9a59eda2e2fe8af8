//! Rows of a cache and of audio features, moved where they live.
//!
//! A device has no slices: what the host does with `copy_from_slice` small graphs do there. They also
//! serve caches in fp16, whose values the host never looks at.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use ort::session::{IoBinding, Session, SessionOutputs};
use ort::value::{DynTensor, DynValue, TensorElementType};

use super::place::Place;
use super::runtime::Runtime;
use super::sketch::Sketch;

/// Dimensions of a cache's tensor.
const RANK: usize = 4;
/// The dimension that positions run along.
const POSITIONS: i64 = 2;

/// The graphs that move, for tensors of one type.
pub(super) struct Mover {
    zeros: Mutex<Session>,
    one: Mutex<Session>,
    two: Mutex<Session>,
    place: Place,
}

/// Rows to be taken from a tensor, and where their positions go.
pub(super) struct Taken<'t> {
    pub from: &'t DynTensor,
    pub rows: Vec<i64>,
    pub positions: Range<usize>,
    /// Zeros before and behind the positions.
    pub around: [usize; 2],
}

impl Mover {
    pub fn open(runtime: &Runtime, place: &Place, ty: TensorElementType) -> ort::Result<Mover> {
        Ok(Mover {
            zeros: Mutex::new(zeros(runtime, ty)?),
            one: Mutex::new(taking(runtime, ty, &["a"])?),
            two: Mutex::new(taking(runtime, ty, &["a", "b"])?),
            place: place.clone(),
        })
    }

    /// A tensor of zeros.
    pub fn zeros(&self, shape: &[usize]) -> ort::Result<DynTensor> {
        self.run(&self.zeros, |binding| {
            let shape: Vec<_> = shape.iter().map(|&n| n as i64).collect();
            self.place.bind_row(binding, "shape", &shape)
        })
    }

    /// One tensor of the rows of all of `taken`, in their order.
    pub fn take<'t>(&self, mut taken: impl Iterator<Item = Taken<'t>>) -> ort::Result<DynTensor> {
        let first = taken.next();
        let first = first.ok_or_else(|| ort::Error::new("rows of nothing"))?;
        let mut all = self.run(&self.one, |binding| self.bind(binding, "a", &first))?;
        for next in taken {
            let so_far = whole(&all);
            all = self.run(&self.two, |binding| {
                self.bind(binding, "a", &so_far)?;
                self.bind(binding, "b", &next)
            })?;
        }
        Ok(all)
    }

    fn bind(&self, binding: &mut IoBinding, name: &str, taken: &Taken) -> ort::Result<()> {
        let Taken {
            from,
            rows,
            positions,
            around: [before, behind],
        } = taken;
        let mut pads = [0; 2 * RANK];
        pads[POSITIONS as usize] = *before as i64;
        pads[RANK + POSITIONS as usize] = *behind as i64;
        let at = |what: &str| format!("{name}.{what}");
        binding.bind_input(at("from"), *from)?;
        let place = &self.place;
        place.bind_row(binding, &at("rows"), rows)?;
        place.bind_row(binding, &at("start"), &[positions.start as i64])?;
        place.bind_row(binding, &at("end"), &[positions.end as i64])?;
        place.bind_row(binding, &at("pads"), &pads)
    }

    fn run(
        &self,
        session: &Mutex<Session>,
        inputs: impl FnOnce(&mut IoBinding) -> ort::Result<()>,
    ) -> ort::Result<DynTensor> {
        let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut binding = session.create_binding()?;
        inputs(&mut binding)?;
        binding.bind_output_to_device("output", &self.place.info()?)?;
        taken_out(&mut session.run_binding(&binding)?, "output")?.downcast()
    }
}

/// All rows of a tensor as they are.
fn whole(from: &DynTensor) -> Taken<'_> {
    let shape = from.shape();
    Taken {
        from,
        rows: (0..shape[0]).collect(),
        positions: 0..shape[2] as usize,
        around: [0; 2],
    }
}

/// An output of a run, to be kept.
pub(super) fn taken_out(outputs: &mut SessionOutputs, name: &str) -> ort::Result<DynValue> {
    let value = outputs.remove(name);
    value.ok_or_else(|| ort::Error::new(format!("no output {name}")))
}

fn zeros(runtime: &Runtime, ty: TensorElementType) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    let shape = graph.input("shape", TensorElementType::Int64, 1);
    let zeros = graph.node("ConstantOfShape", &[shape], &[])?;
    let zeros = graph.node("Cast", &[&zeros], &[("to", onnx_type(ty))])?;
    graph.open(runtime, &zeros, (ty, RANK))
}

/// The rows of each of these inputs, one behind the other.
fn taking(runtime: &Runtime, ty: TensorElementType, names: &[&str]) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    let axis = graph.constant_of("axis", &[1], &[POSITIONS])?;
    let mut taken = Vec::new();
    for name in names {
        let at = |what: &str| format!("{name}.{what}");
        let int64 = TensorElementType::Int64;
        graph.input(&at("from"), ty, RANK);
        for what in ["rows", "start", "end", "pads"] {
            graph.input(&at(what), int64, 1);
        }
        let rows = graph.node("Gather", &[&at("from"), &at("rows")], &[("axis", 0)])?;
        let part = graph.node("Slice", &[&rows, &at("start"), &at("end"), &axis], &[])?;
        taken.push(graph.node("Pad", &[&part, &at("pads")], &[])?);
    }
    let taken: Vec<_> = taken.iter().map(String::as_str).collect();
    let all = graph.node("Concat", &taken, &[("axis", 0)])?;
    graph.open(runtime, &all, (ty, RANK))
}

/// The number of a type in ONNX's files.
fn onnx_type(ty: TensorElementType) -> i64 {
    match ty {
        TensorElementType::Float16 => 10,
        _ => 1,
    }
}

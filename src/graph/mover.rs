//! Rows of a cache, moved where they live.
//!
//! A device has no slices: what the host does with `copy_from_slice` small graphs do there, all layers
//! in one run, since a run costs more than what it moves. They also serve caches in fp16, whose values
//! the host never looks at.

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
/// What the moved tensors are called, before their numbers.
const OUTPUT: &str = "moved";

/// The graphs that move, for caches of so many tensors of one type.
pub(super) struct Mover {
    zeros: Mutex<Session>,
    one: Mutex<Session>,
    two: Mutex<Session>,
    n: usize,
    place: Place,
}

/// Rows to be taken from a cache's tensors, and where their positions go.
pub(super) struct Taken<'t> {
    pub from: &'t [DynTensor],
    pub rows: Vec<i64>,
    pub positions: Range<usize>,
    /// Zeros before and behind the positions.
    pub around: [usize; 2],
}

impl Mover {
    pub fn open(
        runtime: &Runtime,
        place: &Place,
        ty: TensorElementType,
        n: usize,
    ) -> ort::Result<Mover> {
        Ok(Mover {
            zeros: Mutex::new(zeros(runtime, ty, n)?),
            one: Mutex::new(taking(runtime, ty, n, &["a"])?),
            two: Mutex::new(taking(runtime, ty, n, &["a", "b"])?),
            n,
            place: place.clone(),
        })
    }

    /// Tensors of zeros, each of this shape.
    pub fn zeros(&self, shape: &[usize]) -> ort::Result<Vec<DynTensor>> {
        self.run(&self.zeros, |binding| {
            let shape: Vec<_> = shape.iter().map(|&n| n as i64).collect();
            self.place.bind_row(binding, "shape", &shape)
        })
    }

    /// Tensors of the rows of all of `taken`, in their order.
    pub fn take<'t>(
        &self,
        mut taken: impl Iterator<Item = Taken<'t>>,
    ) -> ort::Result<Vec<DynTensor>> {
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
        for (i, from) in from.iter().enumerate() {
            binding.bind_input(numbered(name, i), from)?;
        }
        let at = |what: &str| format!("{name}.{what}");
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
    ) -> ort::Result<Vec<DynTensor>> {
        let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut binding = session.create_binding()?;
        inputs(&mut binding)?;
        let info = self.place.info()?;
        for i in 0..self.n {
            binding.bind_output_to_device(numbered(OUTPUT, i), &info)?;
        }
        let mut outputs = session.run_binding(&binding)?;
        let moved = (0..self.n).map(|i| taken_out(&mut outputs, &numbered(OUTPUT, i))?.downcast());
        moved.collect()
    }
}

/// All rows of tensors as they are.
fn whole(from: &[DynTensor]) -> Taken<'_> {
    let shape = from[0].shape();
    Taken {
        from,
        rows: (0..shape[0]).collect(),
        positions: 0..shape[2] as usize,
        around: [0; 2],
    }
}

/// What one of the tensors is called in the graphs.
fn numbered(name: &str, i: usize) -> String {
    format!("{name}.{i}")
}

/// An output of a run, to be kept.
pub(super) fn taken_out(outputs: &mut SessionOutputs, name: &str) -> ort::Result<DynValue> {
    let value = outputs.remove(name);
    value.ok_or_else(|| ort::Error::new(format!("no output {name}")))
}

fn zeros(runtime: &Runtime, ty: TensorElementType, n: usize) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    let shape = graph.input("shape", TensorElementType::Int64, 1);
    for i in 0..n {
        let zeros = graph.node("ConstantOfShape", &[shape], &[])?;
        let zeros = graph.node("Cast", &[&zeros], &[("to", onnx_type(ty))])?;
        graph.output(&numbered(OUTPUT, i), &zeros, (ty, RANK))?;
    }
    graph.open(runtime)
}

/// The rows of each of these caches, one behind the other.
fn taking(
    runtime: &Runtime,
    ty: TensorElementType,
    n: usize,
    names: &[&str],
) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    let axis = graph.constant_of("axis", &[1], &[POSITIONS])?;
    for name in names {
        for what in ["rows", "start", "end", "pads"] {
            graph.input(&format!("{name}.{what}"), TensorElementType::Int64, 1);
        }
    }
    for i in 0..n {
        let taken = names.iter().map(|name| {
            let at = |what: &str| format!("{name}.{what}");
            let from = numbered(name, i);
            graph.input(&from, ty, RANK);
            let rows = graph.node("Gather", &[&from, &at("rows")], &[("axis", 0)])?;
            let part = graph.node("Slice", &[&rows, &at("start"), &at("end"), &axis], &[])?;
            graph.node("Pad", &[&part, &at("pads")], &[])
        });
        let taken = taken.collect::<ort::Result<Vec<_>>>()?;
        let taken: Vec<_> = taken.iter().map(String::as_str).collect();
        let all = graph.node("Concat", &taken, &[("axis", 0)])?;
        graph.output(&numbered(OUTPUT, i), &all, (ty, RANK))?;
    }
    graph.open(runtime)
}

/// The number of a type in ONNX's files.
fn onnx_type(ty: TensorElementType) -> i64 {
    match ty {
        TensorElementType::Float16 => 10,
        _ => 1,
    }
}

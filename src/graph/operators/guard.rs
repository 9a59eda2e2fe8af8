//! What stands between a kernel and ONNX Runtime: one guard, the same around every operator.
//!
//! ONNX Runtime calls operators through C functions, and a panic that reaches one aborts the process
//! with every conversation in it. The guard checks an operator's inputs against the shapes that the
//! operator states, turns a panic into an error of that run, on whichever thread it happens, and
//! refuses memory that is read and written at once.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::{
    DynTensorValueType, PrimitiveTensorElementType, TensorElementType, TensorValueType, ValueRef,
    ValueRefMut, ValueType,
};

use super::shape::{Input, Sizes, product};
use crate::fence::caught;

/// An operator as a kernel's author writes it.
pub(super) trait Operation: Send + Sync + 'static {
    type Kernel: Compute;

    const INPUTS: &'static [Input];
    /// All are of floats.
    const OUTPUTS: usize = 1;
    /// Inputs that may be the same memory as an output; such an input is read by pointer alone.
    const IN_PLACE: &'static [(usize, usize)] = &[];

    fn name(&self) -> &'static str;

    /// Reads what a node of a graph says; called once a session.
    fn kernel(&self, node: &Node) -> ort::Result<Self::Kernel>;
}

/// What a node's inputs are made into.
pub(super) trait Compute: Send + 'static {
    /// Sizes that attributes give to names of the inputs' shapes.
    fn sizes(&self) -> Sizes {
        Sizes::default()
    }

    /// Writes all of every output, or returns an error. Nothing that a run leaves in `self` may be
    /// read by the next one: a panic can leave it half written.
    fn compute(&mut self, call: &Call) -> ort::Result<()>;
}

/// An operation as ONNX Runtime gets it.
pub(super) struct Guarded<O>(pub O);

impl<O: Operation> Operator for Guarded<O> {
    type Kernel<'attr> = GuardedKernel<O>;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        O::INPUTS
            .iter()
            .map(|input| OperatorInput::required(input.element))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        (0..O::OUTPUTS).map(|_| OperatorOutput::required(TensorElementType::Float32))
    }

    fn create_kernel<'attr>(
        &self,
        context: &KernelContext<'attr>,
    ) -> ort::Result<GuardedKernel<O>> {
        let operator = self.0.name();
        let node = Node { operator, context };
        let made = caught(|| self.0.kernel(&node));
        Ok(GuardedKernel {
            operator,
            kernel: made.unwrap_or_else(|panic| Err(error(operator, &fault(&panic))))?,
        })
    }
}

pub(super) struct GuardedKernel<O: Operation> {
    operator: &'static str,
    kernel: O::Kernel,
}

impl<O: Operation> Kernel for GuardedKernel<O> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let operator = self.operator;
        // Unwind safe by the contract of `Compute::compute`.
        let done = caught(|| {
            let call = Call::check::<O>(operator, context, self.kernel.sizes())?;
            self.kernel.compute(&call)
        });
        done.unwrap_or_else(|panic| {
            let shapes = caught(|| shapes(O::INPUTS, context)).unwrap_or_default();
            Err(error(
                operator,
                &format!("{}; its inputs were {shapes}", fault(&panic)),
            ))
        })
    }
}

/// An error that names the operator.
fn error(operator: &str, what: &str) -> ort::Error {
    ort::Error::new(format!("mini_omni operator {operator}: {what}"))
}

/// All inputs' names and shapes, for a message.
fn shapes(inputs: &[Input], context: &ComputeContext) -> String {
    let one = |(i, input): (usize, &Input)| match context.input(i) {
        Ok(Some(value)) => match value.dtype() {
            ValueType::Tensor { shape, .. } => format!("{} {:?}", input.name, &shape[..]),
            _ => format!("{}, not a tensor", input.name),
        },
        _ => format!("{}, missing", input.name),
    };
    let all: Vec<String> = inputs.iter().enumerate().map(one).collect();
    all.join(", ")
}

/// A node of a graph: its attributes and constant inputs.
pub(super) struct Node<'a> {
    operator: &'static str,
    context: &'a KernelContext<'a>,
}

impl Node<'_> {
    pub fn error(&self, what: &str) -> ort::Error {
        error(self.operator, what)
    }

    /// An integer in `range`, or `None` where the node has none of that name.
    pub fn integer(&self, name: &str, range: Range<usize>) -> ort::Result<Option<usize>> {
        let Some(found) = self.context.get::<i64>(name) else {
            return Ok(None);
        };
        let fits = usize::try_from(found).ok().filter(|n| range.contains(n));
        fits.map(Some)
            .ok_or_else(|| self.out_of(name, &found.to_string(), &range))
    }

    /// An integer in `range` that the node must have.
    pub fn required(&self, name: &str, range: Range<usize>) -> ort::Result<usize> {
        self.integer(name, range)?
            .ok_or_else(|| self.error(&format!("attribute {name} is missing")))
    }

    /// The only number of a list, in `range`.
    pub fn single(&self, name: &str, range: Range<usize>) -> ort::Result<usize> {
        let found = self.context.get::<Vec<i64>>(name).unwrap_or_default();
        let one = match found[..] {
            [n] => usize::try_from(n).ok().filter(|n| range.contains(n)),
            _ => None,
        };
        one.ok_or_else(|| self.out_of(name, &format!("{found:?}"), &range))
    }

    /// A finite number.
    pub fn finite(&self, name: &str) -> ort::Result<f32> {
        let found: Option<f32> = self.context.get(name);
        found.filter(|x| x.is_finite()).ok_or_else(|| {
            self.error(&format!(
                "attribute {name} is {found:?}, expected a finite number"
            ))
        })
    }

    fn out_of(&self, name: &str, found: &str, range: &Range<usize>) -> ort::Error {
        let Range { start, end } = range;
        self.error(&format!(
            "attribute {name} is {found}, expected one number from {start} to {}",
            end - 1
        ))
    }

    /// Calls `read(shape's sizes, data)` with an input that is part of the model.
    pub fn constant<T: PrimitiveTensorElementType + Send + Sync + std::fmt::Debug + 'static, R>(
        &self,
        i: usize,
        input: &Input,
        read: impl FnOnce(&Sizes, &[T]) -> R,
    ) -> ort::Result<R> {
        let value = self.context.constant_input::<TensorValueType<T>>(i);
        let value = value.map_err(|e| self.error(&format!("input {i} ({}): {e}", input.name)))?;
        let mut sizes = Sizes::default();
        let checked = sizes.check(i, input, value.shape());
        let elements = checked.map_err(|what| self.error(&what))?;
        let (_, data) = value.extract_tensor();
        if data.len() != elements {
            return Err(self.error(&format!("input {i} ({}) is cut short", input.name)));
        }
        Ok(read(&sizes, data))
    }
}

/// One run of a kernel: inputs of checked shapes, outputs, threads.
pub(super) struct Call<'a> {
    operator: &'static str,
    context: &'a ComputeContext,
    inputs: &'static [Input],
    in_place: &'static [(usize, usize)],
    /// With their numbers of elements.
    values: Vec<(ValueRef<'a, DynTensorValueType>, usize)>,
    sizes: Sizes,
    /// Where the outputs lie that were handed out.
    written: RefCell<Vec<Range<usize>>>,
}

impl<'a> Call<'a> {
    fn check<O: Operation>(
        operator: &'static str,
        context: &'a ComputeContext,
        mut sizes: Sizes,
    ) -> ort::Result<Call<'a>> {
        let mut values = Vec::with_capacity(O::INPUTS.len());
        for (i, input) in O::INPUTS.iter().enumerate() {
            let failed = |what: &str| {
                let shapes = shapes(O::INPUTS, context);
                error(operator, &format!("{what}; its inputs are {shapes}"))
            };
            let name = input.name;
            let value = context.input(i)?;
            let value = value.ok_or_else(|| failed(&format!("input {i} ({name}) is missing")))?;
            let value: ValueRef<DynTensorValueType> = value.downcast()?;
            if *value.data_type() != input.element {
                let (found, expected) = (value.data_type(), input.element);
                return Err(failed(&format!(
                    "input {i} ({name}) is of {found}, expected {expected}"
                )));
            }
            let elements = sizes.check(i, input, value.shape());
            let elements = elements.map_err(|what| failed(&what))?;
            values.push((value, elements));
        }
        Ok(Call {
            operator,
            context,
            inputs: O::INPUTS,
            in_place: O::IN_PLACE,
            values,
            sizes,
            written: RefCell::default(),
        })
    }

    /// The size of a name in the inputs' shapes.
    pub fn size(&self, name: &str) -> usize {
        self.sizes.get(name)
    }

    pub fn shape(&self, i: usize) -> &[i64] {
        self.values[i].0.shape()
    }

    /// An input's elements, as many as its shape says.
    pub fn data<T: PrimitiveTensorElementType>(&self, i: usize) -> ort::Result<&[T]> {
        let by_pointer = self.in_place.iter().any(|&(input, _)| input == i);
        assert!(!by_pointer, "an output may be the same memory");
        let (value, elements) = &self.values[i];
        let (_, data) = value.try_extract_tensor::<T>()?;
        if data.len() != *elements {
            return Err(self.error(&format!("input {i} is cut short")));
        }
        Ok(data)
    }

    /// Where an input of floats lies that may be the same memory as an output.
    pub fn pointer(&self, i: usize) -> *const f32 {
        self.values[i].0.data_ptr().cast()
    }

    /// An output of this shape, of floats.
    pub fn output(&self, i: usize, shape: &[i64]) -> ort::Result<Output<'_>> {
        let elements = product(shape)
            .ok_or_else(|| self.error(&format!("output {i} would have the shape {shape:?}")))?;
        let value = self.context.output(i, shape.to_vec())?;
        let value = value.ok_or_else(|| self.error(&format!("output {i} is missing")))?;
        let output = Output {
            value: value.downcast()?,
            elements,
        };
        self.alone(i, output.memory())?;
        Ok(output)
    }

    /// Refuses an output in memory that is read or written as something else: by a caller's binding
    /// it could be, and a `&mut` to it would then not be the only reference.
    fn alone(&self, i: usize, memory: Range<usize>) -> ort::Result<()> {
        let overlaps = |other: &Range<usize>| {
            !memory.is_empty()
                && !other.is_empty()
                && memory.start < other.end
                && other.start < memory.end
        };
        for (input, (value, elements)) in self.values.iter().enumerate() {
            let start = value.data_ptr() as usize;
            let other = start..start + elements * bytes(*value.data_type());
            let allowed = self.in_place.contains(&(input, i)) && other == memory;
            if overlaps(&other) && !allowed {
                let name = self.inputs[input].name;
                return Err(self.error(&format!(
                    "output {i} lies in the memory of input {input} ({name})"
                )));
            }
        }
        let mut written = self.written.borrow_mut();
        if written.iter().any(overlaps) {
            return Err(self.error(&format!("output {i} lies in the memory of another output")));
        }
        written.push(memory);
        Ok(())
    }

    pub fn error(&self, what: &str) -> ort::Error {
        let shapes = shapes(self.inputs, self.context);
        error(self.operator, &format!("{what}; its inputs are {shapes}"))
    }

    /// Calls `work(i)` once for each i below `total`, on ONNX Runtime's threads. A panic in one of
    /// them is an error, once all have ended.
    pub fn par_for(
        &self,
        total: usize,
        batches: usize,
        work: impl Fn(usize) + Sync + Send,
    ) -> ort::Result<()> {
        let first = OnceLock::new();
        self.context.par_for(total, batches, |i| {
            // Unwind safe: what it wrote is read by nobody, for the run fails.
            if let Err(panic) = caught(|| work(i)) {
                let _ = first.set(fault(&panic)); // the first fault is told
            }
        })?;
        match first.get() {
            None => Ok(()),
            Some(what) => Err(self.error(what)),
        }
    }
}

/// What a panic says.
fn fault(panic: &str) -> String {
    format!("a fault in the kernel ({panic})")
}

/// Bytes of an element, of the types that our operators read.
fn bytes(element: TensorElementType) -> usize {
    match element {
        TensorElementType::Int8 | TensorElementType::Uint8 => 1,
        TensorElementType::Int64 => 8,
        _ => 4,
    }
}

/// An output of floats.
pub(super) struct Output<'a> {
    value: ValueRefMut<'a, DynTensorValueType>,
    elements: usize,
}

impl Output<'_> {
    /// From its first byte to behind its last.
    fn memory(&self) -> Range<usize> {
        let start = self.value.data_ptr() as usize;
        start..start + self.elements * size_of::<f32>()
    }

    /// Its elements, all of which are to be written.
    pub fn data(&mut self) -> ort::Result<&mut [f32]> {
        let (_, data) = self.value.try_extract_tensor_mut::<f32>()?;
        if data.len() != self.elements {
            return Err(ort::Error::new(
                "ONNX Runtime gave an output of another size",
            ));
        }
        Ok(data)
    }
}

//! Where a graph's tensors live, and the one way between there and the host.
//!
//! With a processor they live in memory that both sides see, and nothing is copied. With an NVIDIA GPU
//! they live on the device: what a step leaves for the next stays there, and whatever crosses goes
//! through this file and is counted. *Apart* is host memory that is treated as a device's, so that
//! every test can run the device's path on a processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::session::zeros;

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// The processor's own.
    Host,
    /// The first NVIDIA GPU's.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    Cuda,
    /// The processor's, as if it were a device's.
    Apart,
}

/// What is brought to the host.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Ids,
    Logits,
    Features,
    Sound,
}

/// Bytes that went between a place and the host; none where the place is the host.
#[derive(Debug, Default)]
pub(crate) struct Crossed {
    read: [AtomicUsize; 4],
    written: AtomicUsize,
}

impl Crossed {
    /// Bytes of one kind that the host has read.
    pub fn read(&self, what: What) -> usize {
        self.read[what as usize].load(Relaxed)
    }

    /// Bytes that the host has written.
    pub fn written(&self) -> usize {
        self.written.load(Relaxed)
    }
}

/// The memory of a session's tensors.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    at: Where,
    crossed: Arc<Crossed>,
}

/// What a tensor is made of.
pub(super) trait Element:
    PrimitiveTensorElementType + std::fmt::Debug + Copy + 'static
{
}

impl<T: PrimitiveTensorElementType + std::fmt::Debug + Copy + 'static> Element for T {}

impl Place {
    pub fn new(at: Where, crossed: Arc<Crossed>) -> Place {
        Place { at, crossed }
    }

    /// Whether the host sees it without a copy.
    pub fn is_host(&self) -> bool {
        self.at == Where::Host
    }

    /// For a binding: ONNX Runtime is to make an output here.
    pub fn info(&self) -> ort::Result<MemoryInfo<'static>> {
        match self.at {
            Where::Cuda => memory(AllocationDevice::CUDA),
            Where::Host | Where::Apart => Place::host_info(),
        }
    }

    /// For a binding: ONNX Runtime is to make an output for the host.
    pub fn host_info() -> ort::Result<MemoryInfo<'static>> {
        memory(AllocationDevice::CPU)
    }

    /// A tensor here; on the host it is full of zeros, elsewhere of anything.
    fn tensor<T: Element>(&self, session: &Session, shape: &[usize]) -> ort::Result<Tensor<T>> {
        match self.at {
            Where::Cuda => Tensor::new(&Allocator::new(session, self.info()?)?, shape),
            Where::Host | Where::Apart => zeros(shape),
        }
    }

    /// Binds an input that differs from call to call; ONNX Runtime takes it over.
    pub(super) fn bind<T: Element>(
        &self,
        binding: &mut IoBinding,
        name: &str,
        input: &Tensor<T>,
    ) -> ort::Result<()> {
        self.note_written(input);
        binding.bind_input(name, input)
    }

    /// Binds such an input of one dimension.
    pub(super) fn bind_row<T: Element>(
        &self,
        binding: &mut IoBinding,
        name: &str,
        values: &[T],
    ) -> ort::Result<()> {
        let input = Tensor::from_array(([values.len()], values.to_vec()))?;
        self.bind(binding, name, &input)
    }

    /// An output that was made for the host is there.
    pub fn note_read(&self, what: What, bytes: usize) {
        if !self.is_host() {
            self.crossed.read[what as usize].fetch_add(bytes, Relaxed);
        }
    }

    fn note_written<T: Element>(&self, tensor: &Tensor<T>) {
        if !self.is_host() {
            self.crossed.written.fetch_add(bytes(tensor), Relaxed);
        }
    }

    /// A copy on the host.
    pub(super) fn read<T: Element>(&self, what: What, from: &Tensor<T>) -> ort::Result<Tensor<T>> {
        self.note_read(what, bytes(from));
        from.to(AllocationDevice::CPU, 0)
    }
}

fn memory(device: AllocationDevice) -> ort::Result<MemoryInfo<'static>> {
    MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
}

fn bytes<T: Element>(tensor: &Tensor<T>) -> usize {
    tensor.shape().num_elements() * size_of::<T>()
}

/// An input that the host writes and a session reads, at one address for all calls.
pub(super) struct Input<T: Element> {
    host: Tensor<T>,
    /// Its copy, where the session does not read the host's memory.
    there: Option<Tensor<T>>,
    place: Place,
}

impl<T: Element> Input<T> {
    /// Zeros of this shape.
    pub fn zeros(place: &Place, session: &Session, shape: &[usize]) -> ort::Result<Input<T>> {
        let mut input = Input {
            host: zeros(shape)?,
            there: match place.is_host() {
                true => None,
                false => Some(place.tensor(session, shape)?),
            },
            place: place.clone(),
        };
        input.write(|_| {})?;
        Ok(input)
    }

    /// What a session is bound to.
    pub fn bound(&self) -> &Tensor<T> {
        self.there.as_ref().unwrap_or(&self.host)
    }

    /// The same, of values that will not change.
    pub fn into_bound(self) -> Tensor<T> {
        self.there.unwrap_or(self.host)
    }

    /// The values as the host wrote them.
    pub fn values(&self) -> &[T] {
        self.host.extract_tensor().1
    }

    /// Changes the values.
    pub fn write(&mut self, change: impl FnOnce(&mut [T])) -> ort::Result<()> {
        change(self.host.extract_tensor_mut().1);
        match &mut self.there {
            Some(there) => {
                self.place.note_written(&self.host);
                self.host.copy_into(there)
            }
            None => Ok(()),
        }
    }
}

/// An output that stays where the session makes it until the host asks for it.
pub(super) struct Output<T: Element> {
    tensor: Tensor<T>,
    /// What the host has been given.
    host: Option<Tensor<T>>,
    place: Place,
}

impl<T: Element> Output<T> {
    pub fn new(place: &Place, session: &Session, shape: &[usize]) -> ort::Result<Output<T>> {
        Ok(Output {
            tensor: place.tensor(session, shape)?,
            host: None,
            place: place.clone(),
        })
    }

    /// What a session is bound to.
    pub fn bound(&mut self) -> &mut Tensor<T> {
        &mut self.tensor
    }

    /// The same, to be another session's input.
    pub fn there(&self) -> &Tensor<T> {
        &self.tensor
    }

    /// The values, brought to the host if they are not there.
    pub fn read(&mut self, what: What) -> ort::Result<&[T]> {
        if self.place.is_host() {
            return Ok(self.tensor.extract_tensor().1);
        }
        let host = self.place.read(what, &self.tensor)?;
        Ok(self.host.insert(host).extract_tensor().1)
    }
}

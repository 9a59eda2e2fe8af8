//! Audio features, where the encoder left them.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use ort::session::Session;
use ort::value::{Tensor, TensorElementType};

use super::mover::taken_out;
use super::place::{Place, What};
use super::runtime::Runtime;
use super::session;
use super::sketch::Sketch;
use crate::error::Result;

/// What the encoder says of a clip, [n_features, n_embd]. A clone is of the same tensor.
#[derive(Clone)]
pub(crate) struct Features {
    tensor: Arc<Tensor<f32>>,
    place: Place,
}

impl Features {
    /// Of a tensor of two dimensions.
    pub(super) fn new(tensor: Tensor<f32>, place: &Place) -> Features {
        Features {
            tensor: Arc::new(tensor),
            place: place.clone(),
        }
    }

    /// How many there are.
    pub fn n(&self) -> usize {
        self.tensor.shape()[0] as usize
    }

    /// A copy on the host.
    pub fn to_host(&self) -> Result<Array2<f32>> {
        self.host()
            .map_err(|source| session::failed("encoder", source))
    }

    pub(super) fn host(&self) -> ort::Result<Array2<f32>> {
        if self.place.is_host() {
            return view(&self.tensor).map(|view| view.to_owned());
        }
        let host = self.place.read(What::Features, &self.tensor)?;
        view(&host).map(|view| view.to_owned())
    }

    /// Calls `look` with them; they are copied only if they are not on the host.
    pub(super) fn on_host(&self, look: impl FnOnce(ArrayView2<f32>)) -> ort::Result<()> {
        match self.place.is_host() {
            true => look(view(&self.tensor)?),
            false => look(self.host()?.view()),
        }
        Ok(())
    }
}

fn view(tensor: &Tensor<f32>) -> ort::Result<ArrayView2<'_, f32>> {
    let (shape, values) = tensor.extract_tensor();
    ArrayView2::from_shape((shape[0] as usize, shape[1] as usize), values)
        .map_err(|e| ort::Error::new(e.to_string()))
}

/// Puts features among the columns of a call, where a device has them.
pub(super) struct Placing {
    session: Session,
    place: Place,
}

impl Placing {
    pub fn open(runtime: &Runtime, place: &Place) -> ort::Result<Placing> {
        Ok(Placing {
            session: sketch(runtime)?,
            place: place.clone(),
        })
    }

    /// [1, seq, n_embd]: the features of `rows` from column `start` on, zeros elsewhere.
    pub fn columns(
        &mut self,
        features: &Features,
        rows: Range<usize>,
        (start, seq): (usize, usize),
    ) -> ort::Result<Tensor<f32>> {
        let behind = seq - start - rows.len();
        let mut binding = self.session.create_binding()?;
        binding.bind_input("features", &features.tensor)?;
        let (place, pads) = (&self.place, [0, start as i64, 0, 0, behind as i64, 0]);
        place.bind_row(&mut binding, "start", &[rows.start as i64])?;
        place.bind_row(&mut binding, "end", &[rows.end as i64])?;
        place.bind_row(&mut binding, "pads", &pads)?;
        binding.bind_output_to_device("output", &self.place.info()?)?;
        taken_out(&mut self.session.run_binding(&binding)?, "output")?.downcast()
    }
}

fn sketch(runtime: &Runtime) -> ort::Result<Session> {
    let mut graph = Sketch::new()?;
    let features = graph.input("features", TensorElementType::Float32, 2);
    let [start, end, pads] =
        ["start", "end", "pads"].map(|name| graph.input(name, TensorElementType::Int64, 1));
    let first = graph.constant_of("first", &[1], &[0i64])?;
    let part = graph.node("Slice", &[features, start, end, &first], &[])?;
    let row = graph.node("Unsqueeze", &[&part, &first], &[])?;
    let columns = graph.node("Pad", &[&row, pads], &[])?;
    graph.output("output", &columns, (TensorElementType::Float32, 3))?;
    graph.open(runtime)
}

//! Values inside a graph, handed out beside what a run gives anyway.

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, SessionOutputs};

/// The values that a graph was opened to hand out, and those of its last run. Of an ordinary graph
/// there are none.
#[derive(Default)]
pub(crate) struct Inside {
    names: Vec<String>,
    values: Vec<(String, Vec<f32>)>,
}

impl Inside {
    /// Of a graph that was opened with these outputs.
    pub fn of(names: &[String]) -> Inside {
        Inside {
            names: names.to_vec(),
            values: Vec::new(),
        }
    }

    /// Has ONNX Runtime make room for them at each run of the binding.
    pub fn bind(&self, binding: &mut IoBinding) -> ort::Result<()> {
        for name in &self.names {
            let memory = MemoryInfo::new(
                AllocationDevice::CPU,
                0,
                AllocatorType::Device,
                MemoryType::CPUOutput,
            )?;
            binding.bind_output_to_device(name, &memory)?;
        }
        Ok(())
    }

    /// Copies them from the outputs of a run; those that are neither 32-bit floats nor 64-bit integers,
    /// which positions and sizes are, are left out.
    pub fn keep(&mut self, outputs: &SessionOutputs) {
        let value = |name: &String| {
            let value = outputs.get(name)?;
            if let Ok((_, floats)) = value.try_extract_tensor::<f32>() {
                return Some((name.clone(), floats.to_vec()));
            }
            let (_, integers) = value.try_extract_tensor::<i64>().ok()?;
            let values = integers.iter().map(|&x| x as f32).collect();
            Some((name.clone(), values))
        };
        self.values = self.names.iter().filter_map(value).collect();
    }

    /// The values of the last run.
    pub fn take(&mut self) -> Vec<(String, Vec<f32>)> {
        std::mem::take(&mut self.values)
    }
}

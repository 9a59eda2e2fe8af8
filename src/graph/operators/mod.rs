//! Kernels for what ONNX Runtime is slow at, as operators of the domain `mini_omni`.
//!
//! The exported graphs hold each as a function of plain operators, which any ONNX Runtime can run
//! (`export/mini_omni_export/functions.py`); a session on the CPU that knows a kernel takes it
//! instead. A model file is not trusted: [`guard`] stands between ONNX Runtime and every kernel, and
//! [`shape`] has what inputs are held against. [`snake`] is the codec's activation with what surrounds
//! it, [`codec8`] its stages with 8-bit weights, [`linear4`] the decoder's products with 4-bit weights,
//! [`linear8`] the encoder's with 8-bit ones, [`attention8`] the encoder's attention in 8 bits,
//! [`cached_attention`] the decoder's over its cache. [`kernels`] has their arithmetic, written once
//! over [`vectors`]. Each kind of processor has a back end; [`choice`] picks the one that computes.

mod attention8;
mod cached_attention;
mod choice;
mod codec8;
mod guard;
mod kernels;
mod linear4;
mod linear8;
mod shape;
mod snake;
#[cfg(test)]
mod tests;
mod vectors;

use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::operator::OperatorDomain;
use ort::session::Session;

pub use self::choice::Kernels;
use self::choice::with_vectors;
use self::guard::Guarded;
use self::kernels::products8::Activation;
use self::vectors::Vectors;

/// A graph of one Identity.
const IDENTITY: &[u8] = include_bytes!("identity.onnx");

/// Whether the domain's name is known.
static ANNOUNCED: Mutex<bool> = Mutex::new(false);

/// The domain with these kernels; `None` where ONNX Runtime is to run the functions.
pub(crate) fn domain(
    environment: &Environment,
    kernels: Kernels,
) -> ort::Result<Option<OperatorDomain>> {
    let domain = || with_vectors!(kernels, operators).transpose();
    if domain()?.is_some() {
        announce(environment, domain)?;
    }
    domain()
}

/// Opens a session with the domain once. The first one to open writes the domain's name down in
/// ONNX Runtime, without a lock; of two that open at the same time one would fail.
fn announce(
    environment: &Environment,
    domain: impl Fn() -> ort::Result<Option<OperatorDomain>>,
) -> ort::Result<()> {
    let mut announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    if *announced {
        return Ok(());
    }
    if let Some(domain) = domain()? {
        Session::builder(environment)?
            .with_operators(domain)?
            .commit_from_memory(IDENTITY)?;
        *announced = true;
    }
    Ok(())
}

fn operators<V: Vectors>(v: V) -> ort::Result<OperatorDomain> {
    let linear8 = |activation| linear8::Linear8 { v, activation };
    OperatorDomain::new("mini_omni")?
        .add(Guarded(snake::Snake(v)))?
        .add(Guarded(snake::SnakeConv(v)))?
        .add(Guarded(codec8::ResidualUnit8(v)))?
        .add(Guarded(codec8::Upsample8(v)))?
        .add(Guarded(codec8::Noise8(v)))?
        .add(Guarded(linear4::Linear4(v)))?
        .add(Guarded(linear8(Activation::None)))?
        .add(Guarded(linear8(Activation::Gelu)))?
        .add(Guarded(attention8::Attention8(v)))?
        .add(Guarded(attention8::CountedAttention8(v)))?
        .add(Guarded(cached_attention::CachedAttention(v)))
}

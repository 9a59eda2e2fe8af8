//! Kernels for what ONNX Runtime is slow at, as operators of the domain `mini_omni`.
//!
//! The exported graphs hold each as a function of plain operators, which any ONNX Runtime can run
//! (`export/mini_omni_export/functions.py`); a session on the CPU that knows a kernel takes it
//! instead. A model file is not trusted: [`guard`] stands between ONNX Runtime and every kernel, and
//! [`shape`] has what inputs are held against. [`snake`] is the codec's activation with what surrounds it, [`linear4`] the decoder's
//! products with 4-bit weights, [`linear8`] the encoder's and the codec's with 8-bit ones,
//! [`attention8`] the encoder's attention in 8 bits, [`cached_attention`] the decoder's over its cache;
//! [`avx512`] has the arithmetic of these four.

#[cfg(target_arch = "x86_64")]
mod attention8;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod cached_attention;
mod guard;
#[cfg(target_arch = "x86_64")]
mod linear4;
#[cfg(target_arch = "x86_64")]
mod linear8;
mod shape;
mod snake;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::operator::OperatorDomain;
use ort::session::Session;

use self::guard::Guarded;

/// A graph of one Identity.
const IDENTITY: &[u8] = include_bytes!("identity.onnx");

/// Whether the domain's name is known.
static ANNOUNCED: Mutex<bool> = Mutex::new(false);

/// The domain with the kernels that this processor has.
pub(crate) fn domain(environment: &Environment) -> ort::Result<OperatorDomain> {
    announce(environment)?;
    kernels()
}

/// Opens a session with the domain once. The first one to open writes the domain's name down in
/// ONNX Runtime, without a lock; of two that open at the same time one would fail.
fn announce(environment: &Environment) -> ort::Result<()> {
    let mut announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*announced {
        Session::builder(environment)?
            .with_operators(kernels()?)?
            .commit_from_memory(IDENTITY)?;
        *announced = true;
    }
    Ok(())
}

fn kernels() -> ort::Result<OperatorDomain> {
    let domain = OperatorDomain::new("mini_omni")?
        .add(Guarded(snake::Snake))?
        .add(Guarded(snake::SnakeConv))?;
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = avx512::Avx512::detect() {
        use avx512::products8::Activation;

        let linear8 = |activation| linear8::Linear8 { avx512, activation };
        return domain
            .add(Guarded(linear4::Linear4(avx512)))?
            .add(Guarded(linear8(Activation::None)))?
            .add(Guarded(linear8(Activation::Gelu)))?
            .add(Guarded(attention8::Attention8(avx512)))?
            .add(Guarded(attention8::CountedAttention8(avx512)))?
            .add(Guarded(cached_attention::CachedAttention(avx512)));
    }
    Ok(domain)
}

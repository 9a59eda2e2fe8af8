//! The proof that this processor has the instructions.

/// Exists only where the instructions were found, so a function that takes one cannot be called
/// elsewhere: the call would not compile without a token, and only [`Avx512::detect`] makes one.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Avx512(());

impl Avx512 {
    /// A token, where this processor has all the instructions that our functions enable.
    pub fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Avx512(()))
    }
}

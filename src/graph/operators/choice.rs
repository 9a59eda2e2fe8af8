//! Which kernels compute: the best that this processor has, or those that were asked for.

/// What computes the operators that ONNX Runtime is slow at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernels {
    /// Rust without special instructions: the reference, slow.
    Plain,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-VNNI.
    AvxVnni,
    /// x86-64 with AVX-512 and its VNNI.
    Avx512,
    /// arm64 with the dot product of bytes.
    Dotprod,
    /// arm64 with the matrix product of bytes.
    I8mm,
    /// ONNX Runtime itself: it runs the functions that the graphs hold.
    OnnxRuntime,
}

impl Kernels {
    /// All of them, the fastest first; behind ONNX Runtime what is only chosen if asked for.
    pub const ALL: [Kernels; 7] = [
        Kernels::Avx512,
        Kernels::AvxVnni,
        Kernels::Avx2,
        Kernels::I8mm,
        Kernels::Dotprod,
        Kernels::OnnxRuntime,
        Kernels::Plain,
    ];

    /// As on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kernels::Plain => "plain",
            Kernels::Avx2 => "avx2",
            Kernels::AvxVnni => "avxvnni",
            Kernels::Avx512 => "avx512",
            Kernels::Dotprod => "dotprod",
            Kernels::I8mm => "i8mm",
            Kernels::OnnxRuntime => "onnxruntime",
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_here(self) -> bool {
        self == Kernels::OnnxRuntime || with_vectors!(self, |_| ()).is_some()
    }

    /// The fastest that this processor has.
    pub fn best() -> Kernels {
        let found = Kernels::ALL.into_iter().find(|kernels| kernels.is_here());
        found.unwrap_or(Kernels::OnnxRuntime)
    }
}

/// Calls a function of a back end's token; `None` where this processor, or this build, has not that
/// back end.
macro_rules! with_vectors {
    ($kernels:expr, $f:expr) => {
        $crate::graph::operators::choice::with_vectors!(@ $kernels, $f,
            (Plain, Plain, all()),
            (Avx2, Avx2, target_arch = "x86_64"),
            (AvxVnni, AvxVnni, target_arch = "x86_64"),
            (Avx512, Avx512, target_arch = "x86_64"),
            (Dotprod, Dotprod, target_arch = "aarch64"),
            (I8mm, I8mm, target_arch = "aarch64"))
    };
    (@ $kernels:expr, $f:expr, $(($name:ident, $vectors:ident, $($when:tt)*)),*) => {
        match $kernels {
            $(
                #[cfg($($when)*)]
                $crate::graph::operators::Kernels::$name => {
                    <$crate::graph::operators::vectors::$vectors as $crate::graph::operators::vectors::Vectors>::detect().map($f)
                }
            )*
            _ => None,
        }
    };
}
pub(super) use with_vectors;

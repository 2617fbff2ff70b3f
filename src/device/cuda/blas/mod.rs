//! cuBLASLt, behind an interface that a fake one answers as well.
//!
//! Words are the library's own: matrices lie by columns, `ld` elements from one to the next, and an operation may transpose an
//! operand as it is read: `D[m, n] = op(A)[m, k] · op(B)[k, n]`. What it knows of a product is a list of [`Algorithm`]s, by its
//! own guess the fastest first; which one is the fastest, only a clock tells.

mod real;

pub use real::RealBlas;

use std::fmt;

use super::driver::{Address, Handle};
use crate::error::Result;
use crate::ops::DType;
use crate::units::Bytes;

/// How to get the library, in one line.
pub const HINT: &str = "cuBLASLt is not on this machine; it comes with the CUDA toolkit and any PyTorch, or alone by `pip install \
                        nvidia-cublas` (CUDA 12: nvidia-cublas-cu12); SCALEMARK_CUBLASLT names its path";

/// How sums are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compute {
    /// `CUBLAS_COMPUTE_32F`
    F32,
    /// `CUBLAS_COMPUTE_32F_FAST_TF32`: f32 operands are rounded to tf32 as they are read.
    Tf32,
    /// `CUBLAS_COMPUTE_32I`
    I32,
}

/// A matrix, or a batch of them, by columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Of each element; tf32 counts as f32, which it is in memory.
    pub dtype: DType,
    /// Rows as stored, before any transposition.
    pub rows: u64,
    /// Columns as stored.
    pub columns: u64,
    /// Elements from one column to the next.
    pub ld: i64,
    /// How many there are.
    pub batch: i32,
    /// Elements from one of a batch to the next.
    pub stride: i64,
}

/// A product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// How sums are computed.
    pub compute: Compute,
    /// Whether the first operand is transposed as it is read.
    pub transpose_a: bool,
    /// Whether the second is.
    pub transpose_b: bool,
    /// The first operand.
    pub a: Layout,
    /// The second.
    pub b: Layout,
    /// The result.
    pub d: Layout,
}

/// A way to compute a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Algorithm {
    /// What the library wants to be told again.
    pub opaque: [u64; 8],
    /// What it is, as far as the library tells.
    pub config: Config,
    /// Workspace that it needs.
    pub workspace: Bytes,
    /// How many times its blocks fill the GPU.
    pub waves: f32,
}

/// The attributes of an algorithm, by the library's numbers (`cublasLtMatmulAlgoConfigAttributes_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Config {
    /// `CUBLASLT_ALGO_CONFIG_ID`
    pub id: u32,
    /// `CUBLASLT_ALGO_CONFIG_TILE_ID`
    pub tile: u32,
    /// `CUBLASLT_ALGO_CONFIG_STAGES_ID`
    pub stages: u32,
    /// `CUBLASLT_ALGO_CONFIG_SPLITK_NUM`
    pub split_k: u32,
    /// `CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME`
    pub reduction: u32,
    /// `CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING`
    pub swizzle: u32,
    /// `CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION`
    pub custom: u32,
    /// `CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID`
    pub cluster: u32,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { id, tile, stages, split_k, reduction, swizzle, custom, cluster } = self.config;
        write!(
            f,
            "algorithm {id} (tile {tile}, stages {stages}, cluster {cluster}, split-K {split_k}, reduction {reduction}, swizzle \
             {swizzle}, custom {custom}, {:.2} waves, workspace {})",
            self.waves, self.workspace
        )
    }
}

/// The library on a GPU, which works in the stream of the context that it is of.
pub trait Blas: fmt::Debug {
    /// `12.4.5`
    fn version(&self) -> String;
    /// Makes the descriptors of a product.
    ///
    /// # Errors
    /// Where the library cannot describe it.
    fn describe(&self, gemm: &Gemm) -> Result<Handle>;
    /// At most `most` ways to compute it with so much workspace, by the library's guess the fastest first; none where it has no way.
    ///
    /// # Errors
    /// When the library fails.
    fn algorithms(&self, gemm: Handle, workspace: Bytes, most: usize) -> Result<Vec<Algorithm>>;
    /// Enqueues a product; operands `a` and `b`, the result `d`, and workspace as the algorithm needs.
    ///
    /// # Errors
    /// When the library declines the algorithm after all, or the context is lost.
    ///
    /// # Safety
    /// The addresses are of memory of this GPU as long as the layouts of `gemm` and the algorithm's workspace say, which lives until
    /// the product has ended; addresses are multiples of 256.
    unsafe fn multiply(
        &self,
        gemm: Handle,
        algorithm: &Algorithm,
        operands: [Address; 3],
        workspace: Address,
    ) -> Result<()>;
    /// Gives descriptors back.
    fn forget(&self, gemm: Handle);
}

//! The ladder of matmul kernels: the textbook, blocks for the caches, packed panels and register tiles.

mod blocked;
mod cuda;
mod format;
mod naive;
mod simd;
#[cfg(test)]
mod tests;

use super::Kernel;

pub use blocked::BLOCKED;
pub use cuda::CUDA_ROWS;
pub use naive::NAIVE;
pub use simd::SIMD;

/// The matmul kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[&NAIVE, &BLOCKED, &SIMD];

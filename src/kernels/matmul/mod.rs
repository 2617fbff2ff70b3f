//! The ladder of matmul kernels.

use super::Kernel;

/// The matmul kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[];

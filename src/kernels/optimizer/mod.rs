//! The ladder of optimizer kernels.

use super::Kernel;

/// The optimizer kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[];

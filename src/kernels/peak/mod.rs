//! The ladder of peak kernels.

use super::Kernel;

/// The peak kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[];

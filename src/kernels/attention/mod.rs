//! The ladder of attention kernels.

use super::Kernel;

/// The attention kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[];

//! Criterion over the registry of CPU kernels.
fn main() {}

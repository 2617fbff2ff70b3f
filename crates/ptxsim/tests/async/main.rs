//! Asynchronous instructions as PTX, against what plain Rust expects: cp.async, mbarrier, bulk and tensor copies, clusters.

mod bulk;
mod column;
mod copy;
mod launch;
mod mbarrier;
mod reduce;
mod send;

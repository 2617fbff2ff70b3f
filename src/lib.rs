//! scalemark measures how the building blocks of large models run on a piece of hardware, and how their cost grows with
//! the model.
//!
//! The data flow of a run:
//!
//! ```text
//! models × ops × filters → cases × registry
//!   → kernel.refuses(capabilities, case)   a refused record, with its reason
//!   → in a worker process, for each kernel:
//!   → kernel.prepare(device, case, inputs) compile, allocate, upload: never timed
//!   → check against the reference          a wrong record, or go on
//!   → measure                              samples, with noise covariates
//!   → Record → store.append                flushed row by row; --resume goes on
//!   → report                               report.md, charts, terminal table
//! ```
//!
//! Dependencies run one way: `units ← ops ← device ← kernels ← measure, check ← record ← store ← gate, history, report ← browser ← cmd`.

pub mod browser;
pub mod campaign;
pub mod check;
pub mod cmd;
pub mod device;
pub mod error;
pub mod gate;
pub mod history;
pub mod kernels;
pub mod layer;
pub mod measure;
pub mod models;
pub mod nvrtc;
pub mod ops;
pub mod plan;
pub mod projection;
pub mod record;
pub mod report;
pub mod stats;
pub mod store;
pub mod throttle;
pub mod units;
pub mod worker;

pub use error::{Error, Result};

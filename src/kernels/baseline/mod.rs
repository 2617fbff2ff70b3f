//! Other people's products, driven at their best, so that no number of ours stands alone.
//!
//! Each provider runs in a worker process of its own: its thread pool, its environment and its crashes are its own.

mod cblas;
mod crates;
pub mod external;
pub(crate) mod find;

use std::collections::BTreeMap;

use super::Kernel;
use crate::device::Capabilities;

pub use find::{Library, find};

/// The baselines, the crates first: they are on every machine.
pub static ROWS: &[&dyn Kernel] =
    &[&crates::GEMM, &crates::GEMMKIT, &cblas::OPENBLAS, &cblas::BLIS, &cblas::MKL];

/// Variables that a worker of `provider` is started with, so that the library uses what the processor has.
///
/// OpenBLAS and BLIS choose their kernels by processor model and fall back to AVX2 on models they do not know, virtual
/// machines among them; a choice that the user made stays.
pub fn environment(provider: &str, capabilities: &Capabilities) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    if capabilities.isa.avx512 {
        match provider {
            // With bf16 instructions OpenBLAS has a core type of its own; its f32 kernels are those of SkylakeX.
            "openblas" => variables.push(("OPENBLAS_CORETYPE", "SkylakeX")),
            // This would keep MKL from AMX, which it uses by itself.
            "mkl" if capabilities.isa.amx_bf16 => {}
            "blis" => variables.push(("BLIS_ARCH_TYPE", "skx")),
            "mkl" => variables.push(("MKL_ENABLE_INSTRUCTIONS", "AVX512")),
            _ => {}
        }
    }
    let unset = |(name, _): &(&str, &str)| std::env::var_os(name).is_none();
    variables
        .into_iter()
        .filter(unset)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What a worker of `provider` does before anything else: loads its library while the thread that will call it may still
/// run anywhere (pools inherit its affinity), and says which one it is.
pub fn enter_worker(provider: &str, threads: usize) -> BTreeMap<String, String> {
    match provider {
        "gemm" | "gemmkit" => crates::enter_worker(threads),
        "openblas" | "blis" | "mkl" => cblas::facts(provider),
        _ => BTreeMap::new(),
    }
}

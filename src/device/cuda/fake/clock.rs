//! The clock of a fake GPU: how long things take on two multiprocessors beside memory of 19 GB/s.
//!
//! Host and GPU each have a time. A call costs the host some; work starts when the GPU is free and the host has enqueued it, so
//! that the host's pace shows in a time unless the stream is blocked meanwhile, as on a GPU.

use crate::throttle::Throttle;

/// Streaming multiprocessors.
pub const MULTIPROCESSORS: u32 = 2;
/// Their clock.
pub const KHZ: u32 = 1_410_000;
/// Power that it may take.
pub const LIMIT_MW: u64 = 70_000;
/// What a call of the driver costs the host.
pub const CALL_NS: f64 = 3_000.0;
/// What is left of a launch when it does nothing.
pub const EMPTY_NS: f64 = 2_000.0;
/// The same in a graph.
pub const EMPTY_IN_GRAPH_NS: f64 = 1_200.0;
/// What of either lies before the kernel begins.
pub const GAP_NS: f64 = 800.0;
/// Bytes that memory gives a nanosecond: nine tenths of what its clock promises.
pub const BYTES_PER_NS: f64 = 17.5;
/// Warp instructions that all multiprocessors issue a clock.
const ISSUED: f64 = 4.0 * MULTIPROCESSORS as f64;
/// Operations that all tensor cores do a clock.
const TENSOR: f64 = 1024.0 * MULTIPROCESSORS as f64;
/// The part of its clock that it keeps when it is slowed down.
pub const SLOWED: f64 = 0.5;

/// What a GPU tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Telemetry {
    pub mhz: f64,
    pub power_mw: u64,
    pub temperature_c: u32,
    pub throttle: Throttle,
    pub energy_mj: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry {
            mhz: f64::from(KHZ) / 1e3,
            power_mw: 20_000,
            temperature_c: 40,
            throttle: Throttle(0),
            energy_mj: 0.0,
        }
    }
}

/// Nanoseconds of a kernel that executed this, at full clock, without what every launch takes.
pub fn kernel_ns(counters: &ptxsim::Counters) -> f64 {
    let memory = moved(counters) as f64 / BYTES_PER_NS;
    issue_ns(counters).max(tensor_ns(counters)).max(memory)
}

/// Nanoseconds that the multiprocessors take to issue this.
pub fn issue_ns(counters: &ptxsim::Counters) -> f64 {
    counters.get("warp_instructions") as f64 / ISSUED / (f64::from(KHZ) / 1e6)
}

/// Nanoseconds that the tensor cores take to do this.
pub fn tensor_ns(counters: &ptxsim::Counters) -> f64 {
    counters.get("tensor_flops") as f64 / TENSOR / (f64::from(KHZ) / 1e6)
}

/// Bytes that go between the multiprocessors and memory.
pub fn moved(counters: &ptxsim::Counters) -> u64 {
    let sectors = counters.get("global_load_sectors")
        + counters.get("global_store_sectors")
        + counters.get("cp_async_sectors");
    let copied = counters.get("tma_load_bytes")
        + counters.get("tma_store_bytes")
        + counters.get("bulk_load_bytes")
        + counters.get("bulk_store_bytes");
    32 * sectors + copied
}

/// Nanoseconds of a product by a library, that reaches this share of what the pipes of its format give.
pub fn product_ns(flops: f64, bytes: f64, tensor: bool, share: f64) -> f64 {
    let per_clock = if tensor { TENSOR } else { 256.0 * f64::from(MULTIPROCESSORS) };
    (flops / per_clock / (f64::from(KHZ) / 1e6)).max(bytes / BYTES_PER_NS) / share
}

/// Nanoseconds of a copy, which reads and writes, or of a fill, which writes.
pub fn traffic_ns(bytes: u64) -> f64 {
    EMPTY_NS + bytes as f64 / BYTES_PER_NS
}

/// A factor within half a percent of 1, another for each number: no two samples are the same.
pub fn jitter(number: u64) -> f64 {
    let mut x = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    1.0 + 0.005 * ((x >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
}

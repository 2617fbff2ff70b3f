//! How long a launch will take, before it is tried: so that what would blow the budget is refused, and `list --estimate`
//! can answer without running anything.

use crate::device::Capabilities;
use crate::ops::{Case, DType, Family, Pass, Precision};
use crate::record::Record;
use crate::units::{ByteRate, FlopRate, Nanos};

/// What a prediction stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The same kernel, measured on another size.
    Measured,
    /// An assumed share of an assumed peak: right within a factor of a few.
    Nominal,
}

/// A predicted time of one launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The time.
    pub launch: Nanos,
    /// What it stands on.
    pub basis: Basis,
}

/// A measured launch that predictions are made from.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    kernel: String,
    op: &'static str,
    precision: Precision,
    pass: Pass,
    threads: usize,
    floor: Nanos,
    launch: Nanos,
}

/// Predicts launch times from nominal rates, and better ones from what has been measured.
#[derive(Debug, Clone)]
pub struct Estimator {
    flop_rate: FlopRate,
    byte_rate: ByteRate,
    known: Vec<Known>,
}

impl Estimator {
    /// Nominal rates of a processor with these capabilities: two FMA pipes of its widest registers at 3 GHz (256 bits are
    /// assumed where 512-bit registers may be double-pumped), and 10 GB/s, one thread.
    /// Of a GPU, what its clocks promise.
    pub fn nominal(capabilities: &Capabilities) -> Self {
        if let Some(gpu) = capabilities.gpu {
            let (flop_rate, byte_rate) = (gpu.flop_rate, gpu.byte_rate);
            return Estimator { flop_rate, byte_rate, known: Vec::new() };
        }
        let flops_per_cycle = if capabilities.isa.avx2 { 32.0 } else { 8.0 };
        Estimator {
            flop_rate: FlopRate(flops_per_cycle * 3e9),
            byte_rate: ByteRate(10e9),
            known: Vec::new(),
        }
    }

    /// Learns from a measured record.
    pub fn learn(&mut self, record: &Record) {
        if let Some(timing) = record.timing() {
            self.learn_launch(&record.kernel, &record.case, timing.median);
        }
    }

    /// Learns that `kernel` took `launch` on `case`.
    pub fn learn_launch(&mut self, kernel: &str, case: &Case, launch: Nanos) {
        let known = Known {
            kernel: kernel.to_owned(),
            op: case.problem.op(),
            precision: case.precision,
            pass: case.pass,
            threads: case.threads,
            floor: self.floor(case),
            launch,
        };
        self.known.push(known);
    }

    /// The predicted time of a launch: scaled from the measured case nearest in work, else nominal.
    pub fn predict(&self, kernel: &str, case: &Case) -> Prediction {
        let floor = self.floor(case);
        let alike = |known: &&Known| {
            known.kernel == kernel
                && known.op == case.problem.op()
                && known.precision == case.precision
                && known.pass == case.pass
        };
        // The same thread count where there is one, then the nearest in work.
        let distance = |known: &Known| {
            let work = (known.floor.0 / floor.0).ln().abs();
            work + if known.threads == case.threads { 0.0 } else { 100.0 }
        };
        let nearest =
            self.known.iter().filter(alike).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        match nearest {
            Some(known) => Prediction {
                launch: Nanos(known.launch.0 * floor.0 / known.floor.0),
                basis: Basis::Measured,
            },
            None => Prediction {
                launch: Nanos(floor.0 / nominal_share(kernel, case.problem.family())),
                basis: Basis::Nominal,
            },
        }
    }

    /// The time that nominal rates allow at best; at least 100 ns, what a call costs.
    fn floor(&self, case: &Case) -> Nanos {
        let cost = case.cost();
        let threads = case.threads as f64;
        let faster = match case.precision.inputs {
            DType::I8 | DType::E4m3 => 4.0,
            DType::Bf16 | DType::F16 => 2.0,
            _ => 1.0,
        };
        let arithmetic = cost.flops / FlopRate(self.flop_rate.0 * threads * faster);
        let memory = cost.bytes / ByteRate(self.byte_rate.0 * threads);
        Nanos(arithmetic.0.max(memory.0).max(100.0))
    }
}

/// The share of the nominal rate that a step of the ladder is assumed to reach before it has been measured; low, for a
/// wrong guess upwards costs time and one downwards only a kernel's turn on a large case.
fn nominal_share(kernel: &str, family: Family) -> f64 {
    let step = kernel.rsplit('/').next().unwrap_or(kernel);
    match (family, step) {
        (Family::Matmul | Family::Attention, "naive") => 0.01,
        (Family::Matmul | Family::Attention, "blocked") => 0.1,
        (Family::Optimizer, "naive") => 0.3,
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Isa;
    use crate::ops::{Matmul, Problem};
    use crate::units::Bytes;

    fn estimator() -> Estimator {
        let isa = Isa { avx2: true, ..Isa::PORTABLE };
        let (memory, last_level_cache) = (Bytes(1 << 34), Bytes(32 << 20));
        Estimator::nominal(&Capabilities { isa, threads: 2, memory, last_level_cache, gpu: None })
    }

    fn square(size: usize) -> Case {
        Case::new(Problem::Matmul(Matmul::new(size, size, size)), Precision::F32)
    }

    #[test]
    fn what_was_measured_counts_for_more_than_what_is_assumed() {
        let mut e = estimator();
        let guess = e.predict("matmul/simd", &square(1024));
        assert_eq!(guess.basis, Basis::Nominal);
        e.learn_launch("matmul/simd", &square(512), Nanos(3e6));
        let better = e.predict("matmul/simd", &square(1024));
        assert_eq!(better.basis, Basis::Measured);
        assert!(
            (better.launch.0 - 24e6).abs() < 1e5,
            "eight times the work takes eight times as long: {better:?}"
        );
    }

    #[test]
    fn the_nearest_size_is_scaled_from() {
        let mut e = estimator();
        e.learn_launch("matmul/simd", &square(64), Nanos(1e6));
        e.learn_launch("matmul/simd", &square(512), Nanos(3e6));
        assert!(e.predict("matmul/simd", &square(1024)).launch.0 < 30e6);
    }

    #[test]
    fn another_kernel_or_dtype_teaches_nothing() {
        let mut e = estimator();
        e.learn_launch("matmul/simd", &square(512), Nanos(3e6));
        assert_eq!(e.predict("matmul/naive", &square(512)).basis, Basis::Nominal);
        let bf16 = Case { precision: Precision::BF16, ..square(512) };
        assert_eq!(e.predict("matmul/simd", &bf16).basis, Basis::Nominal);
    }
}

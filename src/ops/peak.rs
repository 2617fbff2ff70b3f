//! Probes of what the machine can reach: arithmetic per dtype, memory traffic per access pattern.
//!
//! A probe is a kernel like any other: seeded operands, a reference, a check before the clock. A roof is the fastest right
//! answer of all kernels to a probe. Traffic is counted as STREAM does (McCalpin 1995): what the program reads and writes,
//! without the lines that a cache fetches only to overwrite them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::random::{self, Stream};
use super::{
    Cost, DType, Expected, ExpectedPart, Inputs, Precision, Role, Tensor, TensorSpec, Update,
    sample,
};
use crate::units::{Bytes, Flops};

/// What a probe exercises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Multiply-accumulate in registers, in the case's input dtype: see [`Probe::rounds`].
    Fma,
    /// One stream read: the result is the exclusive or of its 32-bit words, which no order of reading changes.
    Read,
    /// One stream written, with [`PATTERN`] numbers over and over.
    Write,
    /// One stream read, one written.
    Copy,
    /// Two streams read, one written: `a = b + s·c`.
    Triad,
    /// Two streams read, the first written back in place: the traffic of SGD. As the other updates `p ← p / 2 + g` for every
    /// stream p that is written, which stays bounded however often it is launched.
    Update2r1w,
    /// Three streams read, the first two written back: momentum, Nesterov, Adagrad, RMSprop, Lion.
    Update3r2w,
    /// Four streams read, the first three written back: Adam, AdamW.
    Update4r3w,
}

impl ProbeKind {
    /// Every kind.
    pub const ALL: [ProbeKind; 8] = [
        ProbeKind::Fma,
        ProbeKind::Read,
        ProbeKind::Write,
        ProbeKind::Copy,
        ProbeKind::Triad,
        ProbeKind::Update2r1w,
        ProbeKind::Update3r2w,
        ProbeKind::Update4r3w,
    ];

    /// The access pattern of an update.
    pub fn of_update(update: &Update) -> ProbeKind {
        match update.rule.moments() {
            0 => ProbeKind::Update2r1w,
            1 => ProbeKind::Update3r2w,
            _ => ProbeKind::Update4r3w,
        }
    }

    /// The name used in keys and tables.
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Fma => "fma",
            ProbeKind::Read => "read",
            ProbeKind::Write => "write",
            ProbeKind::Copy => "copy",
            ProbeKind::Triad => "triad",
            ProbeKind::Update2r1w => "update-2r1w",
            ProbeKind::Update3r2w => "update-3r2w",
            ProbeKind::Update4r3w => "update-4r3w",
        }
    }

    /// Streams read and streams written; an updated one is both.
    pub fn streams(self) -> (u64, u64) {
        match self {
            ProbeKind::Fma => (0, 0),
            ProbeKind::Read => (1, 0),
            ProbeKind::Write => (0, 1),
            ProbeKind::Copy => (1, 1),
            ProbeKind::Triad => (2, 1),
            ProbeKind::Update2r1w => (2, 1),
            ProbeKind::Update3r2w => (3, 2),
            ProbeKind::Update4r3w => (4, 3),
        }
    }

    /// The streams that are updated in place, by the roles of the optimizer that they stand for.
    fn updated(self) -> &'static [Role] {
        let count = match self {
            ProbeKind::Update2r1w => 1,
            ProbeKind::Update3r2w => 2,
            ProbeKind::Update4r3w => 3,
            _ => 0,
        };
        &[Role::Params, Role::Moment1, Role::Moment2][..count]
    }
}

/// Independent accumulators of the arithmetic probe: 24 zmm registers of f32, four times 12 ymm registers.
pub const CHAINS: usize = 384;
/// Accumulators i and i + 8 are fed the same factors, so that these fit one register of any width.
pub const PERIOD: usize = 8;
/// Numbers in the pattern of [`ProbeKind::Write`]: a cache line.
pub const PATTERN: usize = 16;
/// The factor of [`ProbeKind::Triad`].
pub const SCALAR: f32 = 3.0;

/// Up to so many elements of a stream are checked, above that a sample.
const WHOLE: usize = 1 << 20;

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// What it exercises.
    pub kind: ProbeKind,
    /// Bytes of each stream; for [`ProbeKind::Fma`] the thousands of operations of a launch.
    pub size: usize,
}

impl Probe {
    /// A probe of `kind` out of main memory: its streams together take four times the last-level cache, but at most
    /// 256 MiB; each is a whole number of huge pages.
    pub fn beyond_cache(kind: ProbeKind, last_level_cache: Bytes) -> Probe {
        const HUGE: u64 = 2 << 20;
        let (read, written) = kind.streams();
        // An updated stream is read and written, but stands in memory once.
        let buffers = (read + written - kind.updated().len() as u64).max(1);
        let together = (4 * last_level_cache.0).clamp(64 << 20, 256 << 20);
        let size = together.div_ceil(buffers * HUGE) * HUGE;
        Probe { kind, size: size.min((256 << 20) / buffers / HUGE * HUGE) as usize }
    }

    /// A probe of arithmetic with about a millisecond of work for each thread: 256 million operations, which wide vectors
    /// do in 0.25 (int8) to 1 ms (f32), and the portable path in some ten.
    pub fn arithmetic(threads: usize) -> Probe {
        Probe { kind: ProbeKind::Fma, size: 256_000 * threads.max(1) }
    }

    /// How many products one accumulator step adds up: 1 in f32, 2 in bf16 and f16, 4 in int8, as the dot-product
    /// instructions of CPUs do.
    pub fn dot(inputs: DType) -> usize {
        (4 / inputs.size()).max(1)
    }

    /// How often each of `threads` threads steps its [`CHAINS`] accumulators: the smallest odd number that does the work of
    /// [`Probe::size`] (at most two steps too many, which are not counted).
    ///
    /// Odd steps add a·b, even ones subtract it. All numbers are small integers, hence exact in every dtype: whatever the
    /// number of steps, an accumulator that began as x ends as x + a·b, and none ever overflows.
    pub fn rounds(&self, inputs: DType, threads: usize) -> u64 {
        let a_round = 2 * CHAINS as u64 * Self::dot(inputs) as u64 * threads.max(1) as u64;
        (self.size as u64 * 1000).div_ceil(a_round) | 1
    }

    /// The number of f32 in each stream.
    pub fn len(&self) -> usize {
        self.size / 4
    }

    /// Whether the streams have no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The work: multiplications and additions (an FMA counts two), and bytes as STREAM counts them.
    pub fn cost(&self, precision: Precision) -> Cost {
        let (read, written) = self.kind.streams();
        let len = self.len() as u64;
        match self.kind {
            ProbeKind::Fma => {
                let tensors = self.operands(precision).into_iter().chain(self.results(precision));
                Cost {
                    flops: Flops(self.size as u64 * 1000),
                    bytes: tensors.fold(Bytes(0), |sum, spec| sum + spec.bytes()),
                }
            }
            ProbeKind::Triad => Cost { flops: Flops(2 * len), bytes: Bytes(4 * len * 3) },
            kind => Cost {
                flops: Flops(2 * len * kind.updated().len() as u64),
                bytes: Bytes(4 * len * (read + written)),
            },
        }
    }

    /// Why the sizes make no sense, if so.
    pub fn invalid(&self) -> Option<String> {
        if self.size == 0 {
            return Some("a probe of size 0 measures nothing".into());
        }
        if self.size >> 44 != 0 {
            return Some(format!("a probe of size {} is too large to describe", self.size));
        }
        (self.kind != ProbeKind::Fma && !self.size.is_multiple_of(4)).then(|| {
            format!("streams hold f32: {} bytes are not a whole number of them", self.size)
        })
    }

    /// Streams of f32 `[len]`: those only read, then those updated. Of the arithmetic probe: accumulators `[CHAINS]`, factors
    /// a and b `[PERIOD, dot]`; of write: the pattern `[PATTERN]`.
    pub fn operands(&self, precision: Precision) -> Vec<TensorSpec> {
        let stream = || TensorSpec::new(Role::Stream, DType::F32, &[self.len()]);
        match self.kind {
            ProbeKind::Fma => {
                let factors = [PERIOD, Self::dot(precision.inputs)];
                let factor = || TensorSpec::new(Role::Stream, precision.inputs, &factors);
                vec![
                    TensorSpec::new(Role::Stream, precision.accumulate, &[CHAINS]),
                    factor(),
                    factor(),
                ]
            }
            ProbeKind::Read | ProbeKind::Copy => vec![stream()],
            ProbeKind::Write => vec![TensorSpec::new(Role::Stream, DType::F32, &[PATTERN])],
            ProbeKind::Triad => vec![stream(), stream()],
            kind => {
                let mut specs = vec![TensorSpec::new(Role::Grads, DType::F32, &[self.len()])];
                let updated = kind.updated().iter();
                specs.extend(
                    updated.map(|&role| TensorSpec::in_out(role, DType::F32, &[self.len()])),
                );
                specs
            }
        }
    }

    /// The stream written; of the arithmetic probe the accumulators `[CHAINS]` (the mean over threads), of read the checksum
    /// `[1]`.
    pub fn results(&self, precision: Precision) -> Vec<TensorSpec> {
        let (dtype, len) = match self.kind {
            ProbeKind::Fma => (precision.accumulate, CHAINS),
            ProbeKind::Read => (DType::I32, 1),
            ProbeKind::Write | ProbeKind::Copy | ProbeKind::Triad => (DType::F32, self.len()),
            _ => return Vec::new(),
        };
        vec![TensorSpec::new(Role::Stream, dtype, &[len])]
    }

    /// Random operands: streams N(0, 1); of the arithmetic probe integers, accumulators within ±63, a in 1..=8, b within ±8
    /// and not 0.
    pub fn inputs(&self, precision: Precision, seed: u64) -> Inputs {
        let make = |(i, spec): (u32, TensorSpec)| match (self.kind, i) {
            (ProbeKind::Fma, 0) => integers(spec, seed, i, |bits| (bits % 127) as i8 - 63),
            (ProbeKind::Fma, 1) => integers(spec, seed, i, |bits| (bits % 8) as i8 + 1),
            (ProbeKind::Fma, _) => integers(spec, seed, i, |bits| {
                let magnitude = (bits % 8) as i8 + 1;
                if bits & 8 == 0 { magnitude } else { -magnitude }
            }),
            _ => random::normal(spec, seed, i, 1.0),
        };
        let tensors = (0..).zip(self.operands(precision)).map(make).collect();
        Inputs { seed, tensors: std::sync::Arc::new(tensors) }
    }

    /// See [`super::Case::expected`]; long streams are checked at 2¹⁸ entries.
    pub fn expected(&self, inputs: &Inputs) -> Expected {
        const ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;
        let operands = &inputs.tensors;
        match self.kind {
            ProbeKind::Fma => {
                let dot = operands[1].spec.len() / PERIOD;
                let value = |i: usize| {
                    let terms = (i % PERIOD * dot..).take(dot);
                    let sum: f64 = terms.map(|at| operands[1].get(at) * operands[2].get(at)).sum();
                    operands[0].get(i) + sum
                };
                exact(Role::Stream, None, (0..CHAINS).map(value).collect())
            }
            ProbeKind::Read => {
                let words: &[u32] = bytemuck::cast_slice(&operands[0].bytes);
                let sum = words.iter().fold(0, |sum, word| sum ^ word);
                exact(Role::Stream, None, vec![f64::from(sum as i32)])
            }
            kind => {
                let entries = sample::entries(self.len(), WHOLE, inputs.seed);
                let at: Vec<usize> = match &entries {
                    None => (0..self.len()).collect(),
                    Some(entries) => entries.iter().map(|&e| e as usize).collect(),
                };
                let list = |f: &dyn Fn(usize) -> f64| at.iter().map(|&i| f(i)).collect::<Vec<_>>();
                match kind {
                    ProbeKind::Write => {
                        exact(Role::Stream, entries, list(&|i| operands[0].get(i % PATTERN)))
                    }
                    ProbeKind::Copy => exact(Role::Stream, entries, list(&|i| operands[0].get(i))),
                    ProbeKind::Triad => {
                        let terms =
                            |i| (operands[0].get(i), f64::from(SCALAR) * operands[1].get(i));
                        let part = ExpectedPart {
                            role: Role::Stream,
                            entries,
                            values: list(&|i| terms(i).0 + terms(i).1),
                            scales: list(&|i| terms(i).0.abs() + terms(i).1.abs()),
                        };
                        Expected { tolerance: 3.0 * ROUNDOFF, parts: vec![part] }
                    }
                    _ => {
                        let part = |stream: &Tensor| ExpectedPart {
                            role: stream.spec.role,
                            entries: entries.clone(),
                            values: list(&|i| stream.get(i) / 2.0 + operands[0].get(i)),
                            scales: list(&|i| stream.get(i).abs() / 2.0 + operands[0].get(i).abs()),
                        };
                        let parts = operands[1..].iter().map(part).collect();
                        Expected { tolerance: 2.0 * ROUNDOFF, parts }
                    }
                }
            }
        }
    }
}

/// One result that no rounding touches.
fn exact(role: Role, entries: Option<Vec<u64>>, values: Vec<f64>) -> Expected {
    let scales = vec![1.0; values.len()];
    Expected { tolerance: 0.0, parts: vec![ExpectedPart { role, entries, values, scales }] }
}

/// A tensor of small integers, exact in every dtype that multiplies.
fn integers(spec: TensorSpec, seed: u64, number: u32, value: impl Fn(u32) -> i8) -> Tensor {
    let stream = Stream::new(seed, number);
    let mut out = Tensor::zeroed(spec);
    let values = (0..out.spec.len() as u64).map(|i| value(stream.bits(i)));
    match out.spec.dtype {
        DType::F64 => out.as_mut::<f64>().iter_mut().zip(values).for_each(|(x, v)| *x = v.into()),
        DType::F32 | DType::Tf32 => {
            out.as_mut::<f32>().iter_mut().zip(values).for_each(|(x, v)| *x = v.into())
        }
        DType::Bf16 => {
            let out = out.as_mut::<half::bf16>().iter_mut();
            out.zip(values).for_each(|(x, v)| *x = half::bf16::from_f32(v.into()))
        }
        DType::F16 => {
            let out = out.as_mut::<half::f16>().iter_mut();
            out.zip(values).for_each(|(x, v)| *x = half::f16::from_f32(v.into()))
        }
        DType::I8 => out.as_mut::<i8>().iter_mut().zip(values).for_each(|(x, v)| *x = v),
        DType::E4m3 => out.as_mut::<u8>().iter_mut().zip(values).for_each(|(x, v)| *x = e4m3(v)),
        DType::I32 => out.as_mut::<i32>().iter_mut().zip(values).for_each(|(x, v)| *x = v.into()),
    }
    out
}

/// An integer of at most four bits in e4m3, exactly.
fn e4m3(value: i8) -> u8 {
    let size = value.unsigned_abs();
    let Some(log) = size.checked_ilog2() else { return 0 };
    let sign = if value < 0 { 0x80 } else { 0 };
    sign | (log as u8 + 7) << 3 | ((size << 3 >> log) & 7)
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.size)
    }
}

#[cfg(test)]
mod tests;

//! What measuring comes to by itself on a GPU: an empty kernel, a kernel of known length, a copy of known bytes.
//!
//! It is part of every run, and stands in its `machine.json`. Where it is off, so is every time of the run, and the run says so.

use serde::{Deserialize, Serialize};

use super::stopwatch::{Start, Stopwatch};
use crate::device::GpuDevice;
use crate::device::cuda::nvml::Reading;
use crate::device::cuda::owned::Buffer;
use crate::error::Result;
use crate::stats::order;
use crate::units::{ByteRate, Bytes, Nanos};

/// Samples of each part.
const SAMPLES: usize = 15;
/// How long the kernel of known length runs.
const SPIN_NS: u64 = 200_000;

/// Lowest, median and highest of some samples, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Lowest.
    pub low_ns: f64,
    /// Median.
    pub median_ns: f64,
    /// Highest.
    pub high_ns: f64,
}

/// What was found, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// An empty kernel behind a flush of the cache.
    pub empty_cold: Spread,
    /// An empty kernel without.
    pub empty_warm: Spread,
    /// How long the kernel of known length should run.
    pub spin_asked_ns: f64,
    /// How long it was seen to run.
    pub spin: Spread,
    /// Bytes that the copy reads and writes, both counted.
    pub copy_bytes: Bytes,
    /// The copy.
    pub copy: Spread,
    /// Its median rate, in bytes a second.
    pub copy_rate: ByteRate,
    /// What memory could give by its clock and width; `None` where the driver does not tell.
    pub memory_rate: Option<ByteRate>,
    /// Memory that was free, this measuring's own taken off.
    pub memory_free: Bytes,
    /// The clock of the multiprocessors, probed on the GPU.
    pub sm_mhz: Option<f64>,
    /// What NVML told right after.
    pub reading: Reading,
    /// Why nothing was told, where nobody tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmonitored: Option<String>,
    /// What is off, each in a sentence; nothing where times can be trusted.
    pub unfit: Vec<String>,
}

fn spread(mut samples: Vec<f64>) -> Spread {
    samples.sort_by(f64::total_cmp);
    let quantile = |q| order::quantile(&samples, q).unwrap_or(f64::NAN);
    Spread { low_ns: quantile(0.0), median_ns: quantile(0.5), high_ns: quantile(1.0) }
}

/// Calibrates.
pub(super) fn calibrate(device: &GpuDevice, watch: &Stopwatch) -> Result<Calibration> {
    let mut sm_mhz = None;
    let mut times = |start: Start, enqueue: &mut dyn FnMut() -> Result<()>| -> Result<Spread> {
        let mut samples = Vec::new();
        // The first is not counted: it wakes the GPU up.
        for i in 0..=SAMPLES {
            let lap = watch.blocked(start, enqueue)?;
            sm_mhz = lap.sm_mhz.or(sm_mhz);
            if i > 0 {
                samples.push(lap.ns);
            }
        }
        Ok(spread(samples))
    };
    let mut empty = || watch.launch(watch.probes.empty, &[]);
    // The clock of an idle GPU rises with work.
    times(Start::AsIs, &mut || watch.launch(watch.probes.spin, &[10 * SPIN_NS]))?;
    let empty_cold = times(Start::Flushed, &mut empty)?;
    let empty_warm = times(Start::AsIs, &mut empty)?;
    let spin = times(Start::AsIs, &mut || watch.launch(watch.probes.spin, &[SPIN_NS]))?;
    let context = &device.context;
    let memory_free = context.room()?.free;
    let one = copied(device)?;
    let (from, to) = (Buffer::new(context, one)?, Buffer::new(context, one)?);
    context.fill(from.address, 0x5a, one)?;
    let copy = times(Start::Flushed, &mut || context.copy(to.address, from.address, one))?;
    let copy_bytes = one * 2;
    let mut found = Calibration {
        empty_cold,
        empty_warm,
        spin_asked_ns: SPIN_NS as f64,
        spin,
        copy_bytes,
        copy,
        copy_rate: copy_bytes / Nanos(copy.median_ns),
        memory_rate: context.attributes().memory_rate(),
        memory_free,
        sm_mhz,
        reading: device.monitor.as_ref().map(|monitor| monitor.read()).unwrap_or_default(),
        unmonitored: device.monitor.as_ref().err().cloned(),
        unfit: Vec::new(),
    };
    found.unfit = found.judge();
    Ok(found)
}

/// Bytes of the copy: eight times the cache and at least a millisecond's worth on slow memory, as far as there is room.
fn copied(device: &GpuDevice) -> Result<Bytes> {
    let free = device.context.room()?.free.0;
    let wanted = (8 * device.capabilities.last_level_cache.0).clamp(1 << 20, 1 << 30);
    Ok(Bytes((wanted.min(free / 4) & !255).max(256)))
}

impl Calibration {
    /// One line on it.
    pub fn line(&self) -> String {
        let promised = self.memory_rate.map_or(String::new(), |rate| {
            format!(", {:.0} % of what memory promises", 100.0 * self.copy_rate.0 / rate.0)
        });
        let clock = self.sm_mhz.map_or(String::new(), |mhz| format!("; {mhz:.0} MHz"));
        format!(
            "an empty kernel takes {} cold and {} warm, a kernel of {} takes {}, a copy reads and writes {}{promised}{clock}",
            Nanos(self.empty_cold.median_ns),
            Nanos(self.empty_warm.median_ns),
            Nanos(self.spin_asked_ns),
            Nanos(self.spin.median_ns),
            self.copy_rate
        )
    }

    /// What is off.
    fn judge(&self) -> Vec<String> {
        /// Events resolve half a microsecond on older GPUs.
        const TICK_NS: f64 = 1_000.0;
        /// More than an empty kernel takes on any GPU: the host's pace would be in it.
        const EMPTY_MOST_NS: f64 = 20_000.0;
        /// The GPU's slow clock ticks once a microsecond on some.
        const SPIN_SLACK: f64 = 0.02;
        /// Copies reach 80 to 93 % of what memory promises.
        const COPY: (f64, f64) = (0.5, 1.02);
        let mut unfit = Vec::new();
        let (cold, warm) = (self.empty_cold, self.empty_warm);
        let overlap =
            cold.low_ns <= warm.high_ns + TICK_NS && warm.low_ns <= cold.high_ns + TICK_NS;
        if !overlap {
            unfit.push(format!(
                "an empty kernel takes {} behind a flush of the cache and {} without: flushing gets into the times",
                Nanos(cold.median_ns),
                Nanos(warm.median_ns)
            ));
        }
        if !(warm.median_ns <= EMPTY_MOST_NS) {
            unfit.push(format!(
                "an empty kernel takes {}: the host's pace gets into the times",
                Nanos(warm.median_ns)
            ));
        }
        let spun = self.spin.median_ns - warm.median_ns;
        if !((spun - self.spin_asked_ns).abs() <= SPIN_SLACK * self.spin_asked_ns + 2.0 * TICK_NS) {
            unfit.push(format!(
                "a kernel of {} is seen to take {}: events and the GPU's clock disagree",
                Nanos(self.spin_asked_ns),
                Nanos(spun)
            ));
        }
        if let Some(promised) = self.memory_rate {
            let share = self.copy_rate.0 / promised.0;
            if !(COPY.0..=COPY.1).contains(&share) {
                unfit.push(format!(
                    "a copy of {} reads and writes {}, {:.0} % of the {promised} that memory promises",
                    self.copy_bytes,
                    self.copy_rate,
                    share * 100.0
                ));
            }
        }
        unfit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(ns: f64) -> Spread {
        Spread { low_ns: ns, median_ns: ns, high_ns: ns }
    }

    /// As an H200 should read.
    fn good() -> Calibration {
        let copy_bytes = Bytes(960 << 20);
        Calibration {
            empty_cold: flat(2300.0),
            empty_warm: flat(2250.0),
            spin_asked_ns: 200_000.0,
            spin: flat(202_400.0),
            copy_bytes,
            copy: flat(234_100.0),
            copy_rate: ByteRate(4.3e12),
            memory_rate: Some(ByteRate(4.9e12)),
            memory_free: Bytes(140 << 30),
            sm_mhz: Some(1980.0),
            reading: Reading::default(),
            unmonitored: None,
            unfit: Vec::new(),
        }
    }

    #[test]
    fn what_an_h200_should_read_is_fit_and_reads_back_as_written() {
        assert_eq!(good().judge(), Vec::<String>::new());
        let text = serde_json::to_string(&good()).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), good());
    }

    #[test]
    fn each_part_that_is_off_is_told_in_a_sentence_of_its_own() {
        for (off, part) in [
            (Calibration { empty_cold: flat(9000.0), ..good() }, "flushing gets into the times"),
            (
                Calibration {
                    empty_cold: flat(3e4),
                    empty_warm: flat(3e4),
                    spin: flat(23e4),
                    ..good()
                },
                "the host's pace",
            ),
            (Calibration { spin: flat(150_000.0), ..good() }, "disagree"),
            (Calibration { copy_rate: ByteRate(6e12), ..good() }, "122 % of"),
            (Calibration { copy_rate: ByteRate(1e12), ..good() }, "20 % of"),
            (Calibration { copy_rate: ByteRate(f64::NAN), ..good() }, "that memory promises"),
        ] {
            let unfit = off.judge();
            assert!(unfit.len() == 1 && unfit[0].contains(part), "{unfit:?}");
        }
    }
}

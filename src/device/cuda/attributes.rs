//! What a GPU is, as its driver tells.

use serde::{Deserialize, Serialize};

use crate::kernels::cuda::Architecture;
use crate::units::{ByteRate, Bytes};

/// The facts about a GPU that times depend on; they stand in `machine.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Its number, by the driver's count.
    pub ordinal: u32,
    /// What the driver calls it; a slice of a GPU has `MIG` and its profile in its name.
    pub name: String,
    /// Its identity; left out of files, for it names one very board.
    #[serde(skip)]
    pub uuid: String,
    /// Its place on the bus.
    #[serde(skip)]
    pub bus: String,
    /// Compute capability, times ten.
    pub capability: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// All memory.
    pub memory: Bytes,
    /// The second-level cache.
    pub l2: Bytes,
    /// Most shared memory that a block may ask for.
    pub shared_per_block: u32,
    /// Highest clock of the multiprocessors.
    pub clock_khz: u32,
    /// Clock of the memory; 0 where the driver does not tell.
    pub memory_clock_khz: u32,
    /// Width of the memory's bus; 0 where the driver does not tell.
    pub bus_bits: u32,
    /// Whether memory corrects errors, which takes some of its bandwidth and room on older GPUs.
    pub ecc: bool,
    /// The driver's version, as of CUDA: 12040 is 12.4.
    pub driver: u32,
}

impl Attributes {
    /// What to compile for: with the instructions of the generation alone, where it has such.
    pub fn architecture(&self) -> Architecture {
        match self.capability {
            90.. => Architecture::specific(self.capability),
            older => Architecture::plain(older),
        }
    }

    /// Whether it is a slice of a GPU.
    pub fn is_slice(&self) -> bool {
        self.name.split_whitespace().any(|word| word == "MIG")
    }

    /// What its memory could give at most, two transfers a clock; `None` where the driver does not tell.
    pub fn memory_rate(&self) -> Option<ByteRate> {
        let rate = 2e3 * f64::from(self.memory_clock_khz) * f64::from(self.bus_bits) / 8.0;
        // A slice has a part of the bus, and the driver tells of the whole.
        (rate > 0.0 && !self.is_slice()).then_some(ByteRate(rate))
    }

    /// `12.4`
    pub fn driver_version(&self) -> String {
        version(self.driver)
    }

    /// One line on it.
    pub fn line(&self) -> String {
        let slice = if self.is_slice() { ", a slice of a GPU" } else { "" };
        let ecc = if self.ecc { ", ECC" } else { "" };
        format!(
            "{}{slice}, {}, {} multiprocessors to {:.2} GHz, {} of memory{ecc}, L2 {}",
            self.name,
            self.architecture(),
            self.multiprocessors,
            f64::from(self.clock_khz) / 1e6,
            self.memory,
            self.l2
        )
    }

    /// A word for the names of folders: `nvidia-h200`.
    pub fn slug(&self) -> String {
        let words = self.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
    }
}

/// `12.4` of 12040.
pub fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A GPU like an H200.
    pub fn sample() -> Attributes {
        Attributes {
            ordinal: 0,
            name: "NVIDIA H200".into(),
            uuid: String::new(),
            bus: String::new(),
            capability: 90,
            multiprocessors: 132,
            memory: Bytes(150_754_820_096),
            l2: Bytes(60 << 20),
            shared_per_block: 232_448,
            clock_khz: 1_980_000,
            memory_clock_khz: 3_201_000,
            bus_bits: 6144,
            ecc: true,
            driver: 12080,
        }
    }

    #[test]
    fn the_memory_of_an_h200_could_give_some_4_9_terabytes_a_second() {
        let rate = sample().memory_rate().unwrap();
        assert!((rate.0 / 4.917e12 - 1.0).abs() < 0.01, "{rate}");
    }

    #[test]
    fn a_slice_is_named_as_such_and_its_memory_promises_nothing() {
        let slice = Attributes { name: "NVIDIA A100-SXM4-40GB MIG 1g.5gb".into(), ..sample() };
        assert!(slice.is_slice() && slice.line().contains("MIG 1g.5gb, a slice of a GPU"));
        assert_eq!(slice.memory_rate(), None);
        assert_eq!(slice.slug(), "nvidia-a100-sxm4-40gb-mig-1g-5gb");
        assert!(!sample().is_slice());
    }

    #[test]
    fn generations_with_instructions_of_their_own_are_compiled_for_with_them() {
        let of = |capability| Attributes { capability, ..sample() }.architecture().to_string();
        assert_eq!([of(75), of(89), of(90), of(120)], ["sm_75", "sm_89", "sm_90a", "sm_120a"]);
    }
}

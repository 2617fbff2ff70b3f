//! What the fake driver pretends: words of `SCALEMARK_FAKE`, separated by commas.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::throttle::Throttle;
use crate::units::Bytes;

/// The machine that is pretended, and what goes wrong on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// Whether there is a driver at all.
    pub driver: bool,
    /// Its version: 12040 is 12.4.
    pub version: u32,
    /// How many GPUs there are.
    pub gpus: u32,
    /// Whether they are slices of one.
    pub slices: bool,
    /// Memory of each.
    pub memory: Bytes,
    /// What another process holds of it.
    pub held: Bytes,
    /// Whether anybody tells clocks, power and temperature.
    pub nvml: bool,
    /// Whether cuBLASLt is there.
    pub cublaslt: bool,
    /// Whether CUPTI is there.
    pub cupti: bool,
    /// Whether it may count.
    pub counters: bool,
    /// Whether anybody counts energy.
    pub energy: bool,
    /// Entries that access memory which is not theirs, each from its so manieth launch on.
    pub illegal: HashMap<String, u64>,
    /// Entries that never end, likewise.
    pub hang: HashMap<String, u64>,
    /// The allocation, by its number from 1, that fails although there is room.
    pub oom: Option<u64>,
    /// What slows the GPU down, and every how manieth wait it does.
    pub throttle: Option<(Throttle, u64)>,
    /// Which part of the calibration is off.
    pub skew: Option<Skew>,
}

/// What is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// Kernels behind a flush of the cache start late.
    Cold,
    /// Events run fast.
    Spin,
    /// Copies take a tenth of the time that memory allows.
    Copy,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            driver: true,
            version: 12_040,
            gpus: 1,
            slices: false,
            memory: Bytes(1 << 30),
            held: Bytes(0),
            nvml: true,
            cublaslt: true,
            cupti: true,
            counters: true,
            energy: true,
            illegal: HashMap::new(),
            hang: HashMap::new(),
            oom: None,
            throttle: None,
            skew: None,
        }
    }
}

const KNOWN: &str = "no-driver, driver=11.4, gpus=2, mig, memory=64MiB, held=1GiB, no-nvml, no-energy, no-cublaslt, no-cupti, \
                     no-counters,                      illegal=ENTRY, hang=ENTRY@3, oom=5, throttle=power@3, skew=cold, skew=spin, skew=copy";

impl Conditions {
    /// Those of the environment.
    ///
    /// # Errors
    /// Names a word that means nothing, and those that do.
    pub fn from_environment() -> Result<Self> {
        Conditions::parse(&std::env::var("SCALEMARK_FAKE").unwrap_or_default())
    }

    /// Those that `text` names.
    ///
    /// # Errors
    /// As above.
    pub fn parse(text: &str) -> Result<Self> {
        let mut all = Conditions::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            all.add(word).ok_or_else(|| {
                Error::Usage(format!("SCALEMARK_FAKE: `{word}` means nothing; known are {KNOWN}"))
            })?;
        }
        Ok(all)
    }

    fn add(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let counted = || {
            let (what, nth) = value.split_once('@').unwrap_or((value, "1"));
            let nth = nth.parse::<u64>().ok().filter(|&nth| nth > 0)?;
            (!what.is_empty()).then(|| (what.to_owned(), nth))
        };
        match (name, value) {
            ("no-driver", "") => self.driver = false,
            ("mig", "") => self.slices = true,
            ("no-nvml", "") => self.nvml = false,
            ("no-energy", "") => self.energy = false,
            ("no-cublaslt", "") => self.cublaslt = false,
            ("no-cupti", "") => self.cupti = false,
            ("no-counters", "") => self.counters = false,
            ("driver", value) => {
                let (major, minor) = value.split_once('.')?;
                self.version =
                    1000 * major.parse::<u32>().ok()? + 10 * minor.parse::<u32>().ok()?;
            }
            ("gpus", value) => self.gpus = value.parse().ok()?,
            ("memory", value) => self.memory = bytes(value)?,
            ("held", value) => self.held = bytes(value)?,
            ("oom", value) => self.oom = Some(value.parse().ok()?),
            ("illegal", _) => self.illegal.extend([counted()?]),
            ("hang", _) => self.hang.extend([counted()?]),
            ("throttle", _) => {
                let (reasons, nth) = counted()?;
                self.throttle = Some((reasons.parse().ok()?, nth));
            }
            ("skew", "cold") => self.skew = Some(Skew::Cold),
            ("skew", "spin") => self.skew = Some(Skew::Spin),
            ("skew", "copy") => self.skew = Some(Skew::Copy),
            _ => return None,
        }
        Some(())
    }
}

/// `64MiB`, `1GiB`, `4096`
fn bytes(text: &str) -> Option<Bytes> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    Some(Bytes(number.parse::<u64>().ok()? << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_a_word_that_means_nothing_is_named() {
        let all = Conditions::parse(
            "gpus=2, mig,memory=64MiB,illegal=peak_copy,hang=peak_fma@3,throttle=power+thermal@4,skew=copy,driver=11.4",
        )
        .unwrap();
        assert_eq!((all.gpus, all.slices, all.memory), (2, true, Bytes(64 << 20)));
        assert_eq!((all.illegal["peak_copy"], all.hang["peak_fma"], all.version), (1, 3, 11_040));
        assert_eq!(
            all.throttle.map(|(t, nth)| (t.to_string(), nth)),
            Some(("power+thermal".into(), 4))
        );
        assert_eq!(Conditions::parse("").unwrap(), Conditions::default());
        for bad in ["gpu=2", "oom", "hang=", "hang=x@0", "throttle=heat", "memory=lots", "mig=1"] {
            let error = Conditions::parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("throttle=power@3"), "{error}");
        }
    }
}

//! The names of devices, as options and records have them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kernels::cuda::Architecture;

/// Which device: `cpu`, `sim` with the architecture that it compiles for, or GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The host's processor.
    #[default]
    Cpu,
    /// The PTX simulator.
    Sim(Architecture),
    /// GPUs of a driver.
    Gpus(Gpus),
}

/// Some GPUs of one driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpus {
    /// Whose they are.
    pub driver: DriverName,
    /// Which of them.
    pub which: Which,
}

/// Which driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverName {
    /// NVIDIA's.
    Cuda,
    /// The fake one, with GPUs of this architecture, which executes by simulation and whose times are made up.
    Fake(Architecture),
}

/// Which GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that there are.
    All,
    /// Those whose bits are set, by ordinal.
    Listed(u64),
}

impl DeviceName {
    /// The simulator where no architecture is named: the one that every kernel of this build has instructions for.
    pub const SIM: DeviceName = DeviceName::Sim(Architecture::specific(90));
}

impl Gpus {
    /// One GPU.
    pub fn one(driver: DriverName, ordinal: u32) -> Self {
        Gpus { driver, which: Which::Listed(1 << ordinal) }
    }

    /// The ordinals, of `count` that there are.
    ///
    /// # Errors
    /// Names one that is not there.
    pub fn ordinals(&self, count: u32) -> Result<Vec<u32>, String> {
        match self.which {
            Which::All if count == 0 => Err("the driver has no GPU".into()),
            Which::All => Ok((0..count).collect()),
            Which::Listed(bits) => {
                let asked: Vec<u32> = (0..64).filter(|bit| bits >> bit & 1 != 0).collect();
                match asked.iter().find(|&&ordinal| ordinal >= count) {
                    Some(missing) => {
                        Err(format!("there is no GPU {missing}: the driver has {count}"))
                    }
                    None => Ok(asked),
                }
            }
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriverName::Cuda => f.pad("cuda"),
            DriverName::Fake(architecture) => f.pad(&format!("fake:{architecture}")),
        }
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.which {
            Which::All => f.pad(&format!("{}:all", self.driver)),
            Which::Listed(bits) => {
                let ordinals = (0..64).filter(|bit| bits >> bit & 1 != 0);
                let list: Vec<String> = ordinals.map(|ordinal: u32| ordinal.to_string()).collect();
                f.pad(&format!("{}:{}", self.driver, list.join(",")))
            }
        }
    }
}

const KNOWN: &str = "use cpu, sim, sim:sm_80, cuda, cuda:0,1 or cuda:all";

impl FromStr for DeviceName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("cpu", "") => Ok(DeviceName::Cpu),
            ("sim", "") => Ok(DeviceName::SIM),
            ("sim", architecture) => architecture.parse().map(DeviceName::Sim),
            ("cuda", list) => {
                Ok(DeviceName::Gpus(Gpus { driver: DriverName::Cuda, which: which(text, list)? }))
            }
            ("fake", rest) => {
                let (architecture, list) = rest.split_once(':').unwrap_or((rest, ""));
                let driver = DriverName::Fake(architecture.parse()?);
                Ok(DeviceName::Gpus(Gpus { driver, which: which(text, list)? }))
            }
            _ => Err(format!("unknown device `{text}`; {KNOWN}")),
        }
    }
}

/// `0,1` or `all`; nothing is the first.
fn which(text: &str, list: &str) -> Result<Which, String> {
    if list.is_empty() && !text.ends_with(':') {
        return Ok(Which::Listed(1));
    }
    if list == "all" {
        return Ok(Which::All);
    }
    let bit = |word: &str| match word.parse::<u32>() {
        Ok(ordinal) if ordinal < 64 => Ok(1u64 << ordinal),
        _ => Err(format!("`{text}`: `{word}` is no number of a GPU; {KNOWN}")),
    };
    list.split(',').try_fold(0, |bits, word| Ok(bits | bit(word)?)).map(Which::Listed)
}

impl TryFrom<String> for DeviceName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> String {
        name.to_string()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Cpu => f.pad("cpu"),
            DeviceName::Sim(architecture) => f.pad(&format!("sim:{architecture}")),
            DeviceName::Gpus(gpus) => gpus.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_read_back_as_written() {
        for name in [
            "cpu",
            "sim:sm_80",
            "sim:sm_90a",
            "cuda:0",
            "cuda:0,3",
            "cuda:all",
            "fake:sm_80:0",
            "fake:sm_90a:1,2",
            "fake:sm_75:all",
        ] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert_eq!("sim".parse(), Ok(DeviceName::SIM));
        for (short, long) in [("cuda", "cuda:0"), ("fake:sm_80", "fake:sm_80:0")] {
            assert_eq!(short.parse::<DeviceName>().unwrap().to_string(), long);
        }
        for (bad, part) in [
            ("gpu", "unknown device"),
            ("sim:90", "no architecture"),
            ("cuda:", "no number of a GPU"),
            ("cuda:one", "`one` is no number"),
            ("cuda:64", "no number of a GPU"),
            ("fake", "no architecture"),
            ("fake:sm_80:x", "no number"),
        ] {
            let error = bad.parse::<DeviceName>().unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_named() {
        let of = |name: &str, count| match name.parse() {
            Ok(DeviceName::Gpus(gpus)) => gpus.ordinals(count),
            other => panic!("{other:?}"),
        };
        assert_eq!(of("cuda:1,0", 2), Ok(vec![0, 1]));
        assert_eq!(of("cuda:all", 3), Ok(vec![0, 1, 2]));
        assert!(of("cuda:0,2", 2).unwrap_err().contains("no GPU 2: the driver has 2"));
        assert!(of("cuda:all", 0).unwrap_err().contains("no GPU"));
    }
}

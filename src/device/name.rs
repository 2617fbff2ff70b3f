//! The names of devices, as options and records have them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kernels::cuda::Architecture;

/// Which device: `cpu`, or `sim` with the architecture that it compiles for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The host's processor.
    #[default]
    Cpu,
    /// The PTX simulator.
    Sim(Architecture),
}

impl DeviceName {
    /// The simulator where no architecture is named: the one that every kernel of this build has instructions for.
    pub const SIM: DeviceName = DeviceName::Sim(Architecture::specific(90));
}

impl FromStr for DeviceName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("cpu", "") => Ok(DeviceName::Cpu),
            ("sim", "") => Ok(DeviceName::SIM),
            ("sim", architecture) => architecture.parse().map(DeviceName::Sim),
            ("cuda", _) => Err(format!(
                "`{text}`: this build launches nothing on GPUs yet; use cpu, sim or sim:sm_80"
            )),
            _ => Err(format!("unknown device `{text}`; use cpu, sim or sim:sm_80")),
        }
    }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_read_back_as_written() {
        for name in ["cpu", "sim:sm_80", "sim:sm_90a"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert_eq!("sim".parse(), Ok(DeviceName::SIM));
        for (bad, part) in
            [("gpu", "unknown device"), ("sim:90", "no architecture"), ("cuda:0", "yet")]
        {
            assert!(bad.parse::<DeviceName>().unwrap_err().contains(part), "{bad}");
        }
    }
}

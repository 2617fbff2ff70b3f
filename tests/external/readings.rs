//! What workers in Python ask NVML beside each sample on a GPU, with a library that is made up.

use std::process::Command;

use scalemark::device::cuda::nvml::Reading;

use super::{ends_with, repository};

/// The readings that a made-up NVML leads to: one that tells everything, one that knows no power, one that does not start.
const SCRIPT: &str = r#"
import json
from scalemark_worker import Nvml

class Told:
    def nvmlInit_v2(self): return 0
    def nvmlDeviceGetHandleByUUID(self, name, handle):
        assert name.value == b"GPU-abc", name.value
        handle._obj.value = 7
        return 0
    def number(self, value, gpu, to):
        assert gpu.value == 7
        to._obj.value = value
        return 0
    def nvmlDeviceGetClockInfo(self, gpu, kind, to):
        assert kind == 1, "the clock of multiprocessors"
        return self.number(1980, gpu, to)
    def nvmlDeviceGetPowerUsage(self, gpu, to): return self.number(650_123, gpu, to)
    def nvmlDeviceGetTemperature(self, gpu, kind, to): return self.number(61, gpu, to)
    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu, to): return self.number(0x4 | 0x20 | 0x1000, gpu, to)

class Silent(Told):
    def nvmlDeviceGetPowerUsage(self, gpu, to): return 3
    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu, to): return self.number(0, gpu, to)

class Broken(Told):
    def nvmlInit_v2(self): return 9

for uuid, library in (("abc", Told()), ("GPU-abc", Silent()), ("abc", Broken())):
    print(json.dumps(Nvml(uuid, library).reading()))
"#;

#[test]
fn a_worker_tells_of_its_gpu_what_nvml_tells_and_nothing_where_it_is_silent() {
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT]).env("PYTHONPATH", repository("workers"));
    let said = ends_with(0, command.output().unwrap());
    let readings: Vec<Option<Reading>> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = Reading {
        sm_mhz: Some(1980.0),
        power_mw: Some(650_123),
        temperature_c: Some(61),
        throttle: Some("power+thermal+0x1000".parse().unwrap()),
    };
    let silent = Reading { power_mw: None, throttle: Some("none".parse().unwrap()), ..told };
    assert_eq!(readings, [Some(told), Some(silent), None]);
}

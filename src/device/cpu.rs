//! The host's processor as a device.

use serde::{Deserialize, Serialize};

use super::{Capabilities, Pool};
use crate::units::Bytes;

/// Instruction sets that our kernels and baselines choose by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Isa {
    /// AVX2 with FMA3.
    pub avx2: bool,
    /// AVX-512 F, BW, DQ and VL.
    pub avx512: bool,
    /// AVX-512 dot products of bf16 pairs.
    pub avx512_bf16: bool,
    /// AVX-512 dot products of int8 quadruples.
    pub avx512_vnni: bool,
    /// Products of bf16 tiles, which this process was allowed to use. Absent in what older versions wrote.
    #[serde(default)]
    pub amx_bf16: bool,
    /// Products of int8 tiles, likewise.
    #[serde(default)]
    pub amx_int8: bool,
}

impl Isa {
    /// What this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            // Kernels around tiles use AVX-512, which every processor with tiles has.
            let amx = if avx512 { super::amx::Amx::detect() } else { Default::default() };
            Isa {
                avx2: is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
                avx512,
                avx512_bf16: avx512 && is_x86_feature_detected!("avx512bf16"),
                avx512_vnni: avx512 && is_x86_feature_detected!("avx512vnni"),
                amx_bf16: amx.bf16,
                amx_int8: amx.int8,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Isa::default()
    }

    /// No vector instructions beyond what every target of the build has: forces the portable paths.
    pub const PORTABLE: Isa = Isa {
        avx2: false,
        avx512: false,
        avx512_bf16: false,
        avx512_vnni: false,
        amx_bf16: false,
        amx_int8: false,
    };
}

/// The host's processor with pinned thread pools.
#[derive(Debug)]
pub struct CpuDevice {
    /// What it can do.
    pub capabilities: Capabilities,
    /// Whether pools pin their threads, the caller's among them: for measuring, not for tests.
    pub pin: bool,
    /// Whether rayon runs the threads, to be measured beside the own pool; once a thread, for it becomes one of rayon's.
    pub rayon: bool,
}

impl CpuDevice {
    /// This machine's processor, with pinned pools or not.
    pub fn detect(pin: bool) -> Self {
        CpuDevice { capabilities: detect_capabilities(), pin, rayon: false }
    }

    /// A pool of `threads` threads, the caller's among them; pinned when this device was made for measuring.
    pub fn pool(&self, threads: usize) -> Pool {
        if self.rayon {
            return Pool::by_rayon(threads).expect("a thread of no other rayon pool");
        }
        if self.pin { Pool::pinned(threads) } else { Pool::new(threads) }
    }
}

/// What this machine's processor and memory are capable of.
pub fn detect_capabilities() -> Capabilities {
    Capabilities {
        isa: Isa::detect(),
        threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
        memory: available_memory(),
        last_level_cache: last_level_cache(),
        gpu: None,
    }
}

/// The largest data cache that CPU 0 sees; 32 MiB where the system does not say, which errs towards colder.
fn last_level_cache() -> Bytes {
    let mut largest = 0;
    for index in 0..8 {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let Ok(size) = std::fs::read_to_string(format!("{folder}/size")) else { continue };
        let size = size.trim();
        let bytes = match size.strip_suffix('K') {
            Some(kib) => kib.parse::<u64>().unwrap_or(0) << 10,
            None => size.strip_suffix('M').unwrap_or(size).parse::<u64>().unwrap_or(0) << 20,
        };
        largest = largest.max(bytes);
    }
    Bytes(if largest == 0 { 32 << 20 } else { largest })
}

/// Memory that can be had without swapping, within the control group's limit; 0 where the system does not say.
fn available_memory() -> Bytes {
    let Ok(mut system) = sysinfo::System::new() else { return Bytes(0) };
    system.refresh_memory();
    let available = system.available_memory();
    Bytes(system.cgroup_limits().map_or(available, |group| group.free_memory.min(available)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_versions_wrote_has_no_tiles() {
        let old = r#"{"avx2":true,"avx512":true,"avx512_bf16":true,"avx512_vnni":false}"#;
        let isa: Isa = serde_json::from_str(old).expect("is read");
        assert_eq!(isa, Isa { avx2: true, avx512: true, avx512_bf16: true, ..Isa::PORTABLE });
    }
}

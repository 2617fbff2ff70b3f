//! What went on around a measurement, for a reader who wonders at a number; and the process's peak of memory.

use serde::{Deserialize, Serialize};

use crate::device::machine::{Root, readings};
use crate::units::Bytes;

/// Counters of this process and of the machine, with two gauges; `None` where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Covariates {
    /// Times that a thread of this process gave up its CPU.
    pub voluntary_switches: Option<u64>,
    /// Times that a thread of this process lost its CPU to another.
    pub involuntary_switches: Option<u64>,
    /// Pages that were made present without reading a disk.
    pub minor_faults: Option<u64>,
    /// Pages that were read from a disk.
    pub major_faults: Option<u64>,
    /// Time that the hypervisor gave to others, all CPUs together, in milliseconds, to the system's tick of 1–10 ms.
    pub steal_ms: Option<u64>,
    /// Load average over one minute: a gauge.
    pub load: Option<f64>,
    /// Frequency of the CPU that the caller is on: a gauge.
    pub mhz: Option<f64>,
}

impl Covariates {
    /// The state now. Takes some tens of microseconds: between samples, never inside one.
    pub fn now() -> Self {
        let root = Root::default();
        let mut now = Covariates {
            steal_ms: readings::ticks(&root).and_then(|(steal, _)| ticks_to_ms(steal)),
            load: root.text("proc/loadavg").and_then(|t| t.split(' ').next()?.parse().ok()),
            mhz: frequency(&root, current_cpu()),
            ..Covariates::default()
        };
        now.ask_usage();
        now
    }

    #[cfg(unix)]
    fn ask_usage(&mut self) {
        // SAFETY: zero bits are a valid `rusage`, and the call fills at most its size.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            if libc::getrusage(libc::RUSAGE_SELF, &mut usage) != 0 {
                return;
            }
            usage
        };
        let count = |n: libc::c_long| u64::try_from(n).ok();
        self.voluntary_switches = count(usage.ru_nvcsw);
        self.involuntary_switches = count(usage.ru_nivcsw);
        self.minor_faults = count(usage.ru_minflt);
        self.major_faults = count(usage.ru_majflt);
    }

    #[cfg(not(unix))]
    fn ask_usage(&mut self) {}

    /// What happened since `earlier`: differences of counters, and the gauges as they are now.
    pub fn since(&self, earlier: &Covariates) -> Covariates {
        let grown = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Covariates {
            voluntary_switches: grown(self.voluntary_switches, earlier.voluntary_switches),
            involuntary_switches: grown(self.involuntary_switches, earlier.involuntary_switches),
            minor_faults: grown(self.minor_faults, earlier.minor_faults),
            major_faults: grown(self.major_faults, earlier.major_faults),
            steal_ms: grown(self.steal_ms, earlier.steal_ms),
            load: self.load,
            mhz: self.mhz,
        }
    }

    /// The counters and gauges that are known, by name, as rows of `counters.csv`.
    pub fn rows(&self) -> Vec<(&'static str, f64)> {
        let count = |n: Option<u64>| n.map(|n| n as f64);
        [
            ("voluntary_switches", count(self.voluntary_switches)),
            ("involuntary_switches", count(self.involuntary_switches)),
            ("minor_faults", count(self.minor_faults)),
            ("major_faults", count(self.major_faults)),
            ("steal_ms", count(self.steal_ms)),
            ("load", self.load),
            ("mhz", self.mhz),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

#[cfg(unix)]
fn ticks_to_ms(ticks: u64) -> Option<u64> {
    // SAFETY: the call takes a number and touches no memory of ours.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let per_second = u64::try_from(per_second).ok().filter(|&n| n > 0)?;
    Some(ticks.saturating_mul(1000) / per_second)
}

#[cfg(not(unix))]
fn ticks_to_ms(_: u64) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn current_cpu() -> usize {
    // SAFETY: the call takes nothing and touches no memory of ours.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn current_cpu() -> usize {
    0
}

/// From the frequency driver, else from `/proc/cpuinfo` where that is measured: without the counters `aperf` and `mperf`
/// it repeats the rate of the time stamp counter, whatever the clock does.
fn frequency(root: &Root, cpu: usize) -> Option<f64> {
    let path = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq");
    if let Some(khz) = root.number(&path) {
        return Some(khz as f64 / 1000.0);
    }
    let text = root.text("proc/cpuinfo")?;
    let block = text.split("\n\n").nth(cpu)?;
    let value = |key: &str| {
        block.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    value("flags")?.split(' ').any(|flag| flag == "aperfmperf").then_some(())?;
    value("cpu MHz")?.parse().ok()
}

/// The most memory that this process had resident since its start or the last [`reset_resident_peak`].
#[cfg(target_os = "linux")]
pub fn resident_peak() -> Option<Bytes> {
    Root::default().kib_field("proc/self/status", "VmHWM").map(Bytes)
}

/// The most memory that this process had resident since its start.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn resident_peak() -> Option<Bytes> {
    // SAFETY: zero bits are a valid `rusage`, and the call fills at most its size.
    let peak = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(libc::RUSAGE_SELF, &mut usage) != 0 {
            return None;
        }
        usage.ru_maxrss
    };
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    u64::try_from(peak).ok().map(|peak| Bytes(peak * unit))
}

/// Not told by this system.
#[cfg(not(unix))]
pub fn resident_peak() -> Option<Bytes> {
    None
}

/// Starts a new peak of resident memory from what is resident now; says whether the system could.
pub fn reset_resident_peak() -> bool {
    cfg!(target_os = "linux") && std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_of_counters_and_gauges_stay() {
        let earlier = Covariates {
            minor_faults: Some(10),
            steal_ms: Some(5),
            load: Some(9.0),
            ..Covariates::default()
        };
        let later = Covariates {
            minor_faults: Some(17),
            steal_ms: Some(4),
            voluntary_switches: Some(3),
            load: Some(1.0),
            ..Covariates::default()
        };
        let between = later.since(&earlier);
        assert_eq!(between.minor_faults, Some(7));
        assert_eq!(between.steal_ms, Some(0), "a counter that fell has not grown");
        assert_eq!(between.voluntary_switches, None);
        assert_eq!(between.load, Some(1.0));
        assert_eq!(between.rows().len(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn touching_memory_shows_as_page_faults() {
        const LEN: usize = 8 << 20;
        // Fresh pages from the system: an allocator may hand out some that were touched before.
        // SAFETY: a new private mapping of no file overlaps nothing.
        let block = unsafe {
            let (protection, flags) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
            libc::mmap(std::ptr::null_mut(), LEN, protection, flags, -1, 0)
        };
        assert_ne!(block, libc::MAP_FAILED);
        let before = Covariates::now();
        // SAFETY: the mapping has `LEN` writable bytes and is unmapped once, after its last use.
        let faults = unsafe {
            block.cast::<u8>().write_bytes(1, LEN);
            let faults = Covariates::now().since(&before).minor_faults;
            libc::munmap(block, LEN);
            faults
        };
        assert!(faults.unwrap() > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_resident_peak_holds_what_was_touched() {
        let size = 64 << 20;
        let block = vec![1u8; size];
        std::hint::black_box(&block);
        assert!(resident_peak().unwrap().0 >= size as u64);
    }

    #[test]
    fn a_frequency_that_is_not_measured_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root(folder.path().to_owned());
        assert_eq!(frequency(&root, 0), None);
        std::fs::create_dir(folder.path().join("proc")).unwrap();
        let write = |flags: &str| {
            let text = format!("processor : 0\nflags : {flags}\ncpu MHz : 2596.1\n\n");
            std::fs::write(folder.path().join("proc/cpuinfo"), text).unwrap();
        };
        write("fpu hypervisor");
        assert_eq!(frequency(&root, 0), None);
        write("fpu aperfmperf");
        assert_eq!(frequency(&root, 0), Some(2596.1));
        assert_eq!(frequency(&root, 7), None);
    }
}

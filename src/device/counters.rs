//! The processor's own counters, through Linux's perf_event_open(2): cycles, instructions, misses, and how wide its vectors were.
//!
//! Every event is counted by itself, for all threads that begin after it was opened. Where there are more events than the
//! processor has counters, Linux lets them take turns, and a count is scaled up by the share of time that it had.

use std::fmt;
use std::io;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Event, Hardware, Raw, Software};
use perf_event::{Builder, Counter, ReadFormat};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Cycles of the core, at whatever clock.
    Cycles,
    /// Instructions that were retired.
    Instructions,
    /// Reads that missed the first level of the data cache.
    L1Misses,
    /// Reads that missed the last level of the cache.
    LastLevelMisses,
    /// Reads that missed the TLB.
    TlbMisses,
    /// Branches that were not foreseen.
    BranchMisses,
    /// Operations on floating-point numbers, one at a time. An Intel processor counts a fused multiply-add twice.
    Scalar,
    /// The same on vectors of 128 bits.
    Vectors128,
    /// The same on vectors of 256 bits.
    Vectors256,
    /// The same on vectors of 512 bits.
    Vectors512,
    /// Pages that were not there when they were touched; Linux counts these, on any machine.
    PageFaults,
}

impl Counted {
    /// All, in the order of reports.
    pub const ALL: [Counted; 11] = [
        Counted::Cycles,
        Counted::Instructions,
        Counted::L1Misses,
        Counted::LastLevelMisses,
        Counted::TlbMisses,
        Counted::BranchMisses,
        Counted::Scalar,
        Counted::Vectors128,
        Counted::Vectors256,
        Counted::Vectors512,
        Counted::PageFaults,
    ];

    /// The events that tell how wide vectors are.
    pub const WIDTHS: [Counted; 4] =
        [Counted::Scalar, Counted::Vectors128, Counted::Vectors256, Counted::Vectors512];

    /// A builder for it on processors of this vendor, as CPUID spells it; `None` where no event is known.
    ///
    /// Of Intel: FP_ARITH_INST_RETIRED, from Broadwell on. Of AMD: fp_ops_retired_by_width, from Zen 4 on.
    fn builder(self, vendor: &str) -> Option<Builder<'static>> {
        let misses = |which| {
            let (operation, result) = (CacheOp::READ, CacheResult::MISS);
            build(Cache { which, operation, result })
        };
        let width = |amd: u64, intel: u64| {
            let config = match vendor {
                "AuthenticAMD" => amd << 8 | 0x08,
                "GenuineIntel" => intel << 8 | 0xc7,
                _ => return None,
            };
            Some(build(Raw::new(config)))
        };
        match self {
            Counted::Cycles => Some(build(Hardware::CPU_CYCLES)),
            Counted::Instructions => Some(build(Hardware::INSTRUCTIONS)),
            Counted::L1Misses => Some(misses(CacheId::L1D)),
            Counted::LastLevelMisses => Some(misses(CacheId::LL)),
            Counted::TlbMisses => Some(misses(CacheId::DTLB)),
            Counted::BranchMisses => Some(build(Hardware::BRANCH_MISSES)),
            Counted::Scalar => width(0x04, 0x03),
            Counted::Vectors128 => width(0x08, 0x0c),
            Counted::Vectors256 => width(0x10, 0x30),
            Counted::Vectors512 => width(0x20, 0xc0),
            Counted::PageFaults => Some(build(Software::PAGE_FAULTS)),
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Counted::Cycles => "cycles",
            Counted::Instructions => "instructions",
            Counted::L1Misses => "L1 read misses",
            Counted::LastLevelMisses => "last-level read misses",
            Counted::TlbMisses => "TLB read misses",
            Counted::BranchMisses => "branch misses",
            Counted::Scalar => "scalar operations",
            Counted::Vectors128 => "128-bit operations",
            Counted::Vectors256 => "256-bit operations",
            Counted::Vectors512 => "512-bit operations",
            Counted::PageFaults => "page faults",
        })
    }
}

fn build(event: impl Event) -> Builder<'static> {
    let mut builder = Builder::new(event);
    builder
        .inherit(true)
        .exclude_kernel(true)
        .exclude_hv(true)
        .read_format(ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING);
    builder
}

/// Whether this process may count its cycles, and the machine lets it.
pub fn can_open() -> bool {
    build(Hardware::CPU_CYCLES).build().is_ok()
}

/// The counters that could be opened, and why others could not.
#[derive(Debug)]
pub struct Counters {
    open: Vec<(Counted, Counter)>,
    missing: Vec<(Counted, String)>,
}

impl Counters {
    /// Opens what there is, stopped at 0, for this thread and those that it will start. `vendor` is CPUID's.
    pub fn open(vendor: &str) -> Counters {
        let mut counters = Counters { open: Vec::new(), missing: Vec::new() };
        for counted in Counted::ALL {
            let built = match counted.builder(vendor) {
                Some(builder) => builder.build().map_err(|error| reason(&error)),
                None => Err(format!("no event is known for a processor of {vendor:?}")),
            };
            match built {
                Ok(counter) => counters.open.push((counted, counter)),
                Err(reason) => counters.missing.push((counted, reason)),
            }
        }
        counters
    }

    /// Counts from now on.
    ///
    /// # Errors
    /// When Linux refuses.
    pub fn start(&mut self) -> io::Result<()> {
        self.open.iter_mut().try_for_each(|(_, counter)| counter.enable())
    }

    /// Counts no more, until the next start.
    ///
    /// # Errors
    /// When Linux refuses.
    pub fn stop(&mut self) -> io::Result<()> {
        self.open.iter_mut().try_for_each(|(_, counter)| counter.disable())
    }

    /// What was counted between starts and stops; what had no turn at all is left out.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<(Counted, f64)>> {
        let mut counts = Vec::new();
        for (counted, counter) in &mut self.open {
            let read = counter.read_count_and_time()?;
            if read.time_running > 0 {
                let share = read.time_running as f64 / read.time_enabled.max(1) as f64;
                counts.push((*counted, read.count as f64 / share));
            }
        }
        Ok(counts)
    }

    /// What is not counted, and why: each reason once.
    pub fn missing(&self) -> Vec<(Vec<Counted>, &str)> {
        let mut reasons: Vec<(Vec<Counted>, &str)> = Vec::new();
        for (counted, reason) in &self.missing {
            match reasons.iter_mut().find(|(_, known)| known == reason) {
                Some((all, _)) => all.push(*counted),
                None => reasons.push((vec![*counted], reason)),
            }
        }
        reasons
    }
}

/// Why a counter cannot be opened, with the way out.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "closed to users: `sudo sysctl kernel.perf_event_paranoid=2`, or in a container \
             --cap-add PERFMON and a seccomp profile that allows perf_event_open"
                .to_owned()
        }
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP | libc::EINVAL) => {
            "this machine has no such counter; most virtual machines have none".to_owned()
        }
        _ => format!("Linux refused ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_faults_of_this_thread_and_those_it_starts_are_counted_between_start_and_stop() {
        let mut counters = Counters::open("AuthenticAMD");
        if let Some((_, reason)) =
            counters.missing().iter().find(|(all, _)| all.contains(&Counted::PageFaults))
        {
            println!("not tested here: page faults cannot be counted: {reason}");
            return;
        }
        /// Touches so many new pages.
        fn touch(pages: usize) {
            let (size, flags) = (pages * 4096, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping of whole pages, written to within its size and given back.
            unsafe {
                let start = libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0);
                assert_ne!(start, libc::MAP_FAILED);
                libc::madvise(start, size, libc::MADV_NOHUGEPAGE);
                (0..size).step_by(4096).for_each(|at| start.cast::<u8>().add(at).write_volatile(1));
                libc::munmap(start, size);
            }
        }
        touch(100);
        counters.start().unwrap();
        touch(100);
        std::thread::spawn(move || touch(100)).join().unwrap();
        counters.stop().unwrap();
        touch(1000);
        let counts = counters.read().unwrap();
        let (_, faults) = counts.iter().find(|(c, _)| *c == Counted::PageFaults).unwrap();
        assert!((200.0..1000.0).contains(faults), "{faults}");
    }

    #[test]
    fn what_is_missing_has_a_reason_and_the_way_out() {
        let counters = Counters::open("Unknown");
        let missing = counters.missing();
        let (widths, unknown) =
            missing.iter().find(|(all, _)| all.contains(&Counted::Vectors512)).unwrap();
        assert_eq!(widths, &Counted::WIDTHS, "{missing:?}");
        assert!(unknown.contains("no event is known"), "{unknown}");
        let of = |code| reason(&io::Error::from_raw_os_error(code));
        assert!(of(libc::EACCES).contains("perf_event_paranoid=2"));
        assert!(of(libc::ENOENT).contains("virtual machines"));
        assert!(of(libc::EMFILE).contains("Linux refused"));
    }
}

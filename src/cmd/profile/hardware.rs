//! What the processor's counters say of launches, and in words what they do not.

use std::fmt::Write;

#[cfg(target_os = "linux")]
use anyhow::Context;

#[cfg(target_os = "linux")]
use crate::device::counters::{Counted, Counters};

/// The counters of a profile; none where the system is not Linux.
pub struct Hardware {
    #[cfg(target_os = "linux")]
    counters: Counters,
}

impl Hardware {
    /// Opens what there is.
    #[cfg(target_os = "linux")]
    pub fn open() -> Hardware {
        #[cfg(target_arch = "x86_64")]
        let vendor = raw_cpuid::CpuId::new().get_vendor_info().map(|v| v.as_str().to_owned());
        #[cfg(not(target_arch = "x86_64"))]
        let vendor: Option<String> = None;
        Hardware { counters: Counters::open(&vendor.unwrap_or_default()) }
    }

    /// Opens nothing.
    #[cfg(not(target_os = "linux"))]
    pub fn open() -> Hardware {
        Hardware {}
    }

    /// Counts from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(&mut self) -> anyhow::Result<()> {
        #[cfg(target_os = "linux")]
        self.counters.start().context("failed to start the processor's counters")?;
        Ok(())
    }

    /// Counts no more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        #[cfg(target_os = "linux")]
        self.counters.stop().context("failed to stop the processor's counters")?;
        Ok(())
    }

    /// What was counted over so many launches, and what was not. `told`: instructions are counted otherwise.
    ///
    /// # Errors
    /// When a counter cannot be read.
    #[cfg(target_os = "linux")]
    pub fn text(&mut self, launches: usize, told: bool) -> anyhow::Result<String> {
        let counts = self.counters.read().context("failed to read the processor's counters")?;
        let missing = self.counters.missing();
        Ok(text(&counts, &missing, launches, told))
    }

    /// That there are none.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn text(&mut self, _: usize, _: bool) -> anyhow::Result<String> {
        Ok("\ncounters: read on Linux only\n".to_owned())
    }
}

#[cfg(target_os = "linux")]
fn text(
    counts: &[(Counted, f64)],
    missing: &[(Vec<Counted>, &str)],
    launches: usize,
    told: bool,
) -> String {
    let mut text = "\ncounters, a launch, of all threads\n".to_owned();
    let of = |counted| counts.iter().find(|(c, _)| *c == counted).map(|(_, count)| *count);
    let widths: f64 = Counted::WIDTHS.into_iter().filter_map(of).sum();
    for (counted, count) in counts {
        let a_launch = count / launches.max(1) as f64;
        let beside = match counted {
            Counted::Instructions => {
                of(Counted::Cycles).map(|cycles| format!("{:.2} a cycle", count / cycles))
            }
            Counted::L1Misses
            | Counted::LastLevelMisses
            | Counted::TlbMisses
            | Counted::BranchMisses => of(Counted::Instructions)
                .map(|all| format!("{:.3} a thousand instructions", 1000.0 * count / all)),
            width if Counted::WIDTHS.contains(width) && widths > 0.0 => {
                Some(format!("{:.1} % of them", 100.0 * count / widths))
            }
            _ => None,
        };
        let beside = beside.unwrap_or_default();
        let line = format!("  {:<28} {a_launch:>14.1}  {beside}", counted.to_string());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for (what, reason) in missing {
        let names: Vec<String> = what.iter().map(Counted::to_string).collect();
        let _ = writeln!(text, "  not counted: {}: {reason}", names.join(", "));
    }
    if !told && of(Counted::Instructions).is_none() {
        text +=
            "  --instructions counts instructions, and misses of modelled caches, under valgrind\n";
    }
    text
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn counts_are_a_launch_with_what_they_mean_and_what_is_missing_has_its_reason() {
        let counts = [
            (Counted::Cycles, 1_000_000.0),
            (Counted::Instructions, 2_500_000.0),
            (Counted::L1Misses, 5_000.0),
            (Counted::Scalar, 1_000.0),
            (Counted::Vectors512, 99_000.0),
        ];
        let missing = [(vec![Counted::TlbMisses, Counted::BranchMisses], "closed to users")];
        let told = text(&counts, &missing, 10, false);
        let has =
            |line: &str| assert!(told.lines().any(|l| l.trim_start() == line), "{line}: {told}");
        has("cycles                             100000.0");
        has("instructions                       250000.0  2.50 a cycle");
        has("L1 read misses                        500.0  2.000 a thousand instructions");
        has("512-bit operations                   9900.0  99.0 % of them");
        has("not counted: TLB read misses, branch misses: closed to users");
        assert!(!told.contains("--instructions"), "{told}");
        let none = text(&[], &[(vec![Counted::Instructions], "no counter")], 10, false);
        assert!(none.contains("--instructions counts") && !text(&[], &[], 1, true).contains("--"));
    }
}

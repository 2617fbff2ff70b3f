//! What on this machine will make numbers noisy or unfit, and what to do about it.

use serde::Serialize;

use super::root::list_text;
use super::{Machine, Readings};
use Severity::{Info, Noisy, Unfit};

/// How much a condition matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; the method deals with it.
    Info,
    /// Intervals get wider, or another day's numbers differ.
    Noisy,
    /// Numbers do not stand for this machine.
    Unfit,
}

impl Severity {
    /// `info`, `noisy` or `unfit`.
    pub fn name(self) -> &'static str {
        match self {
            Info => "info",
            Noisy => "noisy",
            Unfit => "unfit",
        }
    }
}

/// Something that disturbs measurements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// A short name: `governor`, `turbo`, `steal`.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found, in words and numbers.
    pub finding: String,
    /// What to do about it.
    pub advice: String,
}

/// What disturbs measurements on this machine, the gravest first.
pub fn conditions(machine: &Machine, readings: &Readings) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut add = |name, severity, finding: String, advice: &str| {
        found.push(Condition { name, severity, finding, advice: advice.to_owned() });
    };
    build(readings, &mut add);
    frequency(machine, readings, &mut add);
    neighbours(machine, readings, &mut add);
    cores(machine, readings, &mut add);
    memory(machine, readings, &mut add);
    counters(machine, readings, &mut add);
    found.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
    found
}

/// Takes the name, severity, finding and advice of a condition.
type Add<'a> = &'a mut dyn FnMut(&'static str, Severity, String, &str);

fn build(readings: &Readings, add: Add) {
    if readings.debug_build {
        let finding = "this build has debug assertions and less optimization".into();
        add("debug build", Unfit, finding, "build with cargo build --release");
    }
}

fn frequency(machine: &Machine, readings: &Readings, add: Add) {
    let software = &machine.software;
    if let Some(governor) = software.governor.as_deref().filter(|&g| g != "performance") {
        add(
            "governor",
            Noisy,
            format!(
                "the frequency governor is {governor}: clocks rise late and fall between samples"
            ),
            "sudo cpupower frequency-set -g performance",
        );
    }
    if software.boost == Some(true) {
        let intel = software.scaling_driver.as_deref().is_some_and(|d| d.starts_with("intel"));
        let off = if intel { "1" } else { "0" };
        let switch = if intel { "intel_pstate/no_turbo" } else { "cpufreq/boost" };
        add(
            "turbo",
            Noisy,
            "turbo is on: clocks depend on temperature, on power and on what other cores do".into(),
            &format!(
                "echo {off} | sudo tee /sys/devices/system/cpu/{switch}, or keep it for burst numbers"
            ),
        );
    }
    match (readings.mhz, readings.mhz_allowed) {
        (Some((low, high)), _) if f64::from(high) > 1.02 * f64::from(low) => add(
            "frequency",
            Info,
            format!("CPUs were seen between {low} and {high} MHz"),
            "nothing to do: every measurement is compared to an anchor of multiply-adds that runs beside it",
        ),
        (_, Some((low, high))) if high > low => add(
            "frequency",
            Info,
            format!("the system may choose from {low} to {high} MHz"),
            "sudo cpupower frequency-set -d MAX -u MAX fixes it; otherwise the anchor of multiply-adds tells",
        ),
        (None, None) => add(
            "frequency",
            Info,
            "the system does not tell the clock's frequency".into(),
            "nothing to do: the anchor of multiply-adds beside every measurement shows when it drifts",
        ),
        _ => {}
    }
    if readings.on_battery == Some(true) {
        let finding = "the machine runs on its battery, which lowers its power limit".into();
        add("battery", Unfit, finding, "plug it in");
    }
}

fn neighbours(machine: &Machine, readings: &Readings, add: Add) {
    let cpus = readings.allowed_cpus.len().max(1) as f64;
    if let Some(name) = &machine.hardware.hypervisor {
        let name = if name == "unknown" { "an unnamed hypervisor" } else { name };
        add(
            "virtual machine",
            Noisy,
            format!(
                "runs under {name}: the host shares caches and memory, and may move CPUs about"
            ),
            "compare only what ran side by side; take bare metal or a dedicated host for absolute numbers",
        );
    }
    let steal = readings.steal.unwrap_or(0.0).max(0.0);
    let ever = readings.steal_since_boot.unwrap_or(0.0);
    if steal > 0.001 || ever > 0.001 {
        add(
            "steal",
            if steal > 0.05 { Unfit } else { Noisy },
            format!(
                "the hypervisor gave {:.1} % of the time to others just now, {:.2} % since boot",
                100.0 * steal,
                100.0 * ever
            ),
            "run at a quieter hour, or on an instance without a CPU credit or a shared core",
        );
    }
    let lost = readings.lost.unwrap_or(0.0);
    if lost > 0.01 {
        add(
            "lost time",
            if lost > 0.05 { Unfit } else { Noisy },
            format!("a busy thread did not run for {:.0} % of the time", 100.0 * lost),
            "if nothing else runs here, the host gives the time to others without saying so: run at a quieter hour",
        );
    }
    // A load average remembers a minute, so that it counts builds that have just ended; runnable tasks are there now.
    let runnable = readings.runnable.unwrap_or(0);
    let load = readings.load.unwrap_or(0.0);
    if runnable > 0 || load > 0.25 * cpus {
        let tasks = if runnable == 1 { "task wants" } else { "tasks want" };
        add(
            "load",
            if runnable as f64 >= cpus { Unfit } else { Noisy },
            format!("{runnable} other {tasks} to run, load average {load:.2} on {cpus} CPUs"),
            "close what runs beside (top shows it), wait a minute, start again",
        );
    }
    if let Some(quota) = readings.cpu_quota {
        let enough = quota >= cpus;
        add(
            "cpu quota",
            if enough { Info } else { Unfit },
            match enough {
                true => format!("the container may use {quota:.1} CPUs, all that there are"),
                false => format!(
                    "the container may use {quota:.1} of {cpus} CPUs, and is stopped for the rest of each period"
                ),
            },
            match enough {
                true => "nothing to do",
                false => {
                    "start it without a limit (docker: no --cpus; kubernetes: no CPU limit) or with --cpuset-cpus"
                }
            },
        );
    }
}

fn cores(machine: &Machine, readings: &Readings, add: Add) {
    let hardware = &machine.hardware;
    let one_each: Vec<usize> = readings
        .one_cpu_per_core
        .iter()
        .copied()
        .filter(|cpu| readings.allowed_cpus.contains(cpu))
        .collect();
    // Where this process may run on one thread of each core only, the siblings are not its affair.
    let siblings = readings.allowed_cpus.len() > one_each.len() && !one_each.is_empty();
    if let Some(threads) = hardware.threads_per_core.filter(|&n| n > 1 && siblings) {
        add(
            "smt",
            Noisy,
            format!(
                "{threads} hardware threads share a core: two threads of a run may get one core"
            ),
            &format!(
                "taskset -c {} scalemark run, or echo off | sudo tee /sys/devices/system/cpu/smt/control",
                list_text(&one_each)
            ),
        );
    }
    if let Some(all) = hardware.logical_cpus.filter(|&all| readings.allowed_cpus.len() < all)
        && !readings.allowed_cpus.is_empty()
    {
        add(
            "affinity",
            Info,
            format!("this process may run on CPUs {} of {all}", list_text(&readings.allowed_cpus)),
            "nothing to do, if that was meant",
        );
    }
    if hardware.numa_nodes.is_some_and(|nodes| nodes > 1) {
        add(
            "numa",
            Noisy,
            format!("{} memory nodes", hardware.numa_nodes.unwrap_or(0)),
            "numactl --cpunodebind=0 --membind=0 scalemark run, for numbers of one node",
        );
    }
}

fn memory(machine: &Machine, readings: &Readings, add: Add) {
    if let (Some(available), Some(all)) = (readings.available, machine.hardware.memory)
        && available.0 < all.0 / 4
    {
        add(
            "memory",
            if available.0 < all.0 / 20 { Unfit } else { Noisy },
            format!("{available} of {all} of memory are available"),
            "close what takes it; cases that do not fit are refused",
        );
    }
    if let Some(used) = readings.swap_used.filter(|used| used.0 > 64 << 20) {
        let finding = format!("{used} of memory are swapped out");
        add("swap", Noisy, finding, "sudo swapoff -a for the run, when memory allows it");
    }
    if machine.software.hugepages.as_deref() == Some("never") {
        add(
            "huge pages",
            Noisy,
            "transparent huge pages are off: large operands pay for address translation".into(),
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        );
    }
    if machine.software.aslr.is_some_and(|level| level > 0) {
        add(
            "address layout",
            Info,
            "addresses are random, so that every process has a level of its own".into(),
            "nothing to do: several processes share a record, and its interval covers them",
        );
    }
}

fn counters(machine: &Machine, readings: &Readings, add: Add) {
    if readings.counters == Some(false) {
        let paranoid = readings.perf_event_paranoid.unwrap_or(0);
        let (finding, advice) = if paranoid > 2 {
            (
                format!(
                    "hardware counters are closed to users (perf_event_paranoid is {paranoid})"
                ),
                "sudo sysctl kernel.perf_event_paranoid=2",
            )
        } else if machine.hardware.hypervisor.is_some() {
            ("no hardware counters: the hypervisor offers none".to_owned(), {
                "nothing to do for times; take bare metal or a whole-socket instance for counts of cycles"
            })
        } else {
            (
                "hardware counters cannot be opened".to_owned(),
                "in a container, add --cap-add PERFMON or a seccomp profile that allows perf_event_open",
            )
        };
        add("counters", Info, finding, advice);
    }
    if !readings.run_queue_times && cfg!(target_os = "linux") {
        add(
            "run queue",
            Noisy,
            "the kernel does not tell how long threads waited for a CPU".into(),
            "use a kernel with CONFIG_SCHED_INFO; until then disturbed samples cannot be marked",
        );
    }
}

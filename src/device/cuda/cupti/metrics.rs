//! The hardware's counters that a profile shows.
//!
//! Names are those of NVIDIA's metrics, which `ncu --query-metrics` lists (Nsight Compute, "Metrics Reference"): unit, quantity,
//! how the parts of a GPU are put together, and of what it is a share. The library that knows them (libnvperf_host of CUDA 13.0)
//! has each of these on the chips TU102, GA100, GA102, AD102, GH100, GB100 and GB202. What a GPU lacks all the same is told as such.

/// How a counter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share, in percent.
    Percent,
    /// Something counted.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    ByteRate,
    /// Cycles a second.
    Hertz,
    /// A ratio of two counts.
    Ratio,
}

/// One counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// By which name it is asked for.
    pub name: &'static str,
    /// What a profile calls it.
    pub label: &'static str,
    /// How it is written.
    pub unit: Unit,
}

const fn metric(name: &'static str, label: &'static str, unit: Unit) -> Metric {
    Metric { name, label, unit }
}

/// Bytes that went to or from the GPU's memory.
pub const DRAM_BYTES: &str = "dram__bytes.sum";
/// What begins the names of what warps wait for.
pub const STALLED: &str = "smsp__average_warps_issue_stalled_";

/// Those of a profile, in its order.
pub const METRICS: [Metric; 22] = [
    metric(
        "sm__throughput.avg.pct_of_peak_sustained_elapsed",
        "multiprocessors, of their peak",
        Unit::Percent,
    ),
    metric(
        "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
        "tensor pipes at work",
        Unit::Percent,
    ),
    metric(
        "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_active",
        "FMA pipes at work",
        Unit::Percent,
    ),
    metric(
        "smsp__issue_active.avg.pct_of_peak_sustained_active",
        "cycles that issue",
        Unit::Percent,
    ),
    metric(
        "sm__warps_active.avg.pct_of_peak_sustained_active",
        "achieved occupancy",
        Unit::Percent,
    ),
    metric("sm__cycles_elapsed.avg.per_second", "clock of multiprocessors", Unit::Hertz),
    metric("smsp__inst_executed.sum", "warp instructions", Unit::Count),
    metric("smsp__thread_inst_executed_pred_on.sum", "thread instructions", Unit::Count),
    metric(
        "dram__throughput.avg.pct_of_peak_sustained_elapsed",
        "memory, of its peak",
        Unit::Percent,
    ),
    metric(DRAM_BYTES, "memory traffic", Unit::Bytes),
    metric("dram__bytes.sum.per_second", "memory traffic a second", Unit::ByteRate),
    metric("lts__t_bytes.sum", "L2 traffic", Unit::Bytes),
    metric("lts__t_sector_hit_rate.pct", "L2 hits", Unit::Percent),
    metric("l1tex__t_sector_hit_rate.pct", "L1 hits", Unit::Percent),
    // Warps that wait for this, on average, at each instruction that is issued.
    metric(
        "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio",
        "global or local memory",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_short_scoreboard_per_issue_active.ratio",
        "shared memory and special functions",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_mio_throttle_per_issue_active.ratio",
        "room for shared memory's instructions",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_lg_throttle_per_issue_active.ratio",
        "room for global memory's instructions",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio",
        "a barrier",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_wait_per_issue_active.ratio",
        "a fixed latency",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_math_pipe_throttle_per_issue_active.ratio",
        "a pipe that computes",
        Unit::Ratio,
    ),
    metric(
        "smsp__average_warps_issue_stalled_not_selected_per_issue_active.ratio",
        "others that were ready",
        Unit::Ratio,
    ),
];

impl Metric {
    /// Whether it is of what warps wait for.
    pub fn is_stall(&self) -> bool {
        self.name.starts_with(STALLED)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn metrics_are_asked_for_once_each_and_stalls_come_last() {
        let names: HashSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        let labels: HashSet<&str> = METRICS.iter().map(|metric| metric.label).collect();
        assert_eq!((names.len(), labels.len()), (METRICS.len(), METRICS.len()));
        assert!(names.contains(DRAM_BYTES));
        assert!(METRICS.is_sorted_by_key(Metric::is_stall));
        // A name says what its numbers are.
        for Metric { name, unit, .. } in METRICS {
            let percent = name.contains("pct");
            assert_eq!(percent, unit == Unit::Percent, "{name}");
            assert_eq!(name.ends_with(".ratio"), unit == Unit::Ratio, "{name}");
            assert!(
                name.contains(".sum") || name.contains(".avg") || percent || unit == Unit::Ratio
            );
        }
    }
}

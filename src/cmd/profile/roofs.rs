//! Where a kernel stands under the roofs that probes reached beside it.

use crate::ops::Case;
use crate::units::{ByteRate, FlopRate, Nanos};

/// The roofs of a case, as far as they are known: see [`crate::campaign::Peaks`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofs {
    /// Operations a second.
    pub flops: Option<FlopRate>,
    /// Bytes a second.
    pub bytes: Option<ByteRate>,
}

/// The arithmetic intensity, what was reached, and what the probes reach; `None`: none were run.
pub fn placement(case: &Case, launch: Nanos, roofs: Option<Roofs>) -> String {
    let cost = case.cost();
    let intensity = cost.flops.0 as f64 / cost.bytes.0.max(1) as f64;
    let reached = format!(
        "roofline: {intensity:.1} operations a byte; {} and {}",
        cost.flops / launch,
        cost.bytes / launch
    );
    let Some(Roofs { flops, bytes }) = roofs else { return format!("{reached}\n\n") };
    let times = (flops.map(|rate| (cost.flops / rate).0), bytes.map(|rate| (cost.bytes / rate).0));
    let (bound, floor) = match times {
        (Some(arithmetic), Some(memory)) if arithmetic >= memory => ("arithmetic", arithmetic),
        (_, Some(memory)) => ("memory", memory),
        (Some(arithmetic), None) => ("arithmetic; its operands stay in the cache", arithmetic),
        (None, None) => return format!("{reached}; no probe gives it a roof\n\n"),
    };
    let reach =
        [flops.map(|rate| format!("reach {rate}")), bytes.map(|rate| format!("move {rate}"))];
    let reach: Vec<String> = reach.into_iter().flatten().collect();
    format!(
        "{reached}; probes {}\nbound by {bound}; {:.0} % of what the roofs allow\n\n",
        reach.join(" and "),
        100.0 * floor / launch.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matmul, Precision, Problem};

    #[test]
    fn the_nearer_of_the_roofs_that_are_known_bounds_a_case() {
        let case = Case::new(Problem::Matmul(Matmul::new(100, 100, 100)), Precision::F32);
        // 2 Mflop and 120 kB.
        let at = |flops: Option<f64>, bytes: Option<f64>| {
            let roofs = Roofs { flops: flops.map(FlopRate), bytes: bytes.map(ByteRate) };
            placement(&case, Nanos(4_000.0), Some(roofs))
        };
        let both = at(Some(1e12), Some(1e12));
        assert!(both.contains("16.7 operations a byte; 500 GFLOP/s and 30.0 GB/s"), "{both}");
        assert!(both.contains("probes reach 1.00 TFLOP/s and move 1.00 TB/s"), "{both}");
        assert!(both.contains("bound by arithmetic; 50 % of"), "{both}");
        assert!(at(Some(1e15), Some(60e9)).contains("bound by memory; 50 % of"));
        assert!(at(None, Some(60e9)).contains("bound by memory; 50 % of"));
        assert!(at(Some(1e12), None).contains("stay in the cache; 50 % of"));
        assert!(at(None, None).contains("no probe gives it a roof"));
        let none = placement(&case, Nanos(4_000.0), None);
        assert!(none.ends_with("30.0 GB/s\n\n"), "{none}");
    }
}

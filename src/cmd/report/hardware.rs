//! The counters of a simulated run beside those of a profiler on a GPU.

use std::path::Path;

use anyhow::{Context, anyhow};
use comfy_table::{Table, presets};

use crate::report::profiled;
use crate::store::Run;

/// The simulator's counters beside a GPU's, and how far they differ.
pub(super) fn beside(folder: &Path, ncu: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(ncu)
        .with_context(|| format!("failed to read {}", ncu.display()))?;
    let launches = profiled::parse(&text).map_err(|e| anyhow!("{}: {e}", ncu.display()))?;
    let run = Run::read(folder)?;
    let (compared, left_out) = profiled::compare(&run.records, &run.counters, &launches);
    let mut table = Table::new();
    let header = ["kernel", "case", "counter", "simulated", "hardware", "difference"];
    table.load_preset(presets::NOTHING).set_header(header);
    for one in &compared {
        let difference = one.difference().map(|d| format!("{:+.1} %", 100.0 * d));
        table.add_row([
            one.kernel.clone(),
            one.case_key.clone(),
            one.counter.to_owned(),
            one.simulated.to_string(),
            one.hardware.map_or("-".into(), |count| count.to_string()),
            difference.unwrap_or_else(|| "-".into()),
        ]);
    }
    let mut out = format!("{}\n", table.trim_fmt());
    for reason in &left_out {
        out += &format!("not compared: {reason}\n");
    }
    let equal = compared.iter().filter(|one| one.difference() == Some(0.0)).count();
    out += &format!("{} counters compared, {equal} of them equal\n", compared.len());
    Ok(out)
}

//! The table on the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::gate::report::{Finding, Report, UNPAIRED, Weight};

/// A row a finding, worst first among equals of the report's order, then the headline.
pub fn terminal(report: &Report, width: usize) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.clamp(60, 400) as u16)
        .set_header(["kernel", "case", "metric", "change", "95 % interval", "pairs", "verdict"]);
    for column in [3, 4, 5] {
        let column = table.column_mut(column).expect("the header has seven columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight()));
    for finding in &findings {
        let evidence = finding.evidence.as_ref();
        let change = match (evidence.and_then(|e| e.estimate), finding.values) {
            (Some(ratio), _) => ratio.to_string(),
            (None, Some((base, head))) => format!("{base} → {head}"),
            (None, None) => String::new(),
        };
        let interval = evidence.and_then(|e| e.interval);
        table.add_row([
            finding.kernel.clone(),
            finding.case.clone(),
            finding.metric.clone(),
            change,
            interval.map_or(String::new(), |(low, high)| format!("{low} to {high}")),
            evidence.map_or(String::new(), |e| e.pairs.to_string()),
            verdict(finding),
        ]);
    }
    // Counters that are all alike are no findings.
    let mut text = if findings.is_empty() { String::new() } else { table.trim_fmt() + "\n" };
    let worth_a_word = |f: &&&Finding| f.weight() > Weight::None || !f.reason.is_empty();
    for finding in findings.iter().filter(worth_a_word) {
        text.push_str(&format!("\n{}: {}", finding.title(), finding.sentence()));
    }
    if !report.cut_short.is_empty() {
        text.push_str(&format!("\ncut short: {}", report.cut_short));
    }
    if !report.paired {
        text.push_str(&format!("\nunpaired: {UNPAIRED}"));
    }
    text.push_str(&format!("\n{} in {:.0} s\n", report.headline(), report.seconds));
    text
}

fn verdict(finding: &Finding) -> String {
    let name = finding.verdict.name();
    match (&finding.waiver, finding.gated) {
        (Some(_), _) => format!("{name} (waived)"),
        (None, false) => format!("{name} (not gated)"),
        (None, true) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::report::tests::report;
    use crate::gate::verdict::{Ratio, Verdict};

    #[test]
    fn the_worst_comes_first_and_is_explained() {
        let mut report =
            report(&[Verdict::Same, Verdict::Slower(Ratio(1.031)), Verdict::Undecided]);
        report.findings[2].waiver = Some("known".into());
        let text = terminal(&report, 160);
        let line = |word: &str| text.lines().position(|l| l.contains(word)).unwrap();
        assert!(line("matmul/k1") < line("matmul/k0"), "{text}");
        assert!(text.contains("undecided (waived)"));
        assert!(text.contains("matmul/k1 on matmul/nn/m64-n64-k64: slower: +3.1 %"), "{text}");
        assert!(
            text.ends_with("gate failed: a regression (1 same, 1 slower, 1 undecided) in 62 s\n"),
            "{text}"
        );
        report.paired = false;
        let text = terminal(&report, 160);
        report.findings.clear();
        let none = terminal(&report, 160);
        assert!(!none.contains("verdict") && none.contains("nothing changed"), "{none}");
        assert!(
            text.contains("unpaired: two runs were compared, and what the machine did"),
            "{text}"
        );
    }
}

//! The text of `report.md`.

use super::ReportInput;
use super::chart::Chart;
use super::counted::counter_tables;
use super::findings::findings;
use super::group::groups;
use super::reasons::merged;
use super::tables::{cell, comparisons, peaks_table, records_table, scaling_table, summary, table};

/// The whole report; `charts` are those that were drawn, `left_out` says which were not and why.
pub fn markdown(input: &ReportInput, charts: &[Chart], left_out: &[String]) -> String {
    let mut text = String::from("# scalemark report\n\n");
    made_by(&mut text, input);
    section(&mut text, "Findings");
    let found = findings(input);
    if found.is_empty() {
        text.push_str("Nothing was measured.\n");
    }
    for finding in found {
        text.push_str(&format!("- {finding}\n"));
    }
    compared(&mut text, input);
    pictures(&mut text, charts, left_out);
    by_op(&mut text, input);
    reasons(&mut text, input);
    text
}

fn section(text: &mut String, title: &str) {
    text.push_str(&format!("\n## {title}\n\n"));
}

/// The command and the machine.
fn made_by(text: &mut String, input: &ReportInput) {
    text.push_str("Made by\n\n```sh\n");
    text.push_str(&input.command.replace("```", "'''"));
    text.push_str("\n```\n\n");
    if input.machine.is_empty() {
        text.push_str("on a machine that is not described.\n");
    } else {
        let row = |(label, value): &(String, String)| vec![cell(label), cell(value)];
        let rows: Vec<Vec<String>> = input.machine.iter().map(row).collect();
        text.push_str(&table(&["machine", ""], &rows));
    }
    let records = input.records;
    let count = |status| records.iter().filter(|r| r.outcome.status() == status).count();
    text.push_str(&format!(
        "\n{} records: {} measured, {} simulated, {} wrong, {} failed, {} refused.\n",
        records.len(),
        count("measured"),
        count("simulated"),
        count("wrong"),
        count("failed"),
        count("refused")
    ));
    if let Some(peaks) = peaks_table(records) {
        text.push_str("\nMeasured limits, which shares of peak refer to:\n\n");
        text.push_str(&peaks);
    }
}

/// Ours against baselines and peak: means first, then shape by shape, folded where ours stand alone.
fn compared(text: &mut String, input: &ReportInput) {
    let comparisons = comparisons(input.records);
    if comparisons.is_empty() {
        return;
    }
    section(text, "Ours against baselines and peak, one core and all cores");
    text.push_str(
        "The fastest of our kernels against the fastest baseline and against the measured limit, case by case; the \
         means are geometric. A ratio above 1 means that ours is faster.\n\n",
    );
    text.push_str(&summary(&comparisons));
    for comparison in comparisons {
        let open = if comparison.has_baseline() { " open" } else { "" };
        let (title, table) = (cell(&comparison.heading()), comparison.by_shape());
        text.push_str(&format!(
            "\n<details{open}>\n<summary>{title}, by shape</summary>\n\n{table}\n</details>\n"
        ));
    }
}

fn pictures(text: &mut String, charts: &[Chart], left_out: &[String]) {
    section(text, "Charts");
    let kinds = [
        ("throughput-", "Throughput by model size"),
        ("scaling-", "Time against size"),
        ("memory-", "Memory against size"),
        ("roofline-", "Roofline"),
        ("optimizer-", "Optimizer time against parameters"),
        ("counters-", "What simulated kernels execute"),
    ];
    for (prefix, title) in kinds {
        let mut first = true;
        for chart in charts.iter().filter(|c| c.name.starts_with(prefix)) {
            if std::mem::take(&mut first) {
                text.push_str(&format!("### {title}\n\n"));
            }
            let alt = chart.alt().replace(['[', ']', '\n', '`'], " ");
            text.push_str(&format!("![{alt}](charts/{}.svg)\n\n", chart.name));
        }
    }
    for reason in left_out {
        text.push_str(&format!("- {reason}\n"));
    }
}

/// The fitted laws, and every record, folded away by op.
fn by_op(text: &mut String, input: &ReportInput) {
    if let Some(laws) = scaling_table(input) {
        section(text, "Scaling laws");
        text.push_str(
            "Exponent p of t = a + b·nᵖ with its 95 % interval, the largest relative miss of the law, and where a \
             curve leaves it.\n\n",
        );
        text.push_str(&laws);
    }
    let counters = counter_tables(input);
    if !counters.is_empty() {
        section(text, "What the kernels execute");
        text.push_str(
            "Counted exactly by the simulator over all cases of a model that a kernel takes, the same in every run; MODEL/16 has \
             the model's proportions at a sixteenth of its widths. Sectors are of 32 bytes of global memory, beside those that \
             the same bytes would fill; conflicts are the share of shared memory's passes that bank conflicts make; registers \
             are of the entry with the most.\n",
        );
        for (title, table) in counters {
            let title = cell(&title);
            text.push_str(&format!(
                "\n<details open>\n<summary>{title}</summary>\n\n{table}\n</details>\n"
            ));
        }
    }
    section(text, "Tables");
    text.push_str(
        "Times are medians with half the width of their 95 % interval; the fastest of a case comes first; ▲ marks \
         what is above its measured limit.\n",
    );
    for (group, records) in groups(input.records) {
        if records.iter().all(|r| matches!(r.outcome.status(), "refused" | "failed")) {
            continue;
        }
        let title = cell(&group.title());
        let table = records_table(&records);
        text.push_str(&format!("\n<details>\n<summary>{title}</summary>\n\n{table}\n</details>\n"));
    }
}

fn reasons(text: &mut String, input: &ReportInput) {
    section(text, "Wrong, failed and refused");
    let reasons = merged(input.records);
    if reasons.is_empty() {
        text.push_str("None.\n");
        return;
    }
    let row = |reason: &super::reasons::Reason| {
        let like = if reason.varies { " (others differ in the numbers only)" } else { "" };
        let kernels: Vec<String> = reason.kernels.iter().map(|k| cell(k)).collect();
        vec![
            reason.status.to_owned(),
            reason.count.to_string(),
            format!("{}{like}", cell(&reason.text)),
            kernels.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = reasons.iter().map(row).collect();
    text.push_str(&table(&["what", "count ", "reason", "kernels"], &rows));
}

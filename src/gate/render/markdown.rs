//! Markdown for a pull request or a job's summary.

use crate::gate::render::notable;
use crate::gate::report::{Report, UNPAIRED};

/// The headline, a table of what is not the same, and what "the same" means, folded away.
pub fn markdown(report: &Report) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let code = |text: &str| format!("`{}`", cell(text).replace('`', "'"));
    let mut text = format!(
        "### {}\n\n{} against {}, {:.0} s.\n",
        cell(&report.headline()),
        code(&report.head.label),
        code(&report.base.label),
        report.seconds
    );
    let notable = notable(&report.findings);
    if !notable.is_empty() {
        text.push_str("\n| kernel | case | metric | found |\n|---|---|---|---|\n");
        for finding in &notable {
            let case = if finding.case.is_empty() { "–".into() } else { code(&finding.case) };
            let mut found = finding.sentence();
            if let Some(waiver) = &finding.waiver {
                found.push_str(&format!(" (waived: {waiver})"));
            } else if !finding.gated {
                found.push_str(" (not gated)");
            }
            text.push_str(&format!(
                "| {} | {case} | {} | {} |\n",
                code(&finding.kernel),
                cell(&finding.metric),
                cell(&found)
            ));
        }
    }
    if !report.cut_short.is_empty() {
        text.push_str(&format!("\nCut short: {}.\n", cell(&report.cut_short)));
    }
    let percent = |share: f64| format!("{} %", (share * 1e5).round() / 1e3);
    text.push_str(&format!(
        "\n<details><summary>{} the same</summary>\n\n\
         Slower or faster is what differs by more than {} at a false discovery rate of {}; the same is what was shown to differ by \
         less than {}. {}\n\n",
        report.findings.len() - notable.len(),
        percent(report.slack),
        percent(report.false_discovery),
        percent(report.same),
        if report.paired {
            "Processes were compared in pairs, in random order.".to_owned()
        } else {
            format!("**Unpaired**: {UNPAIRED}.")
        }
    ));
    for finding in &report.findings {
        if !notable.iter().any(|n| std::ptr::eq(*n, finding)) {
            text.push_str(&format!(
                "- {}: {}\n",
                code(&finding.title()),
                cell(&finding.sentence())
            ));
        }
    }
    text.push_str("\n</details>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::report::tests::report;
    use crate::gate::verdict::{Ratio, Verdict};

    #[test]
    fn what_changed_stands_in_the_table_and_the_same_is_folded_away() {
        let mut report = report(&[Verdict::Same, Verdict::Slower(Ratio(1.031))]);
        report.findings[1].kernel = "a|b".into();
        let text = markdown(&report);
        assert!(text.starts_with("### gate failed: a regression (1 same, 1 slower)\n"));
        assert!(
            text.contains("| `a\\|b` | `matmul/nn/m64-n64-k64` | time | slower: +3.1 %"),
            "{text}"
        );
        assert!(text.contains("<details><summary>1 the same</summary>"));
        assert!(text.contains("more than 0.5 % at a false discovery rate of 0.5 %"), "{text}");
        assert!(text.contains("- `matmul/k0 on matmul/nn/m64-n64-k64`: the same"));
    }
}

//! JUnit XML, as most CI systems show it: a test case a finding.

use super::xml;
use crate::gate::report::{Report, Weight};

/// Regressions are failures; what is undecided or unfit is an error, for it says nothing of the code; what does not count is
/// skipped, with its reason.
pub fn junit(report: &Report) -> String {
    let weights: Vec<Weight> = report.findings.iter().map(|finding| finding.weight()).collect();
    let count = |of: &[Weight]| weights.iter().filter(|weight| of.contains(weight)).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"scalemark gate\" tests=\"{}\" failures=\"{}\" \
         errors=\"{}\" time=\"{:.3}\">\n",
        weights.len(),
        count(&[Weight::Regression, Weight::Exact]),
        count(&[Weight::Undecided, Weight::Unfit]),
        report.seconds
    );
    for finding in &report.findings {
        let name = if finding.case.is_empty() { &finding.metric } else { &finding.case };
        let name = format!("{name} {}", finding.metric);
        text.push_str(&format!(
            "<testcase classname=\"{}\" name=\"{}\">",
            xml(&finding.kernel),
            xml(&name)
        ));
        let (sentence, kind) = (xml(&finding.sentence()), finding.verdict.name());
        match finding.weight() {
            Weight::Regression | Weight::Exact => {
                text.push_str(&format!("<failure type=\"{kind}\" message=\"{sentence}\"/>"));
            }
            Weight::Undecided | Weight::Unfit => {
                text.push_str(&format!("<error type=\"{kind}\" message=\"{sentence}\"/>"));
            }
            Weight::None => match &finding.waiver {
                Some(waiver) => {
                    let why = xml(&format!("waived: {waiver}"));
                    text.push_str(&format!("<skipped message=\"{why}\"/>"));
                }
                None if !finding.gated => text.push_str("<skipped message=\"not gated\"/>"),
                None => {}
            },
        }
        text.push_str(&format!("<system-out>{sentence}</system-out></testcase>\n"));
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::report::tests::report;
    use crate::gate::verdict::{Ratio, Verdict};

    #[test]
    fn failures_errors_and_skips_are_told_apart_and_text_is_escaped() {
        let slower = Verdict::Slower(Ratio(1.03));
        let mut report = report(&[Verdict::Same, slower, Verdict::Undecided, slower]);
        report.findings[3].waiver = Some("a \"known\" <one>".into());
        report.findings[0].kernel = "a<b>&\u{1}c".into();
        let text = junit(&report);
        assert!(text.contains("tests=\"4\" failures=\"1\" errors=\"1\""), "{text}");
        assert!(text.contains("<skipped message=\"waived: a &quot;known&quot; &lt;one&gt;\"/>"));
        assert!(text.contains("classname=\"a&lt;b&gt;&amp;c\""));
        assert_eq!(text.matches("<testcase ").count(), 4);
        assert_eq!(text.matches("</testcase>").count(), 4);
    }
}

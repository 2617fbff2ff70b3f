//! Annotations of GitHub's workflow commands: lines on standard output that its runner shows beside a job.

use super::notable;
use crate::gate::report::{Report, Weight};

/// A line for everything that is not the same, worst first, and one for the whole.
pub fn annotations(report: &Report) -> String {
    // What the runner would read as the end of a message or a property.
    let message = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| message(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for finding in notable(&report.findings) {
        let level = match finding.weight() {
            Weight::Regression | Weight::Exact => "error",
            Weight::Undecided | Weight::Unfit => "warning",
            Weight::None => "notice",
        };
        let (title, sentence) = (property(&finding.title()), message(&finding.sentence()));
        text.push_str(&format!("::{level} title={title}::{sentence}\n"));
    }
    text.push_str(&format!("::notice title=scalemark gate::{}\n", message(&report.headline())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::report::tests::report;
    use crate::gate::verdict::{Ratio, Verdict};

    #[test]
    fn nothing_of_a_name_ends_a_command_early() {
        let mut report = report(&[Verdict::Same, Verdict::Slower(Ratio(1.03))]);
        report.findings[1].kernel = "a,b::c\n::error::injected".into();
        let text = annotations(&report);
        assert_eq!(text.lines().count(), 2, "{text}");
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("::error title=a%2Cb%3A%3Ac%0A%3A%3Aerror%3A%3Ainjected on "),
            "{first}"
        );
        assert!(first.contains("slower%3A") || first.contains("::slower: +3.1 %25"), "{first}");
    }
}

//! The outputs of a gate, each made from the one [`Report`](super::Report).

mod annotations;
mod junit;
mod markdown;
mod sarif;
mod terminal;

pub use annotations::annotations;
pub use junit::junit;
pub use markdown::markdown;
pub use sarif::sarif;
pub use terminal::terminal;

use super::report::Finding;
use super::verdict::Verdict;

/// The findings that a person should see, worst first: all but those that are the same.
fn notable(findings: &[Finding]) -> Vec<&Finding> {
    let mut notable: Vec<&Finding> =
        findings.iter().filter(|f| f.verdict != Verdict::Same).collect();
    notable.sort_by_key(|f| std::cmp::Reverse(f.weight()));
    notable
}

/// Text for XML: its five special characters escaped, and control characters that XML forbids left out.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => out.push(c),
        }
    }
    out
}

//! Refusals, failures and wrong answers, those with the same reason together.

use crate::record::{Outcome, Record};

/// Records that came to nothing for the same reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// `wrong`, `failed` or `refused`.
    pub status: &'static str,
    /// The reason of the first of them.
    pub text: String,
    /// Whether the others differ from `text` in their numbers.
    pub varies: bool,
    /// How many they are.
    pub count: usize,
    /// The kernels that they belong to.
    pub kernels: Vec<String>,
}

/// A reason without its numbers, by which reasons are the same.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        let number = c.is_ascii_digit();
        if !number {
            pattern.push(c);
        } else if !pattern.ends_with('#') {
            pattern.push('#');
        }
    }
    // The fraction of a number, and its unit's step, follow the number.
    let units = ["KiB", "MiB", "GiB", "TiB", "ns", "µs", "ms"];
    units.iter().fold(pattern.replace("#.#", "#"), |p, u| p.replace(&format!("# {u}"), "# unit"))
}

/// The merged reasons: wrong ones first, then failures, then refusals, the most frequent of each first.
pub fn merged(records: &[Record]) -> Vec<Reason> {
    let mut found: Vec<(String, Reason)> = Vec::new();
    for record in records {
        let (Outcome::Wrong(text) | Outcome::Failed(text) | Outcome::Refused(text)) =
            &record.outcome
        else {
            continue;
        };
        let (status, key) = (record.outcome.status(), pattern(text));
        match found.iter_mut().find(|(k, r)| *k == key && r.status == status) {
            Some((_, reason)) => {
                reason.count += 1;
                reason.varies |= reason.text != *text;
                if reason.kernels.iter().all(|known| *known != record.kernel) {
                    reason.kernels.push(record.kernel.to_string());
                }
            }
            None => found.push((
                key,
                Reason {
                    status,
                    text: text.to_string(),
                    varies: false,
                    count: 1,
                    kernels: vec![record.kernel.to_string()],
                },
            )),
        }
    }
    let order = |r: &Reason| ["wrong", "failed", "refused"].iter().position(|s| *s == r.status);
    found.sort_by_key(|(_, r)| (order(r), std::cmp::Reverse(r.count)));
    found.into_iter().map(|(_, reason)| reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn reasons_that_differ_in_numbers_only_are_counted_together() {
        let mut records: Vec<Record> = (0..3)
            .map(|i| {
                let mut record = synthetic::square(64 + i, &format!("matmul/k{i}"), "own", 1.0);
                record.outcome =
                    Outcome::Refused(format!("needs {}.5 MiB, has 2 GiB", i + 20).into());
                record
            })
            .collect();
        records[2].outcome = Outcome::Failed("the worker died".into());
        let merged = merged(&records);
        assert_eq!(merged.len(), 2);
        assert_eq!((merged[0].status, merged[0].count), ("failed", 1));
        assert_eq!((merged[1].status, merged[1].count, merged[1].varies), ("refused", 2, true));
        assert_eq!(merged[1].text, "needs 20.5 MiB, has 2 GiB");
        assert_eq!(merged[1].kernels, ["matmul/k0", "matmul/k1"]);
    }
}

//! Everything that a gate found, from which every output is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::{Judgement, Verdict};

/// The version of the report's JSON.
pub const SCHEMA: u32 = 1;

/// What must be known of a report that is not [`Report::paired`].
pub const UNPAIRED: &str =
    "two runs were compared, and what the machine did between them is in the difference";

/// Where a time comes from.
pub const TIME: &str = "time";

/// One kernel on one case, or a curve, by one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `family/name`.
    pub kernel: String,
    /// The case's key; of a curve, what its sizes have in common; empty where a kernel is missing altogether.
    pub case: String,
    /// `time`, `time of all sizes`, or the name of a counter.
    pub metric: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Why, in words; empty where numbers say it all.
    pub reason: String,
    /// What a verdict on times rests on.
    pub evidence: Option<Judgement>,
    /// A counter in base and head.
    pub values: Option<(f64, f64)>,
    /// Whether it counts for the exit code, as `scalemark.toml` has it.
    pub gated: bool,
    /// The waiver that excuses it: its reason and when it expires.
    pub waiver: Option<String>,
}

impl Finding {
    /// A finding of `metric` with nothing but its verdict; gated.
    pub fn new(kernel: &str, case: &str, metric: &str, verdict: Verdict) -> Self {
        Finding {
            kernel: kernel.to_owned(),
            case: case.to_owned(),
            metric: metric.to_owned(),
            verdict,
            reason: String::new(),
            evidence: None,
            values: None,
            gated: true,
            waiver: None,
        }
    }

    /// Whether it is compared exactly: a counter, which has no noise.
    pub fn is_exact(&self) -> bool {
        self.values.is_some()
    }

    /// What it is about, in one phrase.
    pub fn title(&self) -> String {
        let case = if self.case.is_empty() { String::new() } else { format!(" on {}", self.case) };
        let metric = if self.metric == TIME { String::new() } else { format!(", {}", self.metric) };
        format!("{}{case}{metric}", self.kernel)
    }

    /// What was found, in one sentence without the title.
    pub fn sentence(&self) -> String {
        let because = |text: &str| match self.reason.as_str() {
            "" => text.to_owned(),
            reason => format!("{text}: {reason}"),
        };
        if let Some((base, head)) = self.values {
            return because(&format!("{base} in the base, {head} in the head"));
        }
        let Some(evidence) = &self.evidence else { return because(self.verdict.name()) };
        let interval = evidence
            .interval
            .map_or(String::new(), |(low, high)| format!(" (95 % interval {low} to {high})"));
        let change = evidence.estimate.map_or("–".into(), |ratio| ratio.to_string());
        let seen = match evidence.detectable {
            [Some(at_80), Some(at_95)] => {
                format!("; would have found {at_80} in 80 % and {at_95} in 95 % of gates")
            }
            _ => "; too few pairs to find any change".to_owned(),
        };
        let pairs = evidence.pairs;
        because(&match self.verdict {
            Verdict::Same => format!("the same: {change}{interval}, {pairs} pairs"),
            Verdict::Slower(_) | Verdict::Faster(_) => {
                let name = self.verdict.name();
                format!("{name}: {change}{interval}, {pairs} pairs, q = {:.1e}", evidence.q)
            }
            Verdict::Unfit => {
                let twin = evidence.twin.map_or("–".into(), |ratio| ratio.to_string());
                format!("unfit: the base differs from a copy of itself by {twin}, {pairs} pairs")
            }
            _ => {
                let settle = match evidence.would_settle {
                    Some(needed) if needed > pairs => {
                        format!("; --max-pairs {needed} would settle it")
                    }
                    _ => "; a quieter machine would settle it".to_owned(),
                };
                format!("undecided: {change}{interval}, {pairs} pairs{seen}{settle}")
            }
        })
    }

    /// How it counts for the exit code.
    pub fn weight(&self) -> Weight {
        if !self.gated || self.waiver.is_some() {
            return Weight::None;
        }
        match self.verdict {
            Verdict::Slower(_) if self.is_exact() => Weight::Exact,
            Verdict::Slower(_) | Verdict::OnlyInBase => Weight::Regression,
            Verdict::Unfit => Weight::Unfit,
            Verdict::Undecided => Weight::Undecided,
            Verdict::Same | Verdict::Faster(_) | Verdict::OnlyInHead => Weight::None,
        }
    }
}

/// What a finding does to the exit code; of several the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing: exit 0.
    None,
    /// Exit 3.
    Undecided,
    /// Slower, or broken in the head: exit 1.
    Regression,
    /// Times cannot be believed, so that even a regression is none: exit 3.
    Unfit,
    /// A counter, which needs no quiet machine: exit 1.
    Exact,
}

/// One of the two builds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Side {
    /// How it was named on the command line.
    pub label: String,
    /// The version that it says it has.
    pub version: String,
}

/// A whole gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this format.
    pub schema: u32,
    /// The base.
    pub base: Side,
    /// The head.
    pub head: Side,
    /// Whether processes were measured in pairs; two run folders are not.
    pub paired: bool,
    /// Slower begins at this excess.
    pub slack: f64,
    /// The same ends at this difference.
    pub same: f64,
    /// False discovery rate.
    pub false_discovery: f64,
    /// The seed of operands and orders.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether the user or the budget ended it early, in words; empty if not.
    pub cut_short: String,
    /// Everything found, kernels first, then curves, then counters.
    pub findings: Vec<Finding>,
}

impl Report {
    /// 0 fine, 1 a regression, 3 undecided or unfit.
    pub fn exit_code(&self) -> u8 {
        match self.findings.iter().map(Finding::weight).max().unwrap_or(Weight::None) {
            Weight::None => 0,
            Weight::Regression | Weight::Exact => 1,
            Weight::Undecided | Weight::Unfit => 3,
        }
    }

    /// How many findings there are of each verdict, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.verdict.name()).or_insert(0) += 1;
        }
        counts
    }

    /// The whole in one line.
    pub fn headline(&self) -> String {
        let verdict = match self.exit_code() {
            0 => "passed",
            1 => "failed: a regression",
            _ if self.findings.iter().any(|f| f.weight() == Weight::Unfit) => {
                "no verdict: the environment is unfit"
            }
            _ => "no verdict: undecided",
        };
        let mut words: Vec<String> =
            self.counts().iter().map(|(name, count)| format!("{count} {name}")).collect();
        if words.is_empty() {
            // Counters that are alike are no findings.
            words.push("nothing changed".to_owned());
        }
        if !self.paired {
            words.push("unpaired".to_owned());
        }
        format!("gate {verdict} ({})", words.join(", "))
    }

    /// The JSON of the report.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has a JSON form") + "\n"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::gate::verdict::Ratio;

    #[test]
    fn counters_that_are_all_alike_are_said_to_be() {
        let mut report = report(&[]);
        report.findings.clear();
        report.paired = false;
        assert_eq!(report.headline(), "gate passed (nothing changed, unpaired)");
    }

    /// A report with one finding of every verdict that `verdicts` asks for.
    pub fn report(verdicts: &[Verdict]) -> Report {
        let finding = |(i, &verdict): (usize, &Verdict)| Finding {
            evidence: Some(Judgement {
                verdict,
                pairs: 32,
                estimate: Some(Ratio(1.031)),
                interval: Some((Ratio(1.02), Ratio(1.04))),
                twin: Some(Ratio(1.05)),
                spread: Some(0.01),
                p_slower: 1e-6,
                q: 1e-5,
                detectable: [Some(Ratio(1.01)), Some(Ratio(1.02))],
                would_settle: Some(60),
            }),
            ..Finding::new(&format!("matmul/k{i}"), "matmul/nn/m64-n64-k64", TIME, verdict)
        };
        Report {
            schema: SCHEMA,
            base: Side { label: "main".into(), version: "0.1.0".into() },
            head: Side { label: "HEAD <&>".into(), version: "0.1.0".into() },
            paired: true,
            slack: 0.005,
            same: 0.02,
            false_discovery: 0.005,
            seed: 1,
            seconds: 61.5,
            cut_short: String::new(),
            findings: verdicts.iter().enumerate().map(finding).collect(),
        }
    }

    const SLOWER: Verdict = Verdict::Slower(Ratio(1.031));

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let exit = |verdicts: &[Verdict]| report(verdicts).exit_code();
        assert_eq!(exit(&[]), 0);
        assert_eq!(exit(&[Verdict::Same, Verdict::Faster(Ratio(0.9)), Verdict::OnlyInHead]), 0);
        assert_eq!(exit(&[Verdict::Same, Verdict::Undecided]), 3);
        assert_eq!(exit(&[Verdict::Undecided, SLOWER]), 1);
        assert_eq!(exit(&[Verdict::OnlyInBase]), 1);
        assert_eq!(exit(&[SLOWER, Verdict::Unfit]), 3, "what an unfit machine calls slower is not");
        let mut exact = report(&[Verdict::Unfit, SLOWER]);
        exact.findings[1].values = Some((40.0, 41.0));
        assert_eq!(exact.exit_code(), 1, "a register needs no quiet machine");
    }

    #[test]
    fn what_is_waived_or_not_gated_does_not_count() {
        let mut report = report(&[SLOWER, SLOWER]);
        report.findings[0].gated = false;
        report.findings[1].waiver = Some("known, until 2030-01-01".into());
        assert_eq!(report.exit_code(), 0);
    }

    #[test]
    fn a_report_reads_back_from_its_json_and_says_what_would_settle_it() {
        let report = report(&[Verdict::Undecided, SLOWER, Verdict::Unfit]);
        assert_eq!(serde_json::from_str::<Report>(&report.json()).unwrap(), report);
        assert_eq!(
            report.findings[0].sentence(),
            "undecided: +3.1 % (95 % interval +2.0 % to +4.0 %), 32 pairs; would have found +1.0 % in 80 % and +2.0 % in 95 % \
             of gates; --max-pairs 60 would settle it"
        );
        assert!(report.findings[2].sentence().contains("differs from a copy of itself by +5.0 %"));
        assert_eq!(
            report.headline(),
            "gate no verdict: the environment is unfit (1 slower, 1 undecided, 1 unfit)"
        );
    }
}

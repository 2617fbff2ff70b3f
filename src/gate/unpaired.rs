//! Two runs of one machine, measured one after the other.
//!
//! Nothing was paired, so what the machine did between them is in the difference, and nothing can tell it from the builds: the
//! report says `unpaired`. Processes are what is replicated; their levels are compared by Welch's test.

use super::pair::CURVE_SIZES;
use super::report::{Finding, TIME};
use super::rule::{LEAST_FAMILY, Rule};
use super::verdict::{Judgement, Ratio, Verdict};
use crate::stats::multiple::benjamini_hochberg;
use crate::stats::student::t_quantile;
use crate::stats::welch::{self, Difference};

/// The logarithms of a kernel's levels in the processes of each run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairless {
    /// `family/name`.
    pub kernel: String,
    /// The case's key.
    pub case: String,
    /// In the base's run.
    pub base: Vec<f64>,
    /// In the head's run.
    pub head: Vec<f64>,
}

/// A finding for each kernel, in order: false discoveries are controlled over all of them. With fewer than [`CURVE_SIZES`] processes on a side, a
/// kernel is undecided.
pub fn judge(rule: &Rule, kernels: &[Pairless]) -> Vec<Finding> {
    let differences: Vec<Option<Difference>> = kernels
        .iter()
        .map(|k| {
            welch::difference(&k.base, &k.head)
                .filter(|_| k.base.len().min(k.head.len()) >= CURVE_SIZES)
        })
        .collect();
    let slack = rule.slack.ln_1p();
    let adjust = |p: &dyn Fn(&Difference) -> f64| {
        let p: Vec<f64> = differences.iter().map(|d| d.as_ref().map_or(1.0, p)).collect();
        (benjamini_hochberg(&p, LEAST_FAMILY), p)
    };
    let (slower, p_slower) = adjust(&|d| d.at_most(slack));
    let (faster, _) = adjust(&|d| d.at_least(-slack));
    let finding = |(i, kernel): (usize, &Pairless)| {
        let difference = differences[i];
        let verdict = match difference {
            Some(d) if slower[i] <= rule.false_discovery => {
                Verdict::Slower(Ratio(d.estimate.exp()))
            }
            Some(d) if faster[i] <= rule.false_discovery => {
                Verdict::Faster(Ratio(d.estimate.exp()))
            }
            Some(d) if is_same(&d, rule) => Verdict::Same,
            _ => Verdict::Undecided,
        };
        let evidence = Judgement {
            verdict,
            pairs: kernel.base.len().min(kernel.head.len()),
            estimate: difference.map(|d| Ratio(d.estimate.exp())),
            interval: difference.and_then(|d| {
                let half = t_quantile(0.975, d.df)? * d.error;
                Some((Ratio((d.estimate - half).exp()), Ratio((d.estimate + half).exp())))
            }),
            twin: None,
            spread: difference.map(|d| d.error),
            p_slower: p_slower[i],
            q: slower[i].min(faster[i]),
            detectable: [0.8, 0.95].map(|power| {
                let d = difference?;
                let level = rule.false_discovery / kernels.len().max(LEAST_FAMILY) as f64;
                let t = t_quantile(1.0 - level, d.df)? + t_quantile(power, d.df)?;
                Some(Ratio((slack + t * d.error).exp()))
            }),
            would_settle: None,
        };
        let reason = if verdict == Verdict::Undecided {
            "a paired gate of the two builds (--base BIN --head BIN) can settle it".to_owned()
        } else {
            String::new()
        };
        let finding = Finding::new(&kernel.kernel, &kernel.case, TIME, verdict);
        Finding { reason, evidence: Some(evidence), ..finding }
    };
    kernels.iter().enumerate().map(finding).collect()
}

fn is_same(difference: &Difference, rule: &Rule) -> bool {
    let edge = rule.same.ln_1p();
    difference.at_most(-edge).max(difference.at_least(edge)) <= rule.false_same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn pair(processes: usize, effect: f64, sd: f64, seed: u64) -> Pairless {
        let mut random = Random::new(seed);
        let mut levels =
            |shift: f64| (0..processes).map(|_| shift + sd * random.normal()).collect::<Vec<f64>>();
        let (base, head) = (levels(10.0), levels(10.0 + effect));
        Pairless { kernel: "matmul/simd".into(), case: "c".into(), base, head }
    }

    #[test]
    fn a_clear_slowdown_is_found_and_a_quiet_pair_is_the_same() {
        let kernels = [
            pair(8, 0.10, 0.01, 1),
            pair(8, 0.0, 0.003, 2),
            pair(8, -0.1, 0.01, 3),
            pair(8, 0.0, 0.1, 4),
        ];
        let names: Vec<&str> =
            judge(&Rule::default(), &kernels).iter().map(|f| f.verdict.name()).collect();
        assert_eq!(names, ["slower", "same", "faster", "undecided"]);
    }

    #[test]
    fn two_processes_say_nothing() {
        let findings = judge(&Rule::default(), &[pair(2, 0.5, 0.001, 1)]);
        assert_eq!(findings[0].verdict, Verdict::Undecided);
        assert!(findings[0].reason.contains("--base BIN"));
    }

    #[test]
    fn runs_of_one_build_are_seldom_called_slower() {
        let alarms = (0..2000).filter(|&seed| {
            let kernels: Vec<Pairless> =
                (0..10).map(|k| pair(5, 0.0, 0.02, 10 * seed + k)).collect();
            judge(&Rule::default(), &kernels)
                .iter()
                .any(|f| matches!(f.verdict, Verdict::Slower(_)))
        });
        assert!(alarms.count() <= 20);
    }
}

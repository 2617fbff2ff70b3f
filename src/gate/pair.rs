//! From levels of paired processes to verdicts.
//!
//! In each round one process of the base, one of the head and one of a copy of the base (the twin) run, in an order that a coin
//! decides anew each time. If the builds are alike, swapping two labels changes nothing: each log ratio is as likely as its negative, given all
//! sizes, whatever the machine did meanwhile (drift, bursts, levels that persist). So signed ranks are exact, and stay so for the
//! alternative that multiplies every time by 1 + slack. A fixed ABBA order would not have this property: under a noise that
//! swings with the order, its pairs are copies of each other.

use super::rule::{LEAST_FAMILY, Rule};
use super::verdict::{Judgement, Ratio, Verdict};
use crate::stats::multiple::benjamini_hochberg;
use crate::stats::sequential::{Anytime, Looks, outside};
use crate::stats::{power, signed_rank};

/// The levels of one kernel in the three processes of a round, in one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// In the base's process.
    pub base: f64,
    /// In the head's.
    pub head: f64,
    /// In that of a copy of the base.
    pub twin: f64,
}

/// What is judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subject {
    /// Its name in reports.
    pub name: String,
    /// The curve that it is a size of: subjects with the same name of a curve are judged together too.
    pub curve: Option<String>,
}

/// Sizes from which a curve is judged.
pub const CURVE_SIZES: usize = 3;

/// Takes levels, looks now and then, and says who needs more of them.
#[derive(Debug, Clone)]
pub struct Judge {
    rule: Rule,
    kernels: Vec<Kernel>,
    curves: Vec<Curve>,
    /// Whether kernels go on although they are decided: how [`super::simulate`] looks at every look.
    never_close: bool,
}

#[derive(Debug, Clone)]
struct Kernel {
    head: Series,
    twin: Series,
    open: bool,
}

/// All sizes of a kernel; its value in a round is the centre of theirs.
#[derive(Debug, Clone)]
struct Curve {
    name: String,
    members: Vec<usize>,
    head: Series,
}

/// Log ratios, and what their looks have come to.
#[derive(Debug, Clone, Default)]
struct Series {
    logs: Vec<f64>,
    looked: usize,
    slower: Anytime,
    faster: Anytime,
    /// "At least as fast as the edge of sameness", and "at least as slow".
    beyond: [Anytime; 2],
}

impl Series {
    fn look(&mut self, rule: &Rule) {
        let pairs = self.logs.len();
        if pairs <= self.looked {
            return;
        }
        self.looked = pairs;
        let (slack, same) = (rule.slack.ln_1p(), rule.same.ln_1p());
        let weighed = |looks: &Looks, low, high| {
            let weight = looks.weight(pairs);
            let tails = (weight > 0.0).then(|| outside(&self.logs, low, high)).flatten();
            tails.map(|(above, below)| (above, below, weight))
        };
        if let Some((above, below, weight)) = weighed(&rule.same_looks, -same, same) {
            self.beyond[0].look(above, weight);
            self.beyond[1].look(below, weight);
        }
        if let Some((above, below, weight)) = weighed(&rule.changed_looks, slack, -slack) {
            self.slower.look(above, weight);
            self.faster.look(below, weight);
        }
    }

    fn is_same(&self, rule: &Rule) -> bool {
        self.beyond.iter().all(|test| test.p() <= rule.false_same)
    }

    /// "No different by more than the slack", both sides.
    fn p_differs(&self) -> f64 {
        (2.0 * self.slower.p().min(self.faster.p())).min(1.0)
    }
}

/// Adjusted p-values of all kernels, then all curves.
struct Adjusted {
    slower: Vec<f64>,
    faster: Vec<f64>,
    twin: Vec<f64>,
}

impl Adjusted {
    fn q(&self, i: usize) -> f64 {
        self.slower[i].min(self.faster[i])
    }
}

impl Judge {
    /// Nothing measured yet.
    pub fn new(rule: Rule, subjects: &[Subject]) -> Self {
        let mut curves: Vec<Curve> = Vec::new();
        for (i, subject) in subjects.iter().enumerate() {
            let Some(name) = &subject.curve else { continue };
            match curves.iter_mut().find(|curve| curve.name == *name) {
                Some(curve) => curve.members.push(i),
                None => curves.push(Curve {
                    name: name.clone(),
                    members: vec![i],
                    head: Series::default(),
                }),
            }
        }
        curves.retain(|curve| curve.members.len() >= CURVE_SIZES);
        let new = Kernel { head: Series::default(), twin: Series::default(), open: true };
        Judge { rule, kernels: vec![new; subjects.len()], curves, never_close: false }
    }

    /// Goes on to the last look with everybody, however early they are decided.
    pub fn to_the_end(mut self) -> Self {
        self.never_close = true;
        self
    }

    /// The rule that it judges by.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The kernels that need more pairs.
    pub fn open(&self) -> Vec<usize> {
        (0..self.kernels.len()).filter(|&i| self.kernels[i].open).collect()
    }

    /// The most pairs that any kernel has.
    pub fn pairs(&self) -> usize {
        self.kernels.iter().map(|kernel| kernel.head.logs.len()).max().unwrap_or(0)
    }

    /// Takes no more of a kernel: it broke.
    pub fn give_up(&mut self, kernel: usize) {
        self.kernels[kernel].open = false;
    }

    /// Takes in one round: the levels of kernels, each positive and finite. Others, and kernels that are closed, are left out.
    pub fn add(&mut self, round: &[(usize, Levels)]) {
        let mut logs = vec![None; self.kernels.len()];
        for &(i, levels) in round {
            let usable =
                [levels.base, levels.head, levels.twin].iter().all(|&x| x > 0.0 && x.is_finite());
            if usable && self.kernels[i].open {
                let log = (levels.head / levels.base).ln();
                self.kernels[i].head.logs.push(log);
                self.kernels[i].twin.logs.push((levels.twin / levels.base).ln());
                logs[i] = Some(log);
            }
        }
        for curve in &mut self.curves {
            // Only rounds that all sizes took part in: who takes part must not depend on what was seen.
            let all: Option<Vec<f64>> = curve.members.iter().map(|&i| logs[i]).collect();
            curve.head.logs.extend(all.and_then(|all| signed_rank::hodges_lehmann(&all)));
        }
    }

    /// Looks, if the rule has a look at as many pairs as there are, and closes who is decided.
    pub fn look(&mut self) {
        for kernel in self.kernels.iter_mut().filter(|kernel| kernel.open) {
            kernel.head.look(&self.rule);
            kernel.twin.look(&self.rule);
        }
        for curve in &mut self.curves {
            curve.head.look(&self.rule);
        }
        if self.never_close {
            return;
        }
        let adjusted = self.adjusted();
        let (rule, last) = (&self.rule, self.rule.last());
        for (i, kernel) in self.kernels.iter_mut().enumerate() {
            let found = [&adjusted.slower, &adjusted.faster, &adjusted.twin]
                .iter()
                .any(|q| q[i] <= rule.false_discovery);
            let done = found || kernel.head.is_same(rule) || kernel.head.logs.len() >= last;
            kernel.open &= !done;
        }
    }

    fn adjusted(&self) -> Adjusted {
        let series =
            || self.kernels.iter().map(|k| &k.head).chain(self.curves.iter().map(|c| &c.head));
        let adjust = |p: Vec<f64>| benjamini_hochberg(&p, LEAST_FAMILY);
        Adjusted {
            slower: adjust(series().map(|s| s.slower.p()).collect()),
            faster: adjust(series().map(|s| s.faster.p()).collect()),
            twin: adjust(self.kernels.iter().map(|k| k.twin.p_differs()).collect()),
        }
    }

    /// The verdict on every kernel, then on every curve, with its p-value of "not slower": what [`Judge::kernels`] and
    /// [`Judge::curves`] rest on, without what they tell beside it.
    pub fn verdicts(&self) -> Vec<(Verdict, f64)> {
        let adjusted = self.adjusted();
        let all = self.kernels.iter().map(|k| &k.head).chain(self.curves.iter().map(|c| &c.head));
        let verdict = |(i, series): (usize, &Series)| {
            let unfit = adjusted.twin.get(i).is_some_and(|&q| q <= self.rule.false_discovery);
            let verdict = match self.verdict(series, adjusted.slower[i], adjusted.faster[i]) {
                _ if unfit => Verdict::Unfit,
                verdict => verdict,
            };
            (verdict, series.slower.p())
        };
        all.enumerate().map(verdict).collect()
    }

    /// The pairs of one kernel.
    pub fn pairs_of(&self, kernel: usize) -> usize {
        self.kernels[kernel].head.logs.len()
    }

    /// The judgement of every kernel.
    pub fn kernels(&self) -> Vec<Judgement> {
        let (adjusted, verdicts) = (self.adjusted(), self.verdicts());
        let judge = |(i, kernel): (usize, &Kernel)| Judgement {
            twin: signed_rank::hodges_lehmann(&kernel.twin.logs).map(|log| Ratio(log.exp())),
            ..self.judgement(&kernel.head, verdicts[i].0, adjusted.q(i))
        };
        self.kernels.iter().enumerate().map(judge).collect()
    }

    /// The judgement of every curve, with its name and the kernels on it.
    pub fn curves(&self) -> Vec<(&str, &[usize], Judgement)> {
        let (adjusted, verdicts) = (self.adjusted(), self.verdicts());
        let numbered = self.curves.iter().zip(self.kernels.len()..);
        numbered
            .map(|(curve, i)| {
                let judgement = self.judgement(&curve.head, verdicts[i].0, adjusted.q(i));
                (curve.name.as_str(), curve.members.as_slice(), judgement)
            })
            .collect()
    }

    fn verdict(&self, series: &Series, q_slower: f64, q_faster: f64) -> Verdict {
        let limit = self.rule.false_discovery;
        let estimate = || signed_rank::hodges_lehmann(&series.logs).map(|log| Ratio(log.exp()));
        match estimate() {
            Some(estimate) if q_slower <= limit => Verdict::Slower(estimate),
            Some(estimate) if q_faster <= limit => Verdict::Faster(estimate),
            Some(_) if series.is_same(&self.rule) => Verdict::Same,
            _ => Verdict::Undecided,
        }
    }

    fn judgement(&self, series: &Series, verdict: Verdict, q: f64) -> Judgement {
        let (rule, logs) = (&self.rule, &series.logs);
        let ratio = |log: f64| Ratio(log.exp());
        let spread = power::robust_sd(logs);
        let level = rule.level(self.kernels.len() + self.curves.len());
        let (slack, edge) = (rule.slack.ln_1p(), rule.same.ln_1p());
        let detectable = [0.8, 0.95].map(|wanted| {
            let shift = power::least_shift(logs.len(), spread?, level, wanted)?;
            Some(ratio(slack + shift))
        });
        Judgement {
            verdict,
            pairs: logs.len(),
            estimate: signed_rank::hodges_lehmann(logs).map(ratio),
            interval: signed_rank::interval(logs, 0.95)
                .map(|(low, high)| (ratio(low), ratio(high))),
            twin: None,
            spread,
            p_slower: series.slower.p(),
            q,
            detectable,
            would_settle: spread.and_then(|sd| power::pairs_needed(edge - slack, sd, level, 0.8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn subjects(n: usize, curve: usize) -> Vec<Subject> {
        let subject =
            |i| Subject { name: format!("k{i}"), curve: (i < curve).then(|| "curve".to_owned()) };
        (0..n).map(subject).collect()
    }

    /// Puts kernels with these effects (of head, and of twin) and normal noise of `sd` through the gate.
    fn gate(effects: &[(f64, f64)], sd: f64, curve: usize, seed: u64) -> Judge {
        let mut judge = Judge::new(Rule::default(), &subjects(effects.len(), curve));
        let mut random = Random::new(seed);
        let mut rounds = 0;
        while !judge.open().is_empty() {
            let round: Vec<(usize, Levels)> = judge
                .open()
                .into_iter()
                .map(|i| {
                    let mut level =
                        |effect: f64| 1e6 * (1.0 + effect) * (sd * random.normal()).exp();
                    let (head, twin) = effects[i];
                    (i, Levels { base: level(0.0), head: level(head), twin: level(twin) })
                })
                .collect();
            judge.add(&round);
            rounds += 1;
            if judge.rule().next_look(rounds - 1) == Some(rounds) {
                judge.look();
            }
            assert!(rounds <= 32);
        }
        judge
    }

    fn names(judge: &Judge) -> Vec<&'static str> {
        judge.kernels().iter().map(|j| j.verdict.name()).collect()
    }

    #[test]
    fn what_is_the_same_is_called_so_after_8_pairs() {
        let judge = gate(&[(0.0, 0.0); 10], 0.003, 0, 1);
        assert_eq!(names(&judge), ["same"; 10]);
        assert_eq!(judge.pairs(), 8);
    }

    #[test]
    fn slower_and_faster_are_found_among_the_same() {
        let judge = gate(&[(0.02, 0.0), (0.0, 0.0), (-0.03, 0.0), (0.0, 0.0)], 0.005, 0, 2);
        assert_eq!(names(&judge), ["slower", "same", "faster", "same"]);
        let slower = &judge.kernels()[0];
        assert!(matches!(slower.verdict, Verdict::Slower(Ratio(r)) if (r - 1.02).abs() < 0.005));
        let (low, high) = slower.interval.unwrap();
        assert!(low.0 < 1.02 && 1.02 < high.0 && slower.q <= 0.005);
    }

    #[test]
    fn a_base_that_differs_from_its_copy_is_unfit() {
        let judge = gate(&[(0.0, 0.03), (0.0, 0.0), (0.04, 0.04)], 0.004, 0, 3);
        let got = names(&judge);
        assert_eq!((got[1], got[2]), ("same", "unfit"));
        // Its head is the same early, before 16 pairs could prove anything against its twin.
        assert!(got[0] == "same" || got[0] == "unfit");
    }

    #[test]
    fn too_much_noise_is_undecided_and_says_what_would_have_been_seen() {
        let judge = gate(&[(0.0, 0.0)], 0.15, 0, 4);
        let judgement = &judge.kernels()[0];
        assert_eq!((judgement.verdict, judgement.pairs), (Verdict::Undecided, 32));
        let [at_80, at_95] = judgement.detectable.map(|ratio| ratio.unwrap().0);
        assert!(1.05 < at_80 && at_80 < at_95, "{at_80} {at_95}");
        assert!(judgement.would_settle.unwrap() > 1000);
    }

    #[test]
    fn one_shift_over_six_sizes_is_found_where_no_size_shows_it() {
        let effects: Vec<(f64, f64)> = vec![(0.025, 0.0); 6];
        let found = (0..20).filter(|&seed| {
            let judge = gate(&effects, 0.03, 6, 100 + seed);
            let curves = judge.curves();
            let sizes = names(&judge).iter().filter(|name| **name == "slower").count();
            matches!(curves[0].2.verdict, Verdict::Slower(_)) && sizes < 6
        });
        assert!(found.count() >= 15);
    }

    #[test]
    fn levels_that_are_none_are_left_out() {
        let mut judge = Judge::new(Rule::default(), &subjects(1, 0));
        for bad in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            judge.add(&[(0, Levels { base: 1.0, head: bad, twin: 1.0 })]);
        }
        assert_eq!(judge.pairs(), 0);
        judge.look();
        assert_eq!(judge.kernels()[0].verdict, Verdict::Undecided);
        judge.give_up(0);
        assert!(judge.open().is_empty());
    }

    #[test]
    fn identical_times_are_the_same_and_no_fault() {
        let mut judge = Judge::new(Rule::default(), &subjects(2, 0));
        for _ in 0..8 {
            let levels = Levels { base: 3.0, head: 3.0, twin: 3.0 };
            judge.add(&[(0, levels), (1, levels)]);
        }
        judge.look();
        assert_eq!(names(&judge), ["same", "same"]);
    }
}

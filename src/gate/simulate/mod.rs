//! Whole gates on machines whose noise is known: how often they cry wolf, and what they find.

pub mod noise;
pub mod plan;
pub mod summary;

use serde::{Deserialize, Serialize};

use super::pair::{Judge, Levels, Subject};
use super::rule::Rule;
use super::verdict::Verdict;
use noise::{Machine, Noise};

/// Between-process standard deviations of the kernels of a simulated gate: six sizes of one, and four others.
pub const SPREADS: [f64; 10] = [0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.003, 0.005, 0.01, 0.03];
/// How many of them are sizes of one curve.
pub const SIZES: usize = 6;
/// Values at which the distribution of p-values is looked at.
pub const P_AT: [f64; 8] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5];

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// The machine's noise.
    pub noise: Noise,
    /// The head's time over the base's, less 1.
    pub effect: f64,
    /// The kernel that has it; `None`: all.
    pub only: Option<usize>,
    /// Pairs at the last look.
    pub pairs: usize,
    /// Whether decided kernels go on to the last look, so that p-values are those of the worst time to stop.
    pub to_the_end: bool,
}

impl Scene {
    /// Whether the head is slower on kernel `i`.
    pub fn affects(&self, i: usize) -> bool {
        self.only.is_none_or(|only| only == i)
    }

    /// The verdicts that one gate gives on kernels that have the effect.
    pub fn affected(&self) -> u64 {
        self.only.map_or(SPREADS.len() as u64, |_| 1)
    }
}

/// Counts over series; those of shards add up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Gates.
    pub series: u64,
    /// Gates that called anything slower: a kernel or the curve.
    pub alarmed: u64,
    /// Gates with an unfit kernel.
    pub unfit: u64,
    /// Verdicts on kernels that have the effect.
    pub slower: [u64; SPREADS.len()],
    /// As `slower`, for faster.
    pub faster: u64,
    /// As `slower`, for same.
    pub same: [u64; SPREADS.len()],
    /// As `slower`, for undecided.
    pub undecided: u64,
    /// Gates that called the curve slower.
    pub curve_slower: u64,
    /// Pairs of all kernels together.
    pub pairs: u64,
    /// Kernels whose p-value is at most each of [`P_AT`].
    pub p_at_most: [u64; P_AT.len()],
}

impl Tally {
    /// Takes in another's counts.
    pub fn add(&mut self, other: &Tally) {
        self.series += other.series;
        self.alarmed += other.alarmed;
        self.unfit += other.unfit;
        self.faster += other.faster;
        self.undecided += other.undecided;
        self.curve_slower += other.curve_slower;
        self.pairs += other.pairs;
        let add = |a: &mut [u64], b: &[u64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        add(&mut self.slower, &other.slower);
        add(&mut self.same, &other.same);
        add(&mut self.p_at_most, &other.p_at_most);
    }
}

/// Puts `series` gates through a scene. The same seed gives the same counts.
pub fn simulate(scene: &Scene, series: u64, seed: u64) -> Tally {
    let mut tally = Tally::default();
    for i in 0..series {
        tally.add(&one(scene, seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    }
    tally
}

fn one(scene: &Scene, seed: u64) -> Tally {
    let rule = Rule::new(0.005, 0.02, scene.pairs).expect("the pairs of a scene make sense");
    let subject = |i: usize| Subject {
        name: format!("kernel {i}"),
        curve: (i < SIZES).then(|| "sizes".to_owned()),
    };
    let subjects: Vec<Subject> = (0..SPREADS.len()).map(subject).collect();
    let mut judge = Judge::new(rule, &subjects);
    if scene.to_the_end {
        judge = judge.to_the_end();
    }
    let mut machine = Machine::new(scene.noise, SPREADS.to_vec(), seed);
    let effect = |i: usize| if scene.affects(i) { scene.effect.ln_1p() } else { 0.0 };
    let mut pairs = 0;
    while let Some(next) = judge.rule().next_look(pairs).filter(|_| !judge.open().is_empty()) {
        for _ in pairs..next {
            let order = machine.order();
            let levels = machine.round();
            let of = |arm: usize, i: usize| levels[order[arm]][i];
            let round = judge.open().into_iter().map(|i| {
                let (base, head, twin) = (of(0, i), of(1, i) + effect(i), of(2, i));
                (i, Levels { base: base.exp(), head: head.exp(), twin: twin.exp() })
            });
            let round: Vec<_> = round.collect();
            judge.add(&round);
        }
        pairs = next;
        judge.look();
    }
    count(&judge, scene)
}

fn count(judge: &Judge, scene: &Scene) -> Tally {
    let mut tally = Tally { series: 1, ..Tally::default() };
    let verdicts = judge.verdicts();
    let (kernels, curves) = verdicts.split_at(SPREADS.len());
    let alarms = |of: &[(Verdict, f64)]| of.iter().any(|v| matches!(v.0, Verdict::Slower(_)));
    tally.curve_slower = u64::from(alarms(curves));
    tally.alarmed = u64::from(alarms(&verdicts));
    tally.unfit = u64::from(kernels.iter().any(|v| v.0 == Verdict::Unfit));
    for (i, (verdict, p_slower)) in kernels.iter().enumerate() {
        tally.pairs += judge.pairs_of(i) as u64;
        if !scene.affects(i) {
            continue;
        }
        match verdict {
            Verdict::Slower(_) => tally.slower[i] += 1,
            Verdict::Faster(_) => tally.faster += 1,
            Verdict::Same => tally.same[i] += 1,
            _ => tally.undecided += 1,
        }
        for (count, at) in tally.p_at_most.iter_mut().zip(P_AT) {
            *count += u64::from(*p_slower <= at);
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::binomial::clopper_pearson;

    fn scene(noise: Noise, effect: f64) -> Scene {
        Scene { noise, effect, only: None, pairs: 32, to_the_end: false }
    }

    #[test]
    fn nothing_that_is_the_same_is_called_slower_under_any_noise() {
        for noise in Noise::ALL {
            for effect in [0.0, 0.005] {
                let tally = simulate(&scene(noise, effect), 300, 5);
                // 0.5 % of gates are allowed, whose upper bound at 99.9 % is then 7 of 300.
                assert!(tally.alarmed <= 7, "{noise:?} {effect}: {tally:?}");
            }
        }
    }

    #[test]
    fn a_p_value_at_the_worst_time_to_stop_is_no_smaller_than_uniform() {
        for noise in Noise::ALL {
            let scene = Scene { to_the_end: true, ..scene(noise, 0.005) };
            let tally = simulate(&scene, 150, 6);
            for (&hits, at) in tally.p_at_most.iter().zip(P_AT) {
                let kernels = 150 * SPREADS.len() as u64;
                let low = clopper_pearson(hits, kernels, 0.998).unwrap().0;
                assert!(low <= at, "{noise:?}: {hits} of {kernels} at most {at}");
            }
        }
    }

    #[test]
    fn three_per_cent_are_found_and_seeds_repeat() {
        let slow = scene(Noise::Independent, 0.03);
        let tally = simulate(&slow, 50, 1);
        assert_eq!(tally, simulate(&slow, 50, 1));
        assert_ne!(tally, simulate(&slow, 50, 2));
        // A kernel that is quiet between processes, and the loudest.
        assert!(tally.slower[0] == 50 && tally.slower[9] < 40, "{tally:?}");
        assert!(tally.curve_slower >= 49);
    }

    /// Levels by run and kernel of one binary in 112 processes on a shared machine, recorded by criterion: neighbours differ by 5 to 10 %,
    /// and by far more now and then.
    fn recorded() -> Vec<Vec<f64>> {
        let text = include_str!("../../../tests/fixtures/gate/aa-levels.csv");
        let mut runs: Vec<Vec<f64>> = Vec::new();
        for line in text.lines().skip(1) {
            let mut cells = line.split(',');
            let run: usize = cells.next().unwrap().parse().unwrap();
            runs.resize(runs.len().max(run), Vec::new());
            runs[run - 1].push(cells.nth(1).unwrap().parse().unwrap());
        }
        assert!(runs.len() == 112 && runs.iter().all(|run| run.len() == 7));
        runs
    }

    #[test]
    fn a_recording_of_one_binary_raises_no_more_alarms_than_is_allowed() {
        let runs = recorded();
        let subjects: Vec<Subject> = vec![Subject::default(); 7];
        let mut random = crate::stats::random::Random::new(8);
        let mut alarms = 0;
        for gate in 0..300 {
            let mut judge = Judge::new(Rule::default(), &subjects);
            let from = gate % (runs.len() - 96);
            for (round, three) in runs[from..from + 96].chunks(3).enumerate() {
                let shift = random.below(3);
                let swap = 1 + random.below(2);
                let at = |arm: usize| &three[(shift + arm * swap) % 3];
                let levels = |k: usize| Levels { base: at(0)[k], head: at(1)[k], twin: at(2)[k] };
                judge.add(&(0..7).map(|k| (k, levels(k))).collect::<Vec<_>>());
                if judge.rule().next_look(round) == Some(round + 1) {
                    judge.look();
                }
            }
            alarms +=
                usize::from(judge.verdicts().iter().any(|v| matches!(v.0, Verdict::Slower(_))));
        }
        // 0.5 % of gates: at most 7 of 300 with 99.9 % certainty.
        assert!(alarms <= 7, "{alarms}");
    }
}

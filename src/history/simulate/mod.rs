//! Histories of machines whose noise is known: how often they cry wolf, what they find, and where.

pub mod summary;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::judge::{Change, Rule, changes, weigh};
use crate::gate::simulate::noise::{Machine, Noise};
use crate::stats::random::Random;
use crate::stats::signed_rank::hodges_lehmann;
use crate::stats::steps::ENOUGH;

/// Commits of a series.
pub const COMMITS: usize = 80;
/// Processes of a build in a run, where nothing else is said: as many as `scalemark run` starts at least, but in suite `quick`.
pub const PROCESSES: usize = 5;
/// Processes of other work from one commit to the next.
const BETWEEN: usize = 9;
/// Series of a share of work.
const SHARD: u64 = 100;

/// Where the numbers of a series come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// A machine's; a pinned build is measured beside each commit.
    Machine(Noise),
    /// A machine's, without a reference: of what each process does alone.
    Alone(Noise),
    /// An autoregression of first order, one value a commit, with this correlation: what a reference did not take out.
    Wandering(f64),
}

impl Source {
    /// All that null series are made of. Machines that drift or change their processor cannot be judged without a reference.
    pub const ALL: [Source; 9] = [
        Source::Machine(Noise::Independent),
        Source::Machine(Noise::Spikes),
        Source::Machine(Noise::Autocorrelated),
        Source::Machine(Noise::Bimodal),
        Source::Machine(Noise::Pool),
        Source::Alone(Noise::Independent),
        Source::Alone(Noise::Spikes),
        Source::Alone(Noise::Bimodal),
        Source::Wandering(0.5),
    ];

    /// In files: noise, and what values are relative to.
    pub fn names(self) -> (String, &'static str) {
        match self {
            Source::Machine(noise) => (noise.name().to_owned(), "reference"),
            Source::Alone(noise) => (noise.name().to_owned(), "none"),
            Source::Wandering(rho) => (format!("autoregression {rho}"), "none"),
        }
    }

    /// The logs of a series, a value a commit; `spread` is the relative standard deviation between processes, of which each build has so
    /// many in a run beside a reference.
    pub fn series(self, spread: f64, processes: usize, seed: u64) -> Vec<f64> {
        match self {
            Source::Wandering(rho) => {
                let mut random = Random::new(seed);
                let mut x = random.normal();
                let next = |_| {
                    x = rho * x + (1.0 - rho * rho).sqrt() * random.normal();
                    spread * x
                };
                (0..COMMITS).map(next).collect()
            }
            Source::Alone(noise) => {
                let mut machine = Machine::new(noise, vec![spread], seed);
                (0..COMMITS).map(|_| machine.process()[0]).collect()
            }
            Source::Machine(noise) => {
                let mut machine = Machine::new(noise, vec![spread], seed);
                (0..COMMITS).map(|_| beside_reference(&mut machine, processes)).collect()
            }
        }
    }
}

/// A run: processes of commit and reference in turns, in an order that a coin decides; then other work.
fn beside_reference(machine: &mut Machine, processes: usize) -> f64 {
    let (mut head, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..processes {
        let order = machine.order();
        let levels = machine.round();
        head.push(levels[order[0]][0]);
        reference.push(levels[order[1]][0]);
    }
    (0..BETWEEN).for_each(|_| drop(machine.process()));
    let middle = |logs: &[f64]| hodges_lehmann(logs).expect("levels are numbers");
    middle(&head) - middle(&reference)
}

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scene {
    /// Where numbers come from.
    pub source: Source,
    /// Standard deviation between processes.
    pub spread: f64,
    /// The slowdown; 0 where nothing changed.
    pub effect: f64,
    /// Commits from the slow one on.
    pub later: usize,
    /// Processes of a build in a run.
    pub processes: usize,
    /// Whether the history is checked after every commit, or once at its end.
    pub every: bool,
}

impl Scene {
    /// Nothing changes, processes differ by 1 %, and the history is checked once.
    pub fn null(source: Source) -> Self {
        let (spread, effect, later) = (0.01, 0.0, 10);
        Scene { source, spread, effect, later, processes: PROCESSES, every: false }
    }
}

/// Counts over series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Series.
    pub series: u64,
    /// Series in which any check found any change.
    pub changed: u64,
    /// Series in which the slowdown was found: a step up, or a drift.
    pub found: u64,
    /// Of these, those whose first slow commit is the right one, or its neighbour.
    pub located: u64,
    /// Of these, those that have it among their suspects.
    pub suspected: u64,
    /// Of these, those that least squares locate within one, knowing the level before and after: what normal noise allows.
    pub knowable: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.series += other.series;
        self.changed += other.changed;
        self.found += other.found;
        self.located += other.located;
        self.suspected += other.suspected;
        self.knowable += other.knowable;
    }
}

/// Puts `series` series through each scene, on `threads` threads; `None` if `stop` came true first. The same seed gives the same counts.
pub fn simulate(
    scenes: &[(Scene, u64)],
    seed: u64,
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Option<Vec<Tally>> {
    let shards: Vec<(usize, u64, u64)> = scenes
        .iter()
        .enumerate()
        .flat_map(|(i, (_, all))| {
            (0..all.div_ceil(SHARD))
                .map(move |s| (i, s * SHARD, all.min(&((s + 1) * SHARD)) - s * SHARD))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut mine = vec![Tally::default(); scenes.len()];
        while let Some(&(scene, from, count)) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop() {
                return None;
            }
            for i in from..from + count {
                // Scenes share their noise, so that curves over effects are smooth.
                let mixed = (seed ^ i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                    .wrapping_mul(0xd134_2543_de82_ef95);
                mine[scene].add(&one(&scenes[scene].0, mixed));
            }
        }
        Some(mine)
    };
    let done: Vec<Option<Vec<Tally>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|w| w.join().expect("a simulation does not panic")).collect()
    });
    let mut all = vec![Tally::default(); scenes.len()];
    for mine in done {
        all.iter_mut().zip(&mine?).for_each(|(all, mine)| all.add(mine));
    }
    Some(all)
}

fn one(scene: &Scene, seed: u64) -> Tally {
    let mut levels = scene.source.series(scene.spread, scene.processes, seed);
    let slow = COMMITS - scene.later;
    levels[slow..].iter_mut().for_each(|x| *x += scene.effect.ln_1p());
    let mut tally = Tally { series: 1, ..Tally::default() };
    let level = Rule::default().false_discovery;
    let first = if scene.every { ENOUGH } else { COMMITS };
    let clear = |count: &usize| weigh(&levels[..*count], 0).is_some_and(|e| e.p <= level);
    if !(first..=COMMITS).any(|count| clear(&count)) {
        return tally;
    }
    tally.changed = 1;
    let Some(evidence) = weigh(&levels, 0).filter(|evidence| evidence.p <= level) else {
        return tally;
    };
    match changes(&levels, &evidence, 0, level) {
        Change::Drift(drift) => tally.found = u64::from(drift.slope > 0.0),
        Change::Steps(steps) => {
            let last = steps.iter().rev().find(|step| step.after > step.before);
            if let Some(step) = last {
                tally.found = 1;
                tally.located = u64::from(step.at.abs_diff(slow) <= 1);
                tally.suspected = u64::from((step.between.0..=step.between.1).contains(&slow));
                let known = knowing(&levels, scene.effect.ln_1p());
                tally.knowable = u64::from(known.abs_diff(slow) <= 1);
            }
        }
    }
    tally
}

/// The most likely place of a step from 0 to `effect`, for one who knows both levels and that noise is normal.
fn knowing(levels: &[f64], effect: f64) -> usize {
    let (mut best, mut sum) = ((0.0, levels.len()), 0.0);
    for (i, x) in levels.iter().enumerate().rev() {
        sum += effect * (x - 0.5 * effect);
        if sum > best.0 {
            best = (sum, i);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::binomial::clopper_pearson;

    #[test]
    fn unchanged_histories_raise_at_most_one_alarm_in_a_hundred_whatever_the_noise() {
        for source in Source::ALL {
            let tally = simulate(&[(Scene::null(source), 400)], 3, 1, &|| false).unwrap()[0];
            let low = clopper_pearson(tally.changed, tally.series, 0.998).unwrap().0;
            assert!(low <= 0.01, "{source:?}: {tally:?}");
        }
    }

    #[test]
    fn two_per_cent_are_found_ten_commits_later_and_counts_repeat() {
        let slow = Scene {
            effect: 0.02,
            spread: 0.005,
            ..Scene::null(Source::Machine(Noise::Autocorrelated))
        };
        let run = |threads| simulate(&[(slow, 150)], 3, threads, &|| false).unwrap()[0];
        let tally = run(2);
        assert_eq!(tally, run(1));
        assert!(tally.found >= 148 && tally.located >= 135 && tally.suspected >= 135, "{tally:?}");
        assert_eq!(simulate(&[(slow, 150)], 3, 1, &|| true), None);
    }

    #[test]
    fn a_step_is_placed_about_as_well_as_by_one_who_knows_its_levels() {
        let slow = Scene { effect: 0.02, ..Scene::null(Source::Machine(Noise::Independent)) };
        let tally = simulate(&[(slow, 300)], 5, 1, &|| false).unwrap()[0];
        assert!(tally.knowable * 100 >= tally.found * 92, "{tally:?}");
        assert!(tally.located * 100 >= tally.knowable * 95, "{tally:?}");
        assert!(tally.suspected * 100 >= tally.found * 94, "{tally:?}");
        assert_eq!(knowing(&[0.0, 0.001, -0.002, 0.02, 0.019, 0.02], 0.02), 3);
    }
}

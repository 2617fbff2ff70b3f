//! Rounds of a gate: a process of the base, one of the head and one of a copy of the base, again and again.
//!
//! The order within a round is decided by a coin, and so is that of what is measured in it. Who runs a process, and how, is a
//! [`Builds`]: scalemark's own workers ([`super::workers`]), whole commands, or benchmarks of criterion ([`super::foreign`]).

use serde::Serialize;

use super::pair::{Judge, Levels};
use crate::error::Result;
use crate::stats::order;
use crate::stats::random::Random;
use crate::worker::protocol::Timed;

/// Which build a process is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The base.
    Base,
    /// The head.
    Head,
    /// A copy of the base.
    Twin,
}

impl Arm {
    /// All three.
    pub const ALL: [Arm; 3] = [Arm::Base, Arm::Head, Arm::Twin];
}

/// A sample as it is kept: a row of the gate's `samples.csv.gz`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The round, from 0.
    pub round: usize,
    /// The place of its process in the round, from 0.
    pub position: usize,
    /// Which build.
    pub arm: Arm,
    /// `family/name`, the program of a command, or a benchmark.
    pub kernel: String,
    /// The case's key; empty for what has none.
    pub case_key: String,
    /// The sample's number in its process, from 0.
    pub index: usize,
    /// Wall time of the batch.
    pub wall_ns: u64,
    /// CPU time of all threads.
    pub cpu_ns: Option<u64>,
    /// Time waited in run queues.
    pub run_queue_ns: Option<u64>,
    /// Launches in the batch.
    pub iterations: u64,
    /// The share of its core that the measuring thread had.
    pub core_share: Option<f64>,
    /// The most memory that a command had resident, in bytes.
    pub peak_resident: Option<u64>,
}

/// A sample, before it is known which round it is of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Of what, as in [`Row`].
    pub kernel: String,
    /// As in [`Row`].
    pub case_key: String,
    /// As in [`Row`].
    pub index: usize,
    /// Times.
    pub timed: Timed,
    /// As in [`Row`].
    pub peak_resident: Option<u64>,
}

/// What broke a subject, and in which build.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// Its place among the judge's subjects.
    pub subject: usize,
    /// In which build.
    pub arm: Arm,
    /// How.
    pub reason: String,
}

/// What one process came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ran {
    /// Its levels, by subject.
    pub levels: Vec<(usize, f64)>,
    /// Every sample that they rest on.
    pub samples: Vec<Sample>,
    /// What broke in it.
    pub broken: Vec<Broken>,
}

/// The builds that are compared.
pub trait Builds {
    /// Runs one process of `arm` on these subjects, in this order where it can.
    ///
    /// # Errors
    /// When no process can be started at all.
    fn process(&mut self, arm: Arm, subjects: &[usize], random: &mut Random) -> Result<Ran>;
}

/// The rounds of a gate under way.
pub struct Rounds<'a> {
    /// Decides orders.
    pub random: Random,
    /// Whether to stop before the next process, with the reason.
    pub stop: &'a dyn Fn() -> Option<String>,
    /// Takes every sample.
    pub keep: &'a mut dyn FnMut(&Row) -> Result<()>,
    /// What broke.
    pub broken: Vec<Broken>,
}

impl Rounds<'_> {
    /// Rounds until every subject is decided or the last look is over; `between` is told how far it is. Returns why it was cut short, if it was.
    ///
    /// # Errors
    /// When a process cannot be started, or a sample not be kept.
    pub fn run(
        &mut self,
        builds: &mut dyn Builds,
        judge: &mut Judge,
        between: &mut dyn FnMut(&Judge, usize),
    ) -> Result<Option<String>> {
        let (mut round, mut pairs) = (0, 0);
        while let Some(next) = judge.rule().next_look(pairs) {
            for _ in pairs..next {
                let open = judge.open();
                if open.is_empty() {
                    return Ok(None);
                }
                match self.round(builds, round, &open)? {
                    Ok(levels) => judge.add(&levels),
                    Err(reason) => return Ok(Some(reason)),
                }
                round += 1;
                self.broken.iter().for_each(|broken| judge.give_up(broken.subject));
            }
            pairs = next;
            judge.look();
            between(judge, round);
        }
        Ok(None)
    }

    /// One process of each arm on the open subjects; `Err` within is the reason to stop.
    fn round(
        &mut self,
        builds: &mut dyn Builds,
        round: usize,
        open: &[usize],
    ) -> Result<Result<Vec<(usize, Levels)>, String>> {
        let mut order = Arm::ALL;
        let mut subjects = open.to_vec();
        self.shuffle(&mut order);
        self.shuffle(&mut subjects);
        let most = open.iter().max().map_or(0, |last| last + 1);
        let mut levels = vec![[None; 3]; most];
        for (position, arm) in order.into_iter().enumerate() {
            if let Some(reason) = (self.stop)() {
                return Ok(Err(reason));
            }
            subjects.retain(|&subject| !self.is_broken(subject));
            let ran = builds.process(arm, &subjects, &mut self.random)?;
            for sample in ran.samples {
                self.keep(round, position, arm, sample)?;
            }
            for (subject, level) in ran.levels {
                levels[subject][arm as usize] = Some(level);
            }
            for broken in ran.broken {
                if !self.is_broken(broken.subject) {
                    self.broken.push(broken);
                }
            }
        }
        let whole = |&subject: &usize| match levels[subject] {
            [Some(base), Some(head), Some(twin)] => Some((subject, Levels { base, head, twin })),
            _ => None,
        };
        Ok(Ok(open.iter().filter_map(whole).collect()))
    }

    fn is_broken(&self, subject: usize) -> bool {
        self.broken.iter().any(|broken| broken.subject == subject)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.random.below(i + 1));
        }
    }

    fn keep(&mut self, round: usize, position: usize, arm: Arm, sample: Sample) -> Result<()> {
        let Sample { kernel, case_key, index, timed, peak_resident } = sample;
        let Timed { wall_ns, cpu_ns, run_queue_ns, iterations, core_share, .. } = timed;
        (self.keep)(&Row {
            round,
            position,
            arm,
            kernel,
            case_key,
            index,
            wall_ns,
            cpu_ns,
            run_queue_ns,
            iterations,
            core_share,
            peak_resident,
        })
    }
}

/// The level of a process on a kernel of `threads` threads: the lower twentieth of its samples' times of a launch, those left out whose threads
/// waited or shared their core where at least half did not. Whatever else happens on a machine only adds time.
///
/// Of one thread it is CPU time, to which others that run add the least: with six builds on two cores it differed by 3 % from
/// process to process where wall time did by 30 %. Threads that wait for each other spin, so of several it is wall time.
pub fn level(samples: &[Timed], threads: usize) -> Option<f64> {
    let has_cpu = threads == 1 && samples.iter().all(|timed| timed.cpu_ns.is_some_and(|ns| ns > 0));
    let time = |timed: &Timed| match timed.cpu_ns {
        Some(cpu) if has_cpu => cpu as f64 / timed.iterations as f64,
        _ => timed.launch_ns(),
    };
    let times = |clean: bool| {
        let kept = samples.iter().filter(|timed| !clean || !timed.is_contaminated());
        kept.map(time).collect::<Vec<f64>>()
    };
    let clean = times(true);
    let mut used = if clean.len() * 2 >= samples.len() { clean } else { times(false) };
    used.sort_by(f64::total_cmp);
    order::quantile(&used, 0.05)
}

/// The levels of a process on a GPU: the median time of a launch in nanoseconds, and the median of its cycles, where every sample tells the
/// clock. Events leave the host out, and what is left goes both ways; samples in which the GPU was slowed down are left out where at least
/// half were not.
pub fn gpu_levels(samples: &[Timed]) -> [Option<f64>; 2] {
    let clean: Vec<&Timed> = samples.iter().filter(|timed| !timed.is_slowed()).collect();
    let used = if clean.len() * 2 >= samples.len() { clean } else { samples.iter().collect() };
    let cycles = |timed: &&Timed| Some(timed.launch_ns() * timed.gpu?.sm_mhz? / 1e3);
    let times = order::median(&mut used.iter().map(|timed| timed.launch_ns()).collect::<Vec<_>>());
    let cycles: Option<Vec<f64>> = used.iter().map(cycles).collect();
    [times, cycles.and_then(|mut cycles| order::median(&mut cycles))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Rule, Subject, Verdict};

    #[test]
    fn the_level_is_of_clean_samples_where_there_are_enough() {
        let timed = |wall_ns, core_share| Timed {
            wall_ns,
            cpu_ns: Some(wall_ns / 2),
            iterations: 10,
            core_share: Some(core_share),
            ..Timed::default()
        };
        let samples = [timed(1000, 1.0), timed(1100, 1.0), timed(900, 0.5)];
        assert_eq!(level(&samples, 2), Some(100.5));
        assert_eq!(level(&samples, 1), Some(50.25), "of one thread it is CPU time");
        let shared = [timed(1000, 0.5), timed(1100, 0.5), timed(900, 1.0)];
        assert_eq!(level(&shared, 2), Some(91.0));
        assert_eq!(level(&[], 1), None);
        let mut blind = samples;
        blind[1].cpu_ns = None;
        assert_eq!(level(&blind, 1), Some(100.5), "where one lacks it, none uses it");
    }

    #[test]
    fn on_a_gpu_cycles_stand_beside_the_time_where_every_sample_tells_the_clock() {
        use crate::device::cuda::nvml::Reading;
        use crate::throttle::Throttle;
        let timed = |wall_ns, sm_mhz: Option<f64>, slowed: bool| Timed {
            wall_ns,
            iterations: 10,
            gpu: Some(Reading {
                sm_mhz,
                throttle: Some(Throttle(if slowed { 0x20 } else { 0 })),
                ..Reading::default()
            }),
            ..Timed::default()
        };
        let samples = [
            timed(1000, Some(2000.0), false),
            timed(2000, Some(1000.0), false),
            timed(1500, Some(1500.0), false),
            timed(9000, Some(500.0), true),
        ];
        assert_eq!(gpu_levels(&samples), [Some(150.0), Some(200.0)]);
        let mut blind = samples;
        blind[0] = timed(1000, None, false);
        assert_eq!(gpu_levels(&blind), [Some(150.0), None]);
        assert_eq!(gpu_levels(&[]), [None, None]);
    }

    /// Builds whose levels are given, and that break where they are told to.
    struct Scripted {
        slower: f64,
        breaks: Option<(usize, Arm)>,
        asked: Vec<(Arm, Vec<usize>)>,
    }

    impl Builds for Scripted {
        fn process(&mut self, arm: Arm, subjects: &[usize], _: &mut Random) -> Result<Ran> {
            self.asked.push((arm, subjects.to_vec()));
            let mut ran = Ran::default();
            for &subject in subjects {
                let noise = (self.asked.len() % 7) as f64 * 1e-4;
                let level = if arm == Arm::Head { self.slower } else { 1.0 } + noise;
                if self.breaks == Some((subject, arm)) {
                    let reason = "failed: on purpose".to_owned();
                    ran.broken.push(Broken { subject, arm, reason });
                } else {
                    ran.levels.push((subject, level));
                    ran.samples.push(Sample { kernel: subject.to_string(), ..Sample::default() });
                }
            }
            Ok(ran)
        }
    }

    fn gate(builds: &mut Scripted, subjects: usize) -> (Judge, Vec<Broken>, usize) {
        let rule = Rule::new(0.005, 0.02, 32).unwrap();
        let mut judge = Judge::new(rule, &vec![Subject::default(); subjects]);
        let mut kept = 0;
        let mut keep = |_: &Row| {
            kept += 1;
            Ok(())
        };
        let mut rounds =
            Rounds { random: Random::new(1), stop: &|| None, keep: &mut keep, broken: Vec::new() };
        assert_eq!(rounds.run(builds, &mut judge, &mut |_, _| {}).unwrap(), None);
        let broken = rounds.broken;
        (judge, broken, kept)
    }

    #[test]
    fn a_slower_head_is_found_and_every_round_has_a_process_of_each_build() {
        let mut builds = Scripted { slower: 1.05, breaks: None, asked: Vec::new() };
        let (judge, broken, kept) = gate(&mut builds, 2);
        assert!(broken.is_empty());
        assert!(judge.kernels().iter().all(|k| matches!(k.verdict, Verdict::Slower(_))));
        assert_eq!(kept, 2 * builds.asked.len());
        for round in builds.asked.chunks(3) {
            let mut arms: Vec<usize> = round.iter().map(|(arm, _)| *arm as usize).collect();
            arms.sort_unstable();
            assert_eq!(arms, [0, 1, 2]);
        }
        let first = builds.asked[0].0;
        assert!(builds.asked.chunks(3).any(|round| round[0].0 != first), "a coin decides");
    }

    #[test]
    fn what_breaks_is_told_once_and_asked_for_no_more() {
        let breaks = Some((1, Arm::Head));
        let mut builds = Scripted { slower: 1.0, breaks, asked: Vec::new() };
        let (judge, broken, _) = gate(&mut builds, 3);
        assert_eq!(broken.len(), 1);
        assert_eq!((broken[0].subject, broken[0].arm), (1, Arm::Head));
        let later = builds.asked.iter().skip(3).flat_map(|(_, subjects)| subjects);
        assert!(later.into_iter().all(|&subject| subject != 1));
        assert_eq!(judge.kernels()[0].verdict, Verdict::Same);
    }
}

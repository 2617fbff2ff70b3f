//! What a simulation of histories came to: CSV and a page.

use std::fmt::Write as _;

use super::{COMMITS, PROCESSES, Scene, Source, Tally};
use crate::gate::simulate::noise::Noise;
use crate::stats::binomial::{clopper_pearson, upper_bound};

/// Scenes with their counts.
pub type Results = [(Scene, Tally)];

/// The most series without a change that may alarm at a check: the upper 95 % bound must stay below.
pub const PROMISED: f64 = 0.01;
/// Slowdowns that power is simulated at.
pub const EFFECTS: [f64; 5] = [0.01, 0.015, 0.02, 0.03, 0.05];
/// Commits from the slow one on.
pub const LATER: [usize; 4] = [3, 5, 10, 20];
/// Processes of a build in a short run, and the slowdown at which its power is simulated.
pub const SHORT: (usize, f64) = (3, 0.02);
/// Standard deviations between processes that power is simulated at.
pub const SPREADS: [f64; 3] = [0.005, 0.01, 0.02];

/// Null series of every source, checked once; a fifth of them checked after every commit; a tenth for each point of power.
pub fn plan(series: u64) -> Vec<(Scene, u64)> {
    let mut scenes = Vec::new();
    for source in Source::ALL {
        let scene = Scene::null(source);
        scenes.push((scene, series));
        scenes.push((Scene { every: true, ..scene }, series.div_ceil(5)));
    }
    for noise in Noise::ALL {
        for spread in SPREADS {
            for effect in EFFECTS {
                for later in LATER {
                    let null = Scene::null(Source::Machine(noise));
                    let scene = Scene { spread, effect, later, ..null };
                    scenes.push((scene, series.div_ceil(10)));
                    if effect == SHORT.1 {
                        scenes.push((Scene { processes: SHORT.0, ..scene }, series.div_ceil(10)));
                    }
                }
            }
        }
    }
    scenes
}

fn nulls(results: &Results) -> impl Iterator<Item = &(Scene, Tally)> {
    results.iter().filter(|(scene, _)| scene.effect == 0.0)
}

fn powers(results: &Results) -> impl Iterator<Item = &(Scene, Tally)> {
    results.iter().filter(|(scene, _)| scene.effect > 0.0)
}

fn bound(tally: &Tally) -> f64 {
    upper_bound(tally.changed, tally.series, 0.95).unwrap_or(1.0)
}

/// Whether every source keeps what is promised of one check.
pub fn holds(results: &Results) -> bool {
    nulls(results).filter(|(scene, _)| !scene.every).all(|(_, tally)| bound(tally) <= PROMISED)
}

/// `history-null.csv`: false alarms.
pub fn null_csv(results: &Results) -> String {
    let mut text = String::from("noise,against,between_sd,checked,series,alarmed,share,upper95\n");
    for (scene, tally) in nulls(results) {
        let (noise, against) = scene.source.names();
        let _ = writeln!(
            text,
            "{noise},{against},{},{},{},{},{:.5},{:.5}",
            scene.spread,
            if scene.every { "after every commit" } else { "once" },
            tally.series,
            tally.changed,
            share(tally.changed, tally.series),
            bound(tally)
        );
    }
    text
}

/// `history-power.csv`: what is found of slowdowns, and where.
pub fn power_csv(results: &Results) -> String {
    let mut text = String::from(
        "noise,between_sd,processes,slowdown,commits_from_it_on,series,found,share,lower95,located_within_one,knowable_within_one,among_suspects\n",
    );
    for (scene, tally) in powers(results) {
        let low = clopper_pearson(tally.found, tally.series, 0.90).map_or(0.0, |(low, _)| low);
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{:.4},{low:.4},{},{},{}",
            scene.source.names().0,
            scene.spread,
            scene.processes,
            scene.effect,
            scene.later,
            tally.series,
            tally.found,
            share(tally.found, tally.series),
            tally.located,
            tally.knowable,
            tally.suspected
        );
    }
    text
}

fn share(hits: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { hits as f64 / all as f64 }
}

/// The page that says what it all comes to; `command` is how to repeat it.
pub fn markdown(results: &Results, command: &str) -> String {
    let mut text = format!(
        "# The history, simulated\n\nMade by `{command}`. A series has {COMMITS} commits; each was measured by {PROCESSES} processes, a pinned build by \
         {PROCESSES} others, in an order that a coin decides (`none`: one process, no pinned build).\n\n\
         ## Where nothing changed\n\nShare of series in which a check found any change, with the upper 95 % bound (Clopper–Pearson). Promised: at most \
         1 % at a check. **{}**\n\n\
         A history is checked after every commit, though, each time with one point more: the last column is the share of series with an alarm at any \
         of the {} checks from the tenth commit on. In a history of many series the rate is that of all of them together, for false discoveries are \
         controlled over all.\n\n| noise | against | series | alarm at one check | alarm at any of the checks |\n|---|---|---|---|---|\n",
        if holds(results) { "Every bound is kept." } else { "Not every bound is kept." },
        COMMITS - 9,
    );
    for (scene, tally) in nulls(results).filter(|(scene, _)| !scene.every) {
        let (noise, against) = scene.source.names();
        let every = nulls(results).find(|(s, _)| s.source == scene.source && s.every);
        let rate = |tally: &Tally| {
            let rate = 100.0 * share(tally.changed, tally.series);
            format!("{rate:.2} % (≤ {:.2} %)", 100.0 * bound(tally))
        };
        let every = every.map_or(String::new(), |(_, tally)| rate(tally));
        let _ = writeln!(
            text,
            "| {noise} | {against} | {} | {} | {every} |",
            tally.series,
            rate(tally)
        );
    }
    text.push_str(
        "\n## What is found\n\nShare of slowdowns found, by the number of commits from the slow one on; of these, with ten commits, how many are located within one commit; how many \
         least squares locate within one that know both levels (of normal noise no method locates more); and how many have the right commit among their \
         suspects. [history-power.csv](history-power.csv) has the rest.\n\n\
         | noise | between processes | processes | slowdown |",
    );
    LATER.iter().for_each(|later| {
        let _ = write!(text, " {later} |");
    });
    text.push_str(" within one | knowable | among suspects |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
    for noise in Noise::ALL {
        for spread in SPREADS {
            let rows = [SHORT, (PROCESSES, 0.02), (PROCESSES, 0.03), (PROCESSES, 0.05)];
            for (processes, effect) in rows {
                let of = |later: usize| {
                    powers(results).find(|(s, _)| {
                        (s.source, s.spread, s.processes, s.effect, s.later)
                            == (Source::Machine(noise), spread, processes, effect, later)
                    })
                };
                let _ = write!(
                    text,
                    "| {} | {} % | {processes} | {} % |",
                    noise.name(),
                    100.0 * spread,
                    100.0 * effect
                );
                for later in LATER {
                    let found = of(later).map_or(0.0, |(_, t)| share(t.found, t.series));
                    let _ = write!(text, " {found:.3} |");
                }
                let tally = of(10).map_or(Tally::default(), |(_, tally)| *tally);
                let enough = tally.found * 10 >= tally.series;
                let part = |hits| {
                    if enough { format!("{:.2}", share(hits, tally.found)) } else { "–".into() }
                };
                let _ = writeln!(
                    text,
                    " {} | {} | {} |",
                    part(tally.located),
                    part(tally.knowable),
                    part(tally.suspected)
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_has_every_source_and_twenty_series_prove_nothing() {
        let plan = plan(20);
        assert_eq!(plan.iter().filter(|(s, _)| s.effect == 0.0).count(), 2 * Source::ALL.len());
        let clean = |&(scene, series): &(Scene, u64)| (scene, Tally { series, ..Tally::default() });
        let mut results: Vec<_> = plan.iter().map(clean).collect();
        assert!(!holds(&results));
        assert!(markdown(&results, "scalemark prove history").contains("Not every bound is kept"));
        results.iter_mut().for_each(|(_, tally)| tally.series = 10_000);
        assert!(holds(&results));
        results[0].1.changed = 120;
        assert!(!holds(&results));
        assert_eq!(null_csv(&results).lines().count(), 1 + 2 * Source::ALL.len());
        assert!(power_csv(&results).contains("\npool,0.02,5,0.05,20,10000,0,0.0000,0.0000,0,0,0"));
    }
}

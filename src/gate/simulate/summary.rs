//! What a simulation came to: CSV, a page, and a chart.

use std::fmt::Write as _;

use super::noise::Noise;
use super::plan::{ALONE, EFFECTS};
use super::{P_AT, SIZES, SPREADS, Scene, Tally};
use crate::report::axis::{Axis, Scale, Unit};
use crate::report::chart::{Chart, Entry, Panel, Point, Subject, joined};
use crate::report::palette::Look;
use crate::stats::binomial::{clopper_pearson, upper_bound};

/// Scenes with their counts.
pub type Results = [(Scene, Tally)];

/// The most gates, and the most kernels, that may be called slower where nothing is: upper 95 % bounds must stay below.
pub const PROMISED: (f64, f64) = (0.01, 0.001);

/// The rate, with its upper 95 % bound.
fn rate(hits: u64, trials: u64) -> (f64, f64) {
    (hits as f64 / trials.max(1) as f64, upper_bound(hits, trials, 0.95).unwrap_or(1.0))
}

fn kernels(scene: &Scene, tally: &Tally) -> u64 {
    tally.series * scene.affected()
}

fn nulls(results: &Results, to_the_end: bool) -> impl Iterator<Item = &(Scene, Tally)> {
    results.iter().filter(move |(s, _)| s.effect <= 0.005 && s.to_the_end == to_the_end)
}

/// Whether every null scene keeps what is promised.
pub fn holds(results: &Results) -> bool {
    nulls(results, false).all(|(scene, tally)| {
        let kernel = rate(tally.slower.iter().sum(), kernels(scene, tally)).1;
        rate(tally.alarmed, tally.series).1 <= PROMISED.0 && kernel <= PROMISED.1
    }) && nulls(results, true).all(|(scene, tally)| worst_excess(scene, tally) <= 0.0)
}

/// By how much the distribution of p-values surely exceeds the uniform one where it does most: above 0 is a breach. Bounds at
/// 99.9 % each, for 80 of them are looked at.
fn worst_excess(scene: &Scene, tally: &Tally) -> f64 {
    let low =
        |hits| clopper_pearson(hits, kernels(scene, tally), 0.998).map_or(0.0, |(low, _)| low);
    let excess = tally.p_at_most.iter().zip(P_AT).map(|(&hits, at)| low(hits) - at);
    excess.fold(f64::NEG_INFINITY, f64::max)
}

/// `null.csv`: false alarms where nothing, or no more than the slack, changed.
pub fn null_csv(results: &Results) -> String {
    let mut text = String::from(
        "noise,ratio,gates,gates_alarmed,gates_alarmed_upper95,kernels,kernels_slower,kernels_slower_upper95,kernels_same,\
         kernels_faster,kernels_undecided,gates_unfit,mean_pairs\n",
    );
    for (scene, tally) in nulls(results, false) {
        let all = kernels(scene, tally);
        let slower = tally.slower.iter().sum();
        let _ = writeln!(
            text,
            "{},{},{},{},{:.6},{all},{slower},{:.7},{},{},{},{},{:.2}",
            scene.noise.name(),
            1.0 + scene.effect,
            tally.series,
            tally.alarmed,
            rate(tally.alarmed, tally.series).1,
            rate(slower, all).1,
            tally.same.iter().sum::<u64>(),
            tally.faster,
            tally.undecided,
            tally.unfit,
            tally.pairs as f64 / (tally.series as f64 * SPREADS.len() as f64)
        );
    }
    text
}

/// `p-values.csv`: how often the p-value of "not slower" is at most `u`, with stopping and at the worst time to stop.
pub fn p_values_csv(results: &Results) -> String {
    let mut text = String::from("noise,ratio,stopping,u,kernels,at_most_u,share,lower99_9\n");
    for to_the_end in [false, true] {
        for (scene, tally) in nulls(results, to_the_end) {
            let all = kernels(scene, tally);
            for (&hits, u) in tally.p_at_most.iter().zip(P_AT) {
                let low = clopper_pearson(hits, all, 0.998).map_or(0.0, |(low, _)| low);
                let _ = writeln!(
                    text,
                    "{},{},{},{u},{all},{hits},{:.6},{low:.6}",
                    scene.noise.name(),
                    1.0 + scene.effect,
                    if to_the_end { "worst" } else { "rule" },
                    hits as f64 / all as f64
                );
            }
        }
    }
    text
}

fn powers(results: &Results) -> impl Iterator<Item = &(Scene, Tally)> {
    results.iter().filter(|(scene, _)| scene.effect > 0.005)
}

/// `power.csv`: what is found of slowdowns. Rows of a kernel alone say its standard deviation between processes; those of
/// `all` give the verdict on each of the ten, slower together.
pub fn power_csv(results: &Results) -> String {
    let mut text = String::from(
        "noise,slowdown,last_look_pairs,slow_kernels,between_sd,gates,slower,slower_share,slower_lower95,same,curve_slower\n",
    );
    for (scene, tally) in powers(results) {
        let whom = scene.only.map_or(0..SPREADS.len(), |only| only..only + 1);
        for kernel in whom {
            let (hits, all) = (tally.slower[kernel], tally.series);
            let low = clopper_pearson(hits, all, 0.90).map_or(0.0, |(low, _)| low);
            let _ = writeln!(
                text,
                "{},{},{},{},{},{all},{hits},{:.4},{low:.4},{},{}",
                scene.noise.name(),
                scene.effect,
                scene.pairs,
                scene.only.map_or("all", |_| "one"),
                SPREADS[kernel],
                hits as f64 / all as f64,
                tally.same[kernel],
                tally.curve_slower
            );
        }
    }
    text
}

/// The page that says what it all comes to; `command` is how to repeat it.
pub fn markdown(results: &Results, command: &str) -> String {
    let mut text = format!(
        "# The gate, simulated\n\nMade by `{command}`. Each gate has {} kernels, {SIZES} of them sizes of one curve, with standard deviations \
         between processes of {} %, besides what the noise adds.\n\n\
         ## Where nothing became slower\n\n\
         Rates with their upper 95 % bounds (Clopper–Pearson). Promised: at most 1 % of gates and 0.1 % of kernels, at a ratio of 1 \
         and at the boundary alike. **{}**\n\n\
         | noise | ratio | gates | called anything slower | kernels called slower | same | pairs, mean | unfit gates |\n|---|---|---|---|---|---|---|---|\n",
        SPREADS.len(),
        SPREADS.map(|s| format!("{:.1}", 100.0 * s)).join(", "),
        if holds(results) { "Every bound is kept." } else { "Not every bound is kept." }
    );
    let percent = |share: f64| format!("{:.3} %", 100.0 * share);
    for (scene, tally) in nulls(results, false) {
        let all = kernels(scene, tally);
        let (gates, kernels) =
            (rate(tally.alarmed, tally.series), rate(tally.slower.iter().sum(), all));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} (≤ {}) | {} (≤ {}) | {:.1} % | {:.1} | {:.2} % |",
            scene.noise.name(),
            1.0 + scene.effect,
            tally.series,
            percent(gates.0),
            percent(gates.1),
            percent(kernels.0),
            percent(kernels.1),
            100.0 * tally.same.iter().sum::<u64>() as f64 / all as f64,
            tally.pairs as f64 / (tally.series as f64 * SPREADS.len() as f64),
            100.0 * tally.unfit as f64 / tally.series as f64
        );
    }
    text.push_str(
        "\n## p-values at the worst time to stop\n\nEvery kernel goes on to 32 pairs, and the least p / weight of all looks is taken: no way of stopping \
         gives less. The share of kernels at or below u may not exceed u.\n\n| noise | ratio |",
    );
    for u in P_AT {
        let _ = write!(text, " u = {u} |");
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(P_AT.len()));
    for (scene, tally) in nulls(results, true) {
        let _ = write!(text, "| {} | {} |", scene.noise.name(), 1.0 + scene.effect);
        for &hits in &tally.p_at_most {
            let _ = write!(text, " {:.5} |", hits as f64 / kernels(scene, tally) as f64);
        }
        text.push('\n');
    }
    text.push_str(
        "\n## Power\n\nShare of gates that call the one slow kernel among ten slower within 32 pairs (64 where it says so), by its standard deviation between processes. \
         [power.csv](power.csv) has the rest.\n\n![power against slowdown](power.svg)\n\n| noise | between processes | pairs |",
    );
    for effect in EFFECTS {
        let _ = write!(text, " {} % |", trimmed(100.0 * effect));
    }
    let _ = writeln!(text, "\n|---|---|---|{}", "---|".repeat(EFFECTS.len()));
    for noise in Noise::ALL {
        for (only, pairs) in ALONE.map(|only| (only, 32)).into_iter().chain([(8, 64), (5, 64)]) {
            let _ = write!(
                text,
                "| {} | {} % | {pairs} |",
                noise.name(),
                trimmed(100.0 * SPREADS[only])
            );
            for effect in EFFECTS {
                let share = found(results, noise, effect, only, pairs);
                let _ = write!(text, " {} |", share.map_or("–".into(), |s| format!("{s:.3}")));
            }
            text.push('\n');
        }
    }
    text
}

fn trimmed(value: f64) -> String {
    format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn found(results: &Results, noise: Noise, effect: f64, only: usize, pairs: usize) -> Option<f64> {
    let fits = |scene: &Scene| {
        (scene.noise, scene.effect, scene.only, scene.pairs) == (noise, effect, Some(only), pairs)
    };
    let (_, tally) = powers(results).find(|(scene, _)| fits(scene))?;
    Some(tally.slower[only] as f64 / tally.series as f64)
}

/// Power against slowdown: a panel a noise, a line a kernel. `None` where no power was simulated.
pub fn chart(results: &Results) -> Option<Chart> {
    let line = |noise, (index, only): (usize, usize)| {
        let point = |effect: f64| {
            Some(Point::new(100.0 * effect, 100.0 * found(results, noise, effect, only, 32)?))
        };
        joined(Look::nth(index, true), EFFECTS.iter().filter_map(|&e| point(e)).collect())
    };
    let panel = |noise: Noise| Panel {
        title: noise.name().to_owned(),
        series: ALONE.into_iter().enumerate().map(|at| line(noise, at)).collect(),
        references: vec![vec![(0.5, 95.0), (10.0, 95.0)]],
    };
    let legend = ALONE.into_iter().enumerate().map(|(index, only)| Entry {
        look: Some(Look::nth(index, true)),
        label: format!("{} %", trimmed(100.0 * SPREADS[only])),
        detail: "between processes".into(),
    });
    let x = Axis::fit("slowdown, %", Scale::Log, Unit::Number, EFFECTS.map(|e| 100.0 * e))?;
    Some(Chart {
        name: "power".into(),
        title: "Slowdowns that the gate finds".into(),
        caption: "Share of simulated gates that call the one slow kernel of ten slower, by its standard deviation between \
                  processes; grey: 95 %."
            .into(),
        x: x.with_ticks(vec![0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0]),
        y: Axis::fit("found, %", Scale::Linear, Unit::Number, [0.0, 100.0])?,
        panels: Noise::ALL.into_iter().map(panel).collect(),
        columns: 3,
        names: Vec::new(),
        legend: legend.collect(),
        subject: Subject::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::simulate::simulate;

    fn results() -> Vec<(Scene, Tally)> {
        let scene =
            Scene { noise: Noise::Spikes, effect: 0.0, only: None, pairs: 32, to_the_end: false };
        let slow = Scene { effect: 0.05, only: Some(0), ..scene };
        let scenes = [scene, Scene { to_the_end: true, ..scene }, slow];
        scenes.map(|scene| (scene, simulate(&scene, 40, 2))).to_vec()
    }

    #[test]
    fn forty_gates_are_too_few_to_prove_the_promise_and_it_says_so() {
        let results = results();
        assert_eq!(results[0].1.alarmed, 0);
        assert!(!holds(&results));
        assert!(markdown(&results, "scalemark prove").contains("Not every bound is kept"));
        let null = null_csv(&results);
        assert!(null.lines().nth(1).unwrap().starts_with("spikes,1,40,0,0.0721"), "{null}");
        assert_eq!(p_values_csv(&results).lines().count(), 1 + 2 * P_AT.len());
        assert!(power_csv(&results).contains("\nspikes,0.05,32,one,0.002,40,40,1.0000,"));
        assert_eq!(chart(&results).unwrap().panels.len(), 5);
    }

    #[test]
    fn enough_gates_without_an_alarm_keep_it_and_alarms_break_it() {
        let mut results = results();
        for (_, tally) in &mut results {
            tally.series = 10_000;
        }
        assert!(holds(&results));
        results[0].1.alarmed = 90;
        assert!(!holds(&results));
        results[0].1.alarmed = 0;
        results[1].1.p_at_most[3] = 3_000;
        assert!(!holds(&results), "3 % of kernels with a p-value below 1 %");
    }
}

//! Histories that are made up, and what must be said of them.

use std::sync::Arc;

use super::entry::{Blessing, COUNT, Entry, History};
use super::report::{Judged, Kind, Report, State};
use super::series::tests::entry;
use super::{Rule, judge};
use crate::stats::random::Random;

const COMMITS: usize = 80;

/// Each kernel's time on each commit, on a machine that wanders by 10 %; `factor` is what commit and kernel do.
fn entries(kernels: usize, seed: u64, factor: impl Fn(usize, usize) -> f64) -> Vec<Entry> {
    let mut random = Random::new(seed);
    let mut machine = 0.0;
    let mut all = Vec::new();
    for i in 0..COMMITS {
        machine = 0.8 * machine + 0.05 * random.normal();
        for k in 0..kernels {
            let beside = 1000.0 * (machine + 0.005 * random.normal()).exp();
            let value = 1000.0 * (machine + 0.005 * random.normal()).exp() * factor(i, k);
            all.push(Entry {
                reference: "v1".into(),
                reference_value: Some(beside),
                ..entry(&format!("k{k}"), i, value)
            });
        }
    }
    all
}

fn check(entries: Vec<Entry>) -> Report {
    judge(&History { entries, blessings: Vec::new() }, &Rule::default())
}

fn verdicts(report: &Report) -> Vec<&'static str> {
    report.series.iter().map(Judged::verdict).collect()
}

fn from(at: usize, factor: f64) -> impl Fn(usize, usize) -> f64 {
    move |i, _| if i >= at { factor } else { 1.0 }
}

#[test]
fn all_kernels_three_per_cent_slower_are_all_found_by_a_reference() {
    let report = check(entries(8, 1, from(60, 1.03)));
    assert_eq!(verdicts(&report), ["slower"; 8]);
    assert_eq!(report.exit_code(), 1);
    for series in &report.series {
        let finding = &series.findings[0];
        assert!(finding.suspects.contains(&"c060".to_owned()), "{finding:?}");
        assert!((finding.ratio.0 - 1.03).abs() < 0.01, "{finding:?}");
    }
}

#[test]
fn all_kernels_three_per_cent_slower_are_all_found_by_canaries() {
    let mut all = entries(7, 2, |i, k| if i >= 60 && k < 4 { 1.03 } else { 1.0 });
    for entry in &mut all {
        entry.reference = "".into();
        entry.reference_value = None;
        entry.canary = ["k4", "k5", "k6"].contains(&entry.key.kernel.as_str());
    }
    let report = check(all);
    assert_eq!(verdicts(&report)[..4], ["slower"; 4]);
    assert!(report.series[5].unjudged.as_ref().unwrap().contains("canary"));
}

#[test]
fn a_history_without_a_change_is_steady_and_one_slow_kernel_is_found_among_many() {
    let report = check(entries(20, 3, |_, _| 1.0));
    assert_eq!((verdicts(&report), report.exit_code()), (vec!["steady"; 20], 0));
    let report = check(entries(20, 3, |i, k| if k == 7 && i >= 65 { 1.05 } else { 1.0 }));
    let slow: Vec<usize> = (0..20).filter(|&k| report.series[k].verdict() == "slower").collect();
    let name = &report.series[slow[0]].series.key.kernel;
    assert_eq!((slow.len(), name.as_str()), (1, "k7"));
    assert!(report.series[0].detectable.unwrap().0 < 1.03);
}

#[test]
fn a_slowdown_that_was_taken_back_is_not_open() {
    let report = check(entries(1, 4, |i, _| if (30..55).contains(&i) { 1.06 } else { 1.0 }));
    let states: Vec<&str> = report.series[0].findings.iter().map(|f| f.state.name()).collect();
    assert_eq!(states[0], "recovered");
    assert_eq!((report.exit_code(), report.series[0].findings.len()), (0, 2));
    let half = check(entries(1, 4, |i, _| match i {
        0..30 => 1.0,
        30..55 => 1.1,
        _ => 1.05,
    }));
    assert_eq!(half.exit_code(), 1, "half of it is still there: {:?}", half.series[0].findings);
}

#[test]
fn a_blessing_accepts_what_was_and_nothing_that_comes_after_it() {
    let all = entries(1, 5, |i, _| match i {
        0..30 => 1.0,
        30..60 => 1.05,
        _ => 1.12,
    });
    let blessing = |commit: &str| Blessing {
        time: all[0].time,
        key: (*all[0].key).clone(),
        commit: commit.into(),
        reason: "checks bounds now".into(),
    };
    let with = |commit: &str| {
        let blessings = vec![blessing(commit)];
        judge(&History { entries: all.clone(), blessings }, &Rule::default())
    };
    let early = with("c040");
    assert_eq!(early.series[0].findings[0].state, State::Blessed("checks bounds now".into()));
    assert_eq!((early.series[0].findings[1].state.name(), early.exit_code()), ("open", 1));
    assert_eq!(with("c079").exit_code(), 0);
}

#[test]
fn a_drift_is_called_a_drift_with_its_size() {
    let report = check(entries(1, 6, |i, _| (0.0007 * i as f64).exp()));
    let finding = &report.series[0].findings[0];
    assert_eq!((finding.kind, report.exit_code()), (Kind::Drift, 1));
    assert!((finding.ratio.0 - 1.057).abs() < 0.02, "{finding:?}");
}

#[test]
fn what_cannot_be_judged_is_said_with_its_reason_and_nothing_judged_exits_3() {
    let mut all = entries(3, 7, |_, _| 1.0);
    all.retain(|e| e.key.kernel != "k1" || &*e.commit < "c004");
    for entry in all.iter_mut().filter(|e| e.key.kernel == "k2") {
        entry.reference = "".into();
        entry.reference_value = None;
    }
    let report = check(all.clone());
    assert_eq!(verdicts(&report), ["steady", "not judged", "not judged"]);
    let why = |k: usize| report.series[k].unjudged.as_deref().unwrap();
    assert_eq!(why(1), "4 commits; 10 are needed");
    assert!(why(2).contains("--reference"));
    all.retain(|e| e.key.kernel != "k0");
    assert_eq!(check(all).exit_code(), 3);
    assert_eq!(check(Vec::new()).exit_code(), 3);
}

#[test]
fn one_register_more_is_found_at_once_and_what_creeps_too() {
    let count = |i: usize, value: f64| {
        let mut one = Entry { unit: COUNT.into(), ..entry("k", i, value) };
        Arc::make_mut(&mut one.key).metric = "registers".into();
        one
    };
    let report =
        check([168.0, 168.0, 170.0].iter().enumerate().map(|(i, v)| count(i, *v)).collect());
    assert_eq!(
        (report.exit_code(), report.series[0].findings[0].place()),
        (1, "c001..c002".into())
    );
    let report =
        check([168.0, 170.0, 168.0].iter().enumerate().map(|(i, v)| count(i, *v)).collect());
    assert_eq!(report.exit_code(), 0, "taken back: {:?}", report.series[0].findings);
    let creep = |i: usize| {
        let mut one = count(i, 1e6 * 1.0004f64.powi(i as i32));
        Arc::make_mut(&mut one.key).metric = "global_load_sectors".into();
        one
    };
    assert_eq!(check((0..6).map(creep).collect()).exit_code(), 1);
}

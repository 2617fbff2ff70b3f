//! Everything that a check of a history found.

use std::collections::BTreeMap;

use serde::Serialize;

use super::series::{Series, short};
use crate::gate::verdict::Ratio;

/// The version of the report's JSON.
pub const SCHEMA: u32 = 1;

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From one commit to the next.
    Step,
    /// A little with every commit.
    Drift,
}

/// Whether anybody need care.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum State {
    /// It is so still.
    Open,
    /// A later change took it back.
    Recovered,
    /// It was accepted, for this reason.
    Blessed(String),
}

impl State {
    /// `open`, `recovered` or `blessed`.
    pub fn name(&self) -> &'static str {
        match self {
            State::Open => "open",
            State::Recovered => "recovered",
            State::Blessed(_) => "blessed",
        }
    }
}

/// A change of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How it changed.
    pub kind: Kind,
    /// The level after it over the one before: above 1 is slower. Of a drift, the last commit over the first.
    pub ratio: Ratio,
    /// Before and after, where there is no noise.
    pub values: Option<(f64, f64)>,
    /// The index of the first point after it.
    pub at: usize,
    /// The last commit of the old level; of a drift, the first of all.
    pub last_before: String,
    /// The first commit of the new level, most likely; of a drift, the last of all.
    pub first_after: String,
    /// Commits that may have done it, oldest first; none of a drift.
    pub suspects: Vec<String>,
    /// Probability of something so clear or clearer between its neighbours, if nothing had changed.
    pub p: f64,
    /// Whether anybody need care.
    #[serde(flatten)]
    pub state: State,
}

impl Finding {
    /// Whether it is a slowdown that is neither blessed nor gone.
    pub fn is_open_slowdown(&self) -> bool {
        self.ratio.0 > 1.0 && self.state == State::Open
    }

    /// `slower` or `faster`; of what is counted, `worse` or `better`.
    pub fn direction(&self) -> &'static str {
        match (self.ratio.0 > 1.0, self.values.is_some()) {
            (true, false) => "slower",
            (false, false) => "faster",
            (true, true) => "worse",
            (false, true) => "better",
        }
    }

    /// Its size, for people.
    pub fn size(&self) -> String {
        match self.values {
            Some((before, after)) => format!("{before} → {after}"),
            None => self.ratio.to_string(),
        }
    }

    /// Where it happened: the commits it lies between.
    pub fn place(&self) -> String {
        let (from, to) = (short(&self.last_before), short(&self.first_after));
        match (self.kind, self.suspects.len()) {
            (Kind::Drift, _) => format!("{from} to {to}"),
            (Kind::Step, 0 | 1) => format!("{from}..{to}"),
            (Kind::Step, several) => {
                let (first, last) = (short(&self.suspects[0]), short(&self.suspects[several - 1]));
                format!("{from}..{to}, or another of {first} to {last}")
            }
        }
    }
}

/// A series and what was found in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Its short name.
    pub id: String,
    /// Its numbers.
    #[serde(flatten)]
    pub series: Series,
    /// p-value of "nothing changed"; none of numbers without noise.
    pub p: Option<f64>,
    /// The least false discovery rate at which it counts as changed.
    pub q: Option<f64>,
    /// The lag-1 correlation that was allowed for.
    pub rho: Option<f64>,
    /// The least slowdown that ten later commits would show with 80 % probability.
    pub detectable: Option<Ratio>,
    /// Why it was not judged.
    pub unjudged: Option<String>,
    /// What changed, oldest first.
    pub findings: Vec<Finding>,
}

impl Judged {
    /// The series, as in the history.
    pub fn key(&self) -> &super::Key {
        &self.series.key
    }

    /// Whether the last change made it faster, and did more than take back what was slower before.
    fn is_faster(&self) -> bool {
        let change: f64 = self.findings.iter().map(|f| f.ratio.0.ln()).sum();
        self.findings.last().is_some_and(|f| f.ratio.0 < 1.0 && change < 0.25 * f.ratio.0.ln())
    }

    /// `slower`, `faster`, `steady` or `not judged`.
    pub fn verdict(&self) -> &'static str {
        match () {
            () if self.findings.iter().any(Finding::is_open_slowdown) => "slower",
            () if self.unjudged.is_some() => "not judged",
            () if self.is_faster() => "faster",
            () => "steady",
        }
    }
}

/// A whole check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The version of this format.
    pub schema: u32,
    /// False discovery rate over all series.
    pub false_discovery: f64,
    /// Changes up to this are not reported.
    pub slack: f64,
    /// Every series, by kernel, case, metric and fingerprint.
    pub series: Vec<Judged>,
}

impl Report {
    /// 0 nothing slower, 1 an open slowdown, 3 nothing could be judged.
    pub fn exit_code(&self) -> u8 {
        if self.series.iter().any(|s| s.verdict() == "slower") {
            return 1;
        }
        if self.series.iter().all(|s| s.unjudged.is_some()) { 3 } else { 0 }
    }

    /// The whole in one line.
    pub fn headline(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.series.iter().for_each(|s| *counts.entry(s.verdict()).or_default() += 1);
        let verdict = match self.exit_code() {
            0 => "nothing is slower",
            1 => "slower",
            _ => "nothing could be judged",
        };
        let counts: Vec<String> =
            counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let all = if counts.is_empty() { "no series".to_owned() } else { counts.join(", ") };
        format!("history: {verdict} ({all})")
    }

    /// The JSON of the report.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has a JSON form") + "\n"
    }
}

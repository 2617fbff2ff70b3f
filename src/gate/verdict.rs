//! What the gate says of one kernel or curve.

use serde::{Deserialize, Serialize};

/// The head's time over the base's: above 1 is slower.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(pub f64);

impl std::fmt::Display for Ratio {
    /// As a change: `+2.1 %`.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:+.1} %", 100.0 * (self.0 - 1.0))
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "ratio", rename_all = "kebab-case")]
pub enum Verdict {
    /// Within the bounds of sameness, proved.
    Same,
    /// Faster by more than the slack, proved.
    Faster(Ratio),
    /// Slower by more than the slack, proved.
    Slower(Ratio),
    /// Neither proved, with the pairs that there were.
    Undecided,
    /// The base differs from a copy of itself: nothing that was measured here can be believed.
    Unfit,
    /// The head lacks it, or does it wrong.
    OnlyInBase,
    /// The base lacks it, or does it wrong.
    OnlyInHead,
}

impl Verdict {
    /// `same`, `faster`, `slower`, `undecided`, `unfit`, `only-in-base` or `only-in-head`.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Faster(_) => "faster",
            Verdict::Slower(_) => "slower",
            Verdict::Undecided => "undecided",
            Verdict::Unfit => "unfit",
            Verdict::OnlyInBase => "only-in-base",
            Verdict::OnlyInHead => "only-in-head",
        }
    }
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Pairs of processes that were compared.
    pub pairs: usize,
    /// Hodges–Lehmann estimate of the head's time over the base's.
    pub estimate: Option<Ratio>,
    /// Its 95 % interval, of these pairs as if their number had been fixed; the verdict does not rest on it.
    pub interval: Option<(Ratio, Ratio)>,
    /// The same estimate for a copy of the base.
    pub twin: Option<Ratio>,
    /// Robust standard deviation of the logarithm of a pair's ratio.
    pub spread: Option<f64>,
    /// p-value of "not slower than the slack allows", valid although the gate looked several times.
    pub p_slower: f64,
    /// The least false discovery rate at which it counts as slower, or as faster where it is.
    pub q: f64,
    /// The least slowdown that would have been found with 80 % and with 95 % probability.
    pub detectable: [Option<Ratio>; 2],
    /// Pairs that would find a slowdown at the edge of sameness with 80 % probability.
    pub would_settle: Option<usize>,
}

//! What a history holds: numbers of runs, and blessings.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The metric that a time is kept under.
pub const TIME: &str = "time";
/// Unit of times.
pub const NANOS: &str = "ns";
/// Unit of numbers without noise, which are compared exactly.
pub const COUNT: &str = "count";

/// What a series is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// `family/name`, or the name of somebody's benchmark.
    pub kernel: String,
    /// The case's key; empty where a benchmark has none.
    pub case: String,
    /// `time`, or the name of a counter.
    pub metric: String,
    /// The class of hardware that it was measured on; numbers of different machines are different series.
    pub fingerprint: String,
}

impl Key {
    /// A short name of the series, the same in every history: eight hexadecimal digits.
    pub fn id(&self) -> String {
        let mut hash = Fnv::default();
        for part in [&self.kernel, &self.case, &self.metric, &self.fingerprint] {
            hash.write(part.as_bytes());
            hash.write(&[0x1f]);
        }
        let folded = hash.0 ^ (hash.0 >> 32);
        format!("{:08x}", folded & 0xffff_ffff)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let case = if self.case.is_empty() { String::new() } else { format!(" on {}", self.case) };
        let metric = if self.metric == TIME { String::new() } else { format!(", {}", self.metric) };
        write!(f, "{}{case}{metric}", self.kernel)
    }
}

/// One number of one run: a row of a history. Texts that many rows share are kept once.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When the run started.
    pub time: Timestamp,
    /// The commit that was measured.
    pub commit: Arc<str>,
    /// When that commit was made, where known: series are ordered by it, so that old commits can be measured later.
    pub commit_time: Option<Timestamp>,
    /// What was measured.
    pub key: Arc<Key>,
    /// `ns`, `B`, or `count` for numbers without noise. Less is better.
    pub unit: Arc<str>,
    /// The number.
    pub value: f64,
    /// Processes that it comes from, where known.
    pub processes: Option<u64>,
    /// The pinned build that was measured beside it; empty if none was.
    pub reference: Arc<str>,
    /// What that build took.
    pub reference_value: Option<f64>,
    /// Whether it is a yardstick: something that no commit changes.
    pub canary: bool,
    /// Where it comes from: `scalemark`, or the format that it was imported from.
    pub source: Arc<str>,
}

impl Entry {
    /// Whether it is a number without noise.
    pub fn is_exact(&self) -> bool {
        &*self.unit == COUNT
    }
}

/// A level that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Blessing {
    /// When.
    pub time: Timestamp,
    /// The series.
    pub key: Key,
    /// The newest commit of the series then: what happened up to it is accepted.
    pub commit: String,
    /// Why.
    pub reason: String,
}

/// Everything in a history's folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The numbers, in no particular order.
    pub entries: Vec<Entry>,
    /// The blessings, oldest first.
    pub blessings: Vec<Blessing>,
}

/// FNV-1a with 64 bits (Fowler, Noll and Vo), for names and against accidents.
#[derive(Debug, Clone, Copy)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes in bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_short_name_that_its_parts_cannot_trade_letters_in() {
        let key = |kernel: &str, case: &str| Key {
            kernel: kernel.into(),
            case: case.into(),
            metric: TIME.into(),
            fingerprint: "f".into(),
        };
        assert_eq!(key("a", "b").id(), key("a", "b").id());
        assert_ne!(key("ab", "").id(), key("a", "b").id());
        assert_eq!(key("a", "b").id().len(), 8);
        assert_eq!(key("a", "b").to_string(), "a on b");
        let mut hash = Fnv::default();
        hash.write(b"foobar");
        assert_eq!(hash.0, 0x85944171f73967e8, "the authors' test vector");
    }
}

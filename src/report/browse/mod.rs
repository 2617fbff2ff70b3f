//! Records for a terminal: sorted and searched, with the spread of their samples, and rates as bars.

mod bars;
mod columns;
mod details;
mod times;

use std::cmp::Ordering;

pub use bars::bars;
pub use columns::{Column, table};
pub use details::{details, facts};
pub use times::{Times, histogram, sparkline};

use super::group::memory_bound;
use crate::record::Record;

/// What rows are sorted by, the first as a reader wants it: the fastest, the nearest to the limit, the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// As they were measured
    Order,
    /// The shortest first
    Time,
    /// The highest rate first, those in GB/s behind those in FLOP/s
    Rate,
    /// The highest share of the measured limit first
    Share,
    /// The least memory first
    Memory,
    /// The widest interval first
    Spread,
    /// By name
    Kernel,
    /// By case
    Case,
    /// What failed first, then what is wrong, refused, simulated
    Status,
}

/// What a search looks into: kernel, provider, device, models, case and status of a record, in small letters.
pub fn searched(record: &Record) -> String {
    let text = [
        record.kernel.as_str(),
        &record.provider,
        &record.device,
        &record.model,
        &record.case.key(),
        record.outcome.status(),
    ];
    text.join(" ").to_lowercase()
}

/// The words of a search, in small letters.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_lowercase).collect()
}

/// Whether what [`searched`] made has all of these words.
pub fn has(text: &str, words: &[String]) -> bool {
    words.iter().all(|word| text.contains(word))
}

/// What a record is sorted by: a class, then a number, then a text. `None` comes last, either way round.
type Key = Option<(u8, f64, String)>;

fn key(record: &Record, by: By) -> Key {
    let number = |number: f64| (0, number, String::new());
    let text = |text: String| (0, 0.0, text);
    match by {
        // Numbers above 2⁵³ would be rounded; such a run has that many records.
        By::Order => Some(number(record.record_id as f64)),
        By::Time => record.timing().map(|timing| number(timing.median.0)),
        By::Rate if memory_bound(record) => {
            record.byte_rate().map(|rate| (1, -rate.0, String::new()))
        }
        By::Rate => record.flop_rate().map(|rate| number(-rate.0)),
        By::Share => record.share_of_peak().map(|share| number(-share)),
        By::Memory => record.allocated.map(|bytes| number(bytes.0 as f64)),
        By::Spread => record.timing().map(|timing| number(-timing.relative_half_width())),
        By::Kernel => Some(text(record.kernel.to_string())),
        By::Case => Some(text(record.case.key())),
        By::Status => {
            let order = ["failed", "wrong", "refused", "simulated", "measured"];
            let place = order.iter().position(|name| *name == record.outcome.status());
            place.map(|place| number(place as f64))
        }
    }
}

/// Where the records stand, sorted; what lacks the number comes last, and ties stay as they were.
pub fn order(records: &[Record], by: By, reverse: bool) -> Vec<usize> {
    let keys: Vec<Key> = records.iter().map(|record| key(record, by)).collect();
    let turned = |order: Ordering| if reverse { order.reverse() } else { order };
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by(|&a, &b| match (&keys[a], &keys[b]) {
        (Some(a), Some(b)) => {
            turned(a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then_with(|| a.2.cmp(&b.2)))
        }
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    order
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::report::synthetic;

    #[test]
    fn a_search_needs_every_word_in_any_case() {
        let records = synthetic::records();
        let record = records.iter().find(|record| record.timing().is_some()).unwrap();
        let (text, key) = (searched(record), record.case.key().to_uppercase());
        assert!(has(&text, &words(&key)) && !has(&text, &words(&format!("{key} nothing-like-it"))));
        assert!(has(&text, &words(" MEASURED  cpu ")) && has(&text, &[]));
    }

    #[test]
    fn sorting_puts_what_has_no_number_last_either_way_round() {
        let records = synthetic::records();
        for reverse in [false, true] {
            let order = order(&records, By::Time, reverse);
            let times: Vec<Option<f64>> =
                order.iter().map(|&at| Some(records[at].timing()?.median.0)).collect();
            let measured = times.iter().flatten().count();
            assert!(measured < times.len() && times[..measured].iter().all(Option::is_some));
            let sorted = |a: &Option<f64>, b: &Option<f64>| if reverse { a >= b } else { a <= b };
            assert!(times[..measured].is_sorted_by(sorted));
        }
        let kernels = order(&records, By::Kernel, false);
        assert!(kernels.is_sorted_by_key(|&at| &records[at].kernel));
        let first = order(&records, By::Status, false)[0];
        assert_eq!(records[first].outcome.status(), "refused");
    }

    #[test]
    fn every_order_holds_every_record_once_and_ties_stay_as_they_were() {
        let records = synthetic::records();
        for by in By::value_variants() {
            let mut all = order(&records, *by, false);
            let tied = |a: usize, b: usize| key(&records[a], *by) == key(&records[b], *by);
            assert!(all.windows(2).all(|pair| !tied(pair[0], pair[1]) || pair[0] < pair[1]));
            all.sort_unstable();
            assert!(all.into_iter().eq(0..records.len()), "{by:?}");
        }
    }
}

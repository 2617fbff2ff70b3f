//! The inverse: the largest batch, sequence or model that fits, and the cheapest machine for a deadline.

use serde::Serialize;

use super::memory;
use super::setup::Setup;
use super::shard::stages;
use crate::error::{Error, Result};
use crate::models::{self, Model};

/// What is made as large as memory allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Largest {
    /// Sequences that a device takes at once (`--micro-batch`; with --mode decode `--decode-batch`).
    Batch,
    /// Tokens a sequence (with --mode decode the context).
    Seq,
    /// The named model with most parameters.
    Model,
}

/// The most sequences and tokens that are tried.
const MOST: usize = 1 << 30;

/// The setup with its batch, sequence or model as large as fits into `capacity` bytes a device; for a decode step where
/// `decode`, else for a training step. The batch of all devices grows with the micro-batch, so that their number stays.
///
/// # Errors
/// [`Error::Usage`] when not even the smallest fits, with what it needs.
pub fn largest(setup: &Setup, what: Largest, decode: bool, capacity: f64) -> Result<Setup> {
    let valid = |s: &Setup| if decode { s.check_decode() } else { s.check() };
    let needs = |s: &Setup| {
        let stages = stages(s);
        match decode {
            true => memory::decode(s, &stages, 0.0).total(),
            false => memory::training(s, &stages, 0.0).total(),
        }
    };
    let fits = |s: &Setup| valid(s).is_ok() && needs(s) <= capacity;
    let sized = |n: usize| match (what, decode) {
        (Largest::Batch, true) => Setup { decode_batch: n, ..setup.clone() },
        (Largest::Batch, false) => {
            let micro = setup.micro_batches();
            let batch = n.saturating_mul(micro).saturating_mul(setup.data_parallel());
            Setup { micro_batch: n, batch, ..setup.clone() }
        }
        (Largest::Seq, true) => Setup { context: n, ..setup.clone() },
        (Largest::Seq, false) => Setup { seq: n, ..setup.clone() },
        (Largest::Model, _) => setup.clone(),
    };
    let nothing = |s: &Setup, smallest: &str| match valid(s) {
        Err(error) => error,
        Ok(()) => Error::Usage(format!(
            "not even {smallest} fits: it needs {} of {} a device; spread it with --tp, --pp or --zero, recompute, or take \
             a smaller model",
            crate::units::Bytes(needs(s) as u64),
            crate::units::Bytes(capacity as u64)
        )),
    };
    if what == Largest::Model {
        let with = |model: &Model| Setup { model: model.clone(), ..setup.clone() };
        let all = models::builtin().iter().cloned().chain(models::size_sweep());
        let best = all.filter(|model| fits(&with(model))).max_by_key(Model::parameters);
        let smallest = || {
            let smallest = models::size_sweep().into_iter().min_by_key(Model::parameters);
            nothing(&smallest.map_or(setup.clone(), |model| with(&model)), "the smallest model")
        };
        return best.map(|model| with(&model)).ok_or_else(smallest);
    }
    if !fits(&sized(1)) {
        return Err(nothing(&sized(1), "1"));
    }
    // Memory grows with the size: double, then halve the gap.
    let mut low = 1;
    while low < MOST && fits(&sized(low * 2)) {
        low *= 2;
    }
    let mut high = low * 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(&sized(middle)) { low = middle } else { high = middle }
    }
    Ok(sized(low))
}

/// A plan of one run and number of devices, as far as a choice between them goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Offer {
    /// The run.
    pub run: String,
    /// Devices.
    pub gpus: usize,
    /// Seconds of the whole training: expected, and the upper end of its interval.
    pub seconds: (f64, f64),
    /// Money for the whole training.
    pub cost: f64,
    /// Why it is out of the question, if so.
    pub out: Option<String>,
}

/// The cheapest offer that ends before the deadline even at the upper end of its interval.
pub fn cheapest(offers: &[Offer], deadline: f64) -> Option<&Offer> {
    let in_time = |o: &&Offer| o.out.is_none() && o.seconds.1 <= deadline;
    offers.iter().filter(in_time).min_by(|a, b| a.cost.total_cmp(&b.cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::find;
    use crate::ops::Precision;
    use proptest::prelude::*;

    fn needs(s: &Setup, decode: bool) -> f64 {
        let stages = stages(s);
        if decode {
            memory::decode(s, &stages, 0.0).total()
        } else {
            memory::training(s, &stages, 0.0).total()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_largest_fits_and_one_more_does_not(
            gigabytes in 2.0..600.0f64, decode: bool, seq in 16usize..4096, pp in prop::sample::select(vec![1usize, 2, 4]),
        ) {
            let model = find("qwen3-0.6b").unwrap().clone();
            let setup = Setup { seq, context: seq, pp, gpus: pp, batch: 1, ..Setup::new(model, Precision::BF16) };
            let capacity = gigabytes * 1e9;
            if let Ok(found) = largest(&setup, Largest::Batch, decode, capacity) {
                prop_assert!(needs(&found, decode) <= capacity);
                let more = match decode {
                    true => Setup { decode_batch: found.decode_batch + 1, ..found },
                    false => Setup { micro_batch: found.micro_batch + 1, batch: found.batch + 1, ..found },
                };
                prop_assert!(needs(&more, decode) > capacity);
            } else {
                prop_assert!(needs(&setup, decode) > capacity);
            }
        }
    }

    #[test]
    fn a_sequence_ends_where_learned_positions_do_and_the_largest_model_is_named() {
        let gpt2 = Setup { seq: 1, ..Setup::new(find("gpt2").unwrap().clone(), Precision::F32) };
        assert_eq!(largest(&gpt2, Largest::Seq, false, 1e12).unwrap().seq, 1024);
        let gpt2 = Setup { seq: 1024, ..gpt2 };
        let found = largest(&gpt2, Largest::Model, false, 80e9).unwrap();
        let bytes = needs(&found, false);
        assert!(bytes <= 80e9 && found.model.parameters() > 2_000_000_000, "{}", found.model.name);
        let error = largest(&gpt2, Largest::Batch, false, 1e6).unwrap_err().to_string();
        assert!(error.contains("not even 1 fits") && error.contains("--zero"), "{error}");
    }

    #[test]
    fn the_cheapest_machine_is_sought_among_those_in_time() {
        let offer = |run: &str, high, cost, out: Option<&str>| Offer {
            run: run.into(),
            gpus: 8,
            seconds: (0.9 * high, high),
            cost,
            out: out.map(str::to_owned),
        };
        let offers = [
            offer("slow", 200.0, 1.0, None),
            offer("dear", 50.0, 9.0, None),
            offer("good", 90.0, 3.0, None),
            offer("small", 10.0, 0.5, Some("does not fit")),
        ];
        assert_eq!(cheapest(&offers, 100.0).unwrap().run, "good");
        assert_eq!(cheapest(&offers, 20.0), None);
    }
}

//! What a step comes to: throughput, utilization, days, money, energy.

use serde::Serialize;

use super::setup::Setup;
use super::step::{Span, Step};
use crate::models::{LmHead, Model};

/// What the user asks a price for, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Wishes {
    /// Tokens to train on.
    pub tokens: Option<f64>,
    /// The price of a device and hour.
    pub price: Option<f64>,
    /// Steps between two checkpoints.
    pub checkpoint_every: Option<f64>,
    /// Bytes a second of the storage that they go to.
    pub storage_bandwidth: f64,
}

/// Operations of a model for a token of training, forward and backward: `6·N + 12·L·H·Q·T` (Chowdhery et al. 2022, PaLM,
/// appendix B), with N the parameters that multiply a token, L layers, H heads, Q head length, T tokens a sequence.
///
/// N leaves out what is looked up: positions, token types, and the token embedding unless the head uses it. All keys count,
/// causal or not; recomputation does not. Where queries and values differ in length, Q is their mean.
pub fn model_flops_per_token(model: &Model, seq: usize) -> f64 {
    let words = if model.lm_head == LmHead::Tied { 0 } else { model.vocab };
    let positions = if model.family.learned_positions() { model.context } else { 0 };
    let looked_up = (words + positions + model.token_types) as f64 * model.hidden as f64;
    let multiplied = model.active_parameters() as f64 - looked_up;
    let head = (model.head_dim + model.head_dim_v) as f64 / 2.0;
    6.0 * multiplied + 12.0 * model.layers as f64 * model.heads as f64 * head * seq as f64
}

/// A training in numbers; ends of intervals come from those of the step's time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// Tokens a second, all devices.
    pub tokens_per_second: Span,
    /// Model flops utilization: [`model_flops_per_token`] against the measured peak of all devices.
    pub model_flops_utilization: Option<Span>,
    /// The same with every operation that the measured kernels do, recomputation included, and causal attention counted half.
    pub hardware_flops_utilization: Option<f64>,
    /// The measured peak of one device, in operations a second.
    pub peak: Option<f64>,
    /// Steps for the wished tokens.
    pub steps: Option<f64>,
    /// Seconds of writing checkpoints.
    pub checkpoints: Option<f64>,
    /// Seconds in all.
    pub seconds: Option<Span>,
    /// Money in all.
    pub cost: Option<Span>,
    /// Energy in joules of all devices, scaled up from the part of the time that it was counted for.
    pub joules: Option<f64>,
}

/// The numbers of a training whose step is `step`.
pub fn training(setup: &Setup, step: &Step, peak: Option<f64>, wishes: &Wishes) -> Training {
    let tokens = setup.tokens();
    let gpus = setup.gpus as f64;
    let per = |seconds: Span, of: f64| Span {
        median: of / seconds.median,
        low: of / seconds.high,
        high: of / seconds.low,
    };
    let rate = per(step.total, tokens);
    let flops = model_flops_per_token(&setup.model, setup.seq);
    let utilization = |peak: f64| rate.times(flops / (peak * gpus));
    let done: f64 = step.lines.iter().filter(|l| l.seconds.is_some()).map(|l| l.flops).sum();
    let steps = wishes.tokens.map(|wished| (wished / tokens).ceil());
    let checkpoints = steps.zip(wishes.checkpoint_every).map(|(steps, every)| {
        (steps / every).floor() * checkpoint_bytes(setup) / wishes.storage_bandwidth
    });
    let seconds =
        steps.map(|steps| step.total.times(steps).plus(Span::exact(checkpoints.unwrap_or(0.0))));
    let cost = seconds.zip(wishes.price).map(|(s, price)| s.times(gpus * price / 3600.0));
    let joules = step
        .joules
        .zip(steps)
        .map(|((joules, share), steps)| joules / share.max(f64::MIN_POSITIVE) * gpus * steps);
    Training {
        tokens_per_second: rate,
        model_flops_utilization: peak.map(utilization),
        hardware_flops_utilization: peak.map(|peak| done / step.total.median / peak),
        peak,
        steps,
        checkpoints,
        seconds,
        cost,
        joules,
    }
}

/// Bytes of a checkpoint: parameters and the optimizer's state, once.
pub fn checkpoint_bytes(setup: &Setup) -> f64 {
    let whole = Setup { gpus: 1, tp: 1, pp: 1, zero: 0, ..setup.clone() };
    let parts = super::memory::states(&whole, setup.model.parameters() as f64);
    parts.iter().filter(|(name, _)| *name != "gradients").map(|(_, bytes)| bytes).sum()
}

/// A decode in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decoding {
    /// Tokens a second of one copy of the model, on its `tp · pp` devices.
    pub tokens_per_second: Span,
    /// The same of all copies.
    pub tokens_per_second_of_all: Span,
    /// The least that its measured kernels move (weights and cache, once), against the measured bandwidth of one device.
    pub bandwidth_utilization: Option<f64>,
    /// Money for a million tokens.
    pub cost_of_a_million_tokens: Option<Span>,
    /// Joules for a token, scaled up as in [`Training::joules`].
    pub joules_a_token: Option<f64>,
}

/// The numbers of a decode whose step is `step`.
pub fn decoding(setup: &Setup, step: &Step, bandwidth: Option<f64>, wishes: &Wishes) -> Decoding {
    let (tokens, devices) = (setup.decode_batch as f64, (setup.tp * setup.pp) as f64);
    let Span { median, low, high } = step.total;
    let rate = Span { median: tokens / median, low: tokens / high, high: tokens / low };
    let moved: f64 = step.lines.iter().filter(|l| l.seconds.is_some()).map(|l| l.bytes).sum();
    let used = bandwidth.map(|b| moved / b / step.busy.median);
    let cost = wishes.price.map(|p| step.total.times(p * devices / 3600.0 / tokens * 1e6));
    let joules = step.joules.map(|(j, share)| j / share.max(f64::MIN_POSITIVE) * devices / tokens);
    Decoding {
        tokens_per_second: rate,
        tokens_per_second_of_all: rate.times(setup.data_parallel() as f64),
        bandwidth_utilization: used,
        cost_of_a_million_tokens: cost,
        joules_a_token: joules,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::megatron;
    use super::*;
    use crate::models::find;
    use crate::ops::Precision;

    #[test]
    fn utilization_of_palm_540b_is_that_of_its_appendix_b() {
        // 540.35·10⁹ parameters, L 118, H 48, Q 256, T 2048; 238.3·10³ tokens/s on 6144 chips of 275 Tflop/s: 46.2 %.
        // Its head is tied and its positions rotary: everything multiplies.
        let flops: f64 = 6.0 * 540.35e9 + 12.0 * 118.0 * 48.0 * 256.0 * 2048.0;
        assert!((flops * 238.3e3 / (6144.0 * 275e12) - 0.462).abs() < 5e-4);
        // The same formula, from a model: GPT-2's positions are looked up, its words are the head's.
        let gpt2 = find("gpt2").unwrap();
        let n = gpt2.parameters() as f64 - 1024.0 * 768.0;
        let want = 6.0 * n + 12.0 * 12.0 * 12.0 * 64.0 * 1024.0;
        assert_eq!(model_flops_per_token(gpt2, 1024), want);
    }

    #[test]
    fn utilizations_of_megatron_are_those_published_with_its_iteration_times() {
        // Korthikanti et al. 2022, table 5: layers, hidden, heads, batch, GPUs (A100, 312 Tflop/s), seconds, MFU in %.
        for (layers, hidden, heads, batch, gpus, seconds, mfu) in [
            (48, 6144, 64, 4.0, 8.0, 1.10, 41.5),
            (96, 12288, 96, 64.0, 64.0, 13.75, 51.4),
            (105, 20480, 128, 280.0, 280.0, 37.83, 56.0),
            (128, 25600, 160, 512.0, 512.0, 71.49, 56.3),
        ] {
            let model = megatron(layers, hidden, heads);
            let flops = model_flops_per_token(&model, 2048) * batch * 2048.0;
            let got = 100.0 * flops / seconds / gpus / 312e12;
            // The iteration times are rounded to 0.01 s, which is 0.5 % of the first.
            assert!((got / mfu - 1.0).abs() < 0.007, "{hidden}: {got} against {mfu}");
        }
    }

    #[test]
    fn the_operations_of_whole_trainings_are_those_published() {
        // 6·N·D: 3.14·10²³ for GPT-3 on 300·10⁹ tokens (Brown et al. 2020, table D.1), 3.8·10²⁵ for Llama 3 405B on 15.6·10¹²
        // (Grattafiori et al. 2024, section 1). Both leave attention's own operations out: a sequence of no tokens.
        for (name, tokens, published) in
            [("gpt3-175b", 300e9, 3.14e23), ("llama-3.1-405b", 15.6e12, 3.8e25)]
        {
            let flops = model_flops_per_token(find(name).unwrap(), 0) * tokens;
            assert!((flops / published - 1.0).abs() < 0.01, "{name}: {flops:e}");
        }
    }

    #[test]
    fn a_checkpoint_holds_parameters_and_state_once_however_they_are_spread() {
        let model = find("gpt2").unwrap().clone();
        let n = model.parameters() as f64;
        let setup = Setup { gpus: 8, batch: 8, zero: 3, ..Setup::new(model, Precision::BF16) };
        assert_eq!(checkpoint_bytes(&setup), 14.0 * n);
    }
}

//! What it costs to move tensors between devices: the α–β model, a latency and a bandwidth.
//!
//! A message of V bytes takes α + V/β. A ring moves V bytes among n devices in n − 1 steps of V/n a device (reduce-scatter
//! or all-gather), an all-reduce is one of each (Thakur et al. 2005; Chan et al. 2007): 2(n − 1)/n · V/β + 2(n − 1)·α. Nothing of this
//! is measured here; bandwidth and latency are the user's word.

use serde::Serialize;

use super::setup::{Recompute, Setup};
use super::shard::Stage;

/// A link between two devices, as each device sees it, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Link {
    /// Bytes a second.
    pub bandwidth: f64,
    /// Seconds a message.
    pub latency: f64,
}

impl Link {
    /// What is taken where nothing is said: a network of 400 Gb/s a device, 10 µs a message.
    pub const DEFAULT: Link = Link { bandwidth: 50e9, latency: 10e-6 };

    /// Seconds of one message.
    pub fn send(&self, bytes: f64) -> f64 {
        self.latency + bytes / self.bandwidth
    }

    /// Seconds of a ring's reduce-scatter or all-gather of `bytes` (the whole tensor) among `n` devices.
    pub fn gather(&self, bytes: f64, n: usize) -> f64 {
        let n = n as f64;
        if n <= 1.0 {
            0.0
        } else {
            (n - 1.0) * self.latency + (n - 1.0) / n * bytes / self.bandwidth
        }
    }

    /// Seconds of a ring's all-reduce.
    pub fn all_reduce(&self, bytes: f64, n: usize) -> f64 {
        2.0 * self.gather(bytes, n)
    }
}

/// Communication of one step on one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exchange {
    /// What is exchanged.
    pub name: &'static str,
    /// How often a step.
    pub count: f64,
    /// Bytes of the whole tensor, each time.
    pub bytes: f64,
    /// Seconds, all of them, none hidden behind computation.
    pub seconds: f64,
    /// Whether every micro-batch waits for it, so that it is part of the pipeline's beat.
    pub each_micro_batch: bool,
}

/// What the devices of `stage` exchange in a training step; nothing overlaps with anything.
pub fn training(setup: &Setup, stage: &Stage, links: &Links) -> Vec<Exchange> {
    let (micro, copies) = (setup.micro_batches() as f64, setup.data_parallel());
    let element = setup.element() as f64;
    let weights = element * stage.params as f64;
    let activations =
        setup.micro_batch as f64 * setup.seq as f64 * stage.model.hidden as f64 * element;
    let layers = stage.model.layers as f64;
    let mut all = Vec::new();
    let mut add = |name, count: f64, bytes, each: f64, each_micro_batch| {
        if count > 0.0 && each > 0.0 {
            let seconds = count * each;
            all.push(Exchange { name, count, bytes, seconds, each_micro_batch });
        }
    };
    // Rajbhandari et al. 2020, section 7: stages 0 to 2 move each gradient and each parameter once, stage 3 gathers the
    // parameters for the forward and again for the backward pass. Stages 2 and 3 keep no whole gradient to add up in.
    let (data, tensor) = (&links.data, &links.tensor);
    let gather = data.gather(weights, copies);
    match setup.zero {
        0 => add("gradients: all-reduce", 1.0, weights, data.all_reduce(weights, copies), false),
        1 => {
            add("gradients: reduce-scatter", 1.0, weights, gather, false);
            add("parameters: all-gather", 1.0, weights, gather, false);
        }
        2 => {
            add("gradients: reduce-scatter", micro, weights, gather, true);
            add("parameters: all-gather", 1.0, weights, gather, false);
        }
        _ => {
            add("parameters: all-gather", 2.0 * micro, weights, gather, true);
            add("gradients: reduce-scatter", micro, weights, gather, true);
        }
    }
    // Shoeybi et al. 2019: two all-reduces a layer forward, two backward; split over the sequence they are a reduce-scatter
    // and an all-gather each, of the same cost.
    let passes = if setup.recompute == Recompute::Full { 3.0 } else { 2.0 };
    let each = tensor.all_reduce(activations, setup.tp);
    add("tensor parallel: all-reduce", 2.0 * passes * layers * micro, activations, each, true);
    if setup.pp > 1 {
        // Each device sends its share of the activations on, and the gradient back.
        let share = activations / setup.tp as f64;
        add("pipeline: send", 2.0 * micro, share, data.send(share), true);
    }
    all
}

/// What the devices of `stage` exchange in a decode step.
pub fn decode(setup: &Setup, stage: &Stage, links: &Links) -> Vec<Exchange> {
    let bytes = (setup.decode_batch * stage.model.hidden * setup.precision.inputs.size()) as f64;
    let mut all = Vec::new();
    if setup.tp > 1 {
        let count = 2.0 * stage.model.layers as f64;
        let seconds = count * links.tensor.all_reduce(bytes, setup.tp);
        let name = "tensor parallel: all-reduce";
        all.push(Exchange { name, count, bytes, seconds, each_micro_batch: true });
    }
    if setup.pp > 1 && !stage.last {
        let seconds = links.data.send(bytes);
        all.push(Exchange {
            name: "pipeline: send",
            count: 1.0,
            bytes,
            seconds,
            each_micro_batch: true,
        });
    }
    all
}

/// The links that tensor parallelism and everything else go over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Links {
    /// Among the devices of a tensor-parallel group, commonly within one machine.
    pub tensor: Link,
    /// Among copies of the model and stages of a pipeline.
    pub data: Link,
    /// The share of the exchanges between copies of the model that hides behind computation, 0 to 1.
    pub overlap: f64,
}

/// The share of a step that a pipeline of `stages` idles, with `micro` micro-batches: (p − 1)/(m + p − 1) (Huang et al. 2019;
/// Narayanan et al. 2021, whose bubble (p − 1)/m is relative to the work).
pub fn bubble(stages: usize, micro: usize) -> f64 {
    (stages as f64 - 1.0) / (micro as f64 + stages as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::shard::stages;
    use super::*;
    use crate::models::find;
    use crate::ops::Precision;

    const FAST: Links = Links {
        tensor: Link { bandwidth: 1e9, latency: 0.0 },
        data: Link { bandwidth: 1e9, latency: 0.0 },
        overlap: 0.0,
    };

    fn volume(zero: u8, batch: usize) -> f64 {
        let model = find("gpt2").unwrap().clone();
        let setup = Setup { gpus: 8, batch, seq: 128, zero, ..Setup::new(model, Precision::BF16) };
        let stage = &stages(&setup)[0];
        let seconds: f64 = training(&setup, stage, &FAST).iter().map(|e| e.seconds).sum();
        seconds * 1e9 / (2.0 * stage.params as f64) * 8.0 / 7.0
    }

    #[test]
    fn zero_moves_as_many_bytes_as_its_paper_says() {
        // Rajbhandari et al. 2020, section 7.2: 2Ψ up to stage 2, 3Ψ in stage 3.
        for (zero, expected) in [(0, 2.0), (1, 2.0), (2, 2.0), (3, 3.0)] {
            assert!((volume(zero, 8) - expected).abs() < 1e-9, "{zero}");
        }
        // Four micro-batches: stage 2 reduces each, stage 3 gathers for each too.
        assert!((volume(0, 32) - 2.0).abs() < 1e-9);
        assert!((volume(2, 32) - 5.0).abs() < 1e-9);
        assert!((volume(3, 32) - 12.0).abs() < 1e-9);
    }

    #[test]
    fn rings_and_messages_cost_what_the_model_says() {
        let link = Link { bandwidth: 1e9, latency: 1e-6 };
        assert!((link.all_reduce(4e9, 4) - (2.0 * 0.75 * 4.0 + 6e-6)).abs() < 1e-12);
        assert!((link.send(1e9) - 1.000001).abs() < 1e-12);
        assert_eq!(link.all_reduce(1e9, 1), 0.0);
    }

    #[test]
    fn a_pipeline_idles_less_the_more_micro_batches_there_are() {
        assert_eq!(bubble(1, 4), 0.0);
        assert!((bubble(4, 8) - 3.0 / 11.0).abs() < 1e-12);
        let model = find("llama-3-8b").unwrap().clone();
        let setup = Setup { gpus: 8, tp: 2, pp: 4, batch: 4, ..Setup::new(model, Precision::BF16) };
        let all = training(&setup, &stages(&setup)[1], &FAST);
        // Four all-reduces for each of eight layers and four micro-batches.
        let tensor = all.iter().find(|e| e.name.starts_with("tensor")).unwrap();
        assert_eq!((tensor.count, tensor.bytes), (128.0, 2048.0 * 4096.0 * 2.0));
        assert!(all.iter().any(|e| e.name == "pipeline: send" && e.count == 8.0));
        assert!(
            !all.iter().any(|e| e.name.starts_with("gradients")),
            "one copy has nobody to talk to"
        );
    }
}

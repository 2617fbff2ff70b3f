//! Machines that are known: five kinds of noise between processes.

use serde::{Deserialize, Serialize};

use crate::stats::random::Random;

/// What makes two processes of one build differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Normal, each process for itself: layout and page placement.
    Independent,
    /// One process in twelve is hit by something that takes 1 % and more, with a Pareto tail of exponent 1.5 (no variance).
    Spikes,
    /// The machine drifts by 5 % over the run, and its load follows an autoregression (0.9 from process to process, 1.5 %) that all
    /// kernels share; each kernel has one of its own (0.7).
    Autocorrelated,
    /// A process sits at one of two levels, 7 % apart, the upper one in 35 of 100.
    Bimodal,
    /// Runners with different processors, speeds by kernel and noise (1 to 4 times); one round in ten moves to another in its middle.
    Pool,
}

impl Noise {
    /// All of them.
    pub const ALL: [Noise; 5] =
        [Noise::Independent, Noise::Spikes, Noise::Autocorrelated, Noise::Bimodal, Noise::Pool];

    /// As in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Noise::Independent => "independent",
            Noise::Spikes => "spikes",
            Noise::Autocorrelated => "autocorrelated",
            Noise::Bimodal => "bimodal",
            Noise::Pool => "pool",
        }
    }
}

/// A simulated machine: the logarithm of each kernel's level in one process after another.
#[derive(Debug, Clone)]
pub struct Machine {
    noise: Noise,
    random: Random,
    /// Standard deviation of each kernel between processes.
    spreads: Vec<f64>,
    /// What the load adds to all kernels, and to each.
    load: f64,
    own: Vec<f64>,
    runner: Runner,
    process: usize,
}

#[derive(Debug, Clone)]
struct Runner {
    noise: f64,
    speeds: Vec<f64>,
}

impl Runner {
    fn new(kernels: usize, random: &mut Random) -> Self {
        let whole = 0.2 * random.normal();
        let speeds = (0..kernels).map(|_| whole + 0.1 * random.normal()).collect();
        Runner { noise: 4f64.powf(random.uniform()), speeds }
    }
}

impl Machine {
    /// A machine on which kernel i differs between processes with the relative standard deviation `spreads[i]`, besides what
    /// `noise` adds.
    pub fn new(noise: Noise, spreads: Vec<f64>, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let runner = Runner::new(spreads.len(), &mut random);
        let own = spreads.iter().map(|spread| spread * random.normal()).collect();
        Machine { noise, random, spreads, load: 0.0, own, runner, process: 0 }
    }

    /// Whether the next round moves to another runner in its middle.
    fn moves(&mut self) -> bool {
        self.noise == Noise::Pool && self.random.uniform() < 0.1
    }

    /// The levels of all kernels in the three processes of a round, in the order in which they run.
    pub fn round(&mut self) -> [Vec<f64>; 3] {
        let moves = self.moves().then(|| 1 + self.random.below(2));
        std::array::from_fn(|position| {
            if moves == Some(position) {
                self.runner = Runner::new(self.spreads.len(), &mut self.random);
            }
            self.process()
        })
    }

    /// The levels of all kernels in the next process.
    pub fn process(&mut self) -> Vec<f64> {
        self.process += 1;
        let random = &mut self.random;
        self.load = 0.9 * self.load + 0.015 * (1.0f64 - 0.81).sqrt() * random.normal();
        let drift = 0.05 * self.process as f64 / 96.0;
        let kernel = |i: usize| {
            let spread = self.spreads[i];
            let plain = spread * random.normal();
            match self.noise {
                Noise::Independent => plain,
                Noise::Spikes => {
                    let hit = random.uniform() < 1.0 / 12.0;
                    let pareto = 0.01 * (1.0 - random.uniform()).powf(-1.0 / 1.5);
                    plain + if hit { pareto.ln_1p() } else { 0.0 }
                }
                Noise::Autocorrelated => {
                    self.own[i] = 0.7 * self.own[i] + (1.0f64 - 0.49).sqrt() * plain;
                    self.own[i] + self.load + drift
                }
                Noise::Bimodal => plain + if random.uniform() < 0.35 { 0.07 } else { 0.0 },
                Noise::Pool => self.runner.noise * plain + self.runner.speeds[i],
            }
        };
        (0..self.spreads.len()).map(kernel).collect()
    }

    /// An order of base, head and twin, each of the six as likely.
    pub fn order(&mut self) -> [usize; 3] {
        let mut order = [0, 1, 2];
        order.swap(0, self.random.below(3));
        order.swap(1, 1 + self.random.below(2));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(noise: Noise) -> Vec<f64> {
        let mut machine = Machine::new(noise, vec![0.01], 7);
        (0..4000).map(|_| machine.round()).map(|[a, b, _]| b[0] - a[0]).collect()
    }

    fn quantile(mut x: Vec<f64>, q: f64) -> f64 {
        x.sort_by(f64::total_cmp);
        crate::stats::quantile(&x, q).unwrap()
    }

    #[test]
    fn each_noise_has_the_size_that_it_should() {
        // The 90 % quantile of a difference of two normals with 1 % each is 1.81 %.
        let at = |noise, q| quantile(differences(noise), q);
        assert!((at(Noise::Independent, 0.9) - 0.0181).abs() < 0.001);
        assert!(at(Noise::Spikes, 0.99) > 1.3 * at(Noise::Independent, 0.99));
        assert!((at(Noise::Bimodal, 0.95) - 0.08).abs() < 0.01);
        assert!(at(Noise::Pool, 0.99) > 0.1);
        assert!(at(Noise::Autocorrelated, 0.9) < 0.03);
    }

    #[test]
    fn all_six_orders_are_as_likely() {
        let mut machine = Machine::new(Noise::Independent, vec![0.01], 1);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(machine.order()).or_insert(0) += 1;
        }
        assert!(
            counts.len() == 6 && counts.values().all(|&n| (850..1150).contains(&n)),
            "{counts:?}"
        );
    }
}

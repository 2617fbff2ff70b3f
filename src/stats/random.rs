//! A small seeded generator for resampling and simulation: xoshiro256++ 1.0 by Blackman and Vigna (2019), seeded through
//! splitmix64 as its authors advise. Not for secrets.

/// A reproducible stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `seed`; near seeds give unrelated streams.
    pub fn new(seed: u64) -> Self {
        let mut x = seed;
        let mut splitmix = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Random { state: [splitmix(), splitmix(), splitmix(), splitmix()] }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A uniform index below `bound`, by multiply and shift: the bias is below `bound` / 2⁶⁴. 0 if `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Uniform in 0..1, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Normal with mean 0 and standard deviation 1, by Marsaglia's polar method (the second value is not kept).
    pub fn normal(&mut self) -> f64 {
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_the_published_generator() {
        // State 1, 2, 3, 4: the first outputs of the authors' C code.
        let mut random = Random { state: [1, 2, 3, 4] };
        let got: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(got, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn streams_repeat_by_seed_and_differ_between_seeds() {
        let draw = |seed| (0..8).scan(Random::new(seed), |r, _| Some(r.bits())).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(0).iter().all(|&x| x != 0));
    }

    #[test]
    fn indices_are_uniform() {
        let mut random = Random::new(5);
        let mut counts = [0.0f64; 7];
        for _ in 0..70_000 {
            counts[random.below(7)] += 1.0;
        }
        let chi2: f64 = counts.iter().map(|c| (c - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 22.5, "chi-squared of 6 degrees of freedom is {chi2}"); // 0.1 % point
    }

    #[test]
    fn normals_have_the_moments_and_tails_of_a_normal() {
        let mut random = Random::new(6);
        let n = 200_000;
        let x: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|v| v * v).sum::<f64>() / n as f64;
        let outside = x.iter().filter(|v| v.abs() > 1.959_964).count() as f64 / n as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.015, "{mean} {variance}");
        assert!((outside - 0.05).abs() < 0.002, "{outside}");
    }
}

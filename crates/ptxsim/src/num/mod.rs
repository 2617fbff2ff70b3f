//! Number formats and arithmetic, pure: functions over the raw bits of registers, with PTX's roundings and special cases.
//!
//! | PTX | here |
//! |---|---|
//! | `add sub mul fma mad div rcp sqrt` `.f32` with `.rn .rz .rm .rp`, `.ftz`, `.sat` | [`single`], for 32 lanes [`lanes`] |
//! | the same `.f32x2` | [`single::pair`] of the above |
//! | `add sub fma` `.f32.f16`, `.f32.bf16` | [`single`] on what [`convert::f16_to_f32`], [`convert::bf16_to_f32`] give |
//! | `add sub mul fma div rcp sqrt` `.f64` | [`double`], [`lanes::fma_f64`] |
//! | `add sub mul fma` `.f16 .bf16`, `.ftz`, `.sat`, `.relu` | [`half`]; `x2` through [`half::pair`] |
//! | `min max` of floats, two and three operands | [`select`] |
//! | `cvt` float to float, and to an integral float | [`convert::Float::convert`]; `f16`, `bf16`, `tf32` from `f32` also alone |
//! | `cvt` float to integer, integer to float | [`convert::Float::to_integer`], [`convert::Float::from_integer`] |
//! | `cvt` integer to integer, `.sat` | [`integer::Integer`] |
//! | `cvt` of `.e4m3x2 .e5m2x2 .e2m3x2 .e3m2x2 .e2m1x2`, `.ue8m0x2` | [`packed`] |
//! | `rcp sqrt rsqrt ex2 lg2 sin cos tanh` `.approx` | [`special::Function`] |
//! | `div.approx`, `div.full`, `rcp.approx.ftz.f64`, `rsqrt.approx.f64` | [`special`] |
//!
//! Not here, because the PTX ISA leaves bits open: `cvt.rs`, `.s2f6x2`, and `fma.oob`, whose special NaN has no published bits.

pub mod convert;
pub mod double;
pub mod exact;
pub mod format;
pub mod half;
pub mod integer;
pub mod lanes;
pub mod packed;
#[cfg(test)]
mod reference;
pub mod select;
pub mod single;
pub mod special;

/// How a result that is not representable is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// `.rn`: to nearest, ties to even.
    #[default]
    Nearest,
    /// `.rz`: toward zero.
    Zero,
    /// `.rm`: toward negative infinity.
    Down,
    /// `.rp`: toward positive infinity.
    Up,
    /// `.rna`: to nearest, ties away from zero.
    NearestAway,
}

impl Rounding {
    /// The rounding that a modifier names, with or without the `i` of roundings to an integer.
    pub fn parse(modifier: &str) -> Option<Rounding> {
        Some(match modifier {
            "rn" | "rni" => Rounding::Nearest,
            "rz" | "rzi" => Rounding::Zero,
            "rm" | "rmi" => Rounding::Down,
            "rp" | "rpi" => Rounding::Up,
            "rna" => Rounding::NearestAway,
            _ => return None,
        })
    }

    /// Whether a magnitude is rounded up whose cut-off part is `rest`, where `half` is half a unit of what is kept.
    #[inline(always)]
    pub(crate) fn up<T: PartialOrd + Default>(
        self,
        negative: bool,
        odd: bool,
        rest: T,
        half: T,
    ) -> bool {
        match self {
            Rounding::Nearest => rest > half || rest == half && odd,
            Rounding::NearestAway => rest >= half,
            Rounding::Zero => false,
            Rounding::Down => negative && rest > T::default(),
            Rounding::Up => !negative && rest > T::default(),
        }
    }

    /// Whether a number beyond the largest becomes an infinity.
    #[inline(always)]
    pub(crate) fn overflows(self, negative: bool) -> bool {
        match self {
            Rounding::Nearest | Rounding::NearestAway => true,
            Rounding::Zero => false,
            Rounding::Down => negative,
            Rounding::Up => !negative,
        }
    }
}

/// Modifiers of `.f32` arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mode {
    /// `.rn`, `.rz`, `.rm` or `.rp`.
    pub rounding: Rounding,
    /// `.ftz`: subnormal operands and results are zero with their sign.
    pub ftz: bool,
    /// `.sat`: the result is limited to `[0, 1]`; NaN becomes `+0`.
    pub sat: bool,
}

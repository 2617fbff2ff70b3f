//! `.f16`, `.bf16` and their packed forms on raw bits, each operation rounded once, to nearest even.
//!
//! Sums and products are rounded to odd in `f64` first (see [`super::single`]), which has bits enough for that.

use super::Rounding;
use super::format::{Format, decode, encode};
use super::single::sum_to_odd;

/// Modifiers of arithmetic on 16-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HalfMode {
    /// `.ftz`: subnormal operands and results are zero with their sign.
    pub ftz: bool,
    /// `.sat`: the result is limited to `[0, 1]`; NaN becomes `+0`.
    pub sat: bool,
    /// `.relu`: negative results and `-0` become `+0`; NaN becomes the canonical one.
    pub relu: bool,
}

/// A subnormal becomes zero with its sign.
#[inline(always)]
pub fn flush<F: Format>(bits: u16) -> u16 {
    let exponent = (F::SIGN - (1 << F::MANTISSA)) as u16;
    if bits & exponent == 0 { bits & F::SIGN as u16 } else { bits }
}

#[inline(always)]
fn operand<F: Format>(bits: u16, mode: HalfMode) -> f64 {
    decode::<F>(if mode.ftz { flush::<F>(bits) } else { bits } as u32)
}

#[inline(always)]
fn result<F: Format>(value: f64, mode: HalfMode) -> u16 {
    let bits = encode::<F>(value, Rounding::Nearest, false) as u16;
    let bits = if mode.ftz { flush::<F>(bits) } else { bits };
    if mode.sat {
        // The bits of positive numbers are in the order of their values; those of NaN are above 1.
        let one = (F::BIAS as u16) << F::MANTISSA;
        return if value > 0.0 { bits.min(one) } else { 0 };
    }
    if mode.relu && value <= 0.0 { 0 } else { bits }
}

/// `add`
#[inline(always)]
pub fn add<F: Format>(a: u16, b: u16, mode: HalfMode) -> u16 {
    result::<F>(sum_to_odd(operand::<F>(a, mode), operand::<F>(b, mode)), mode)
}

/// `sub`
#[inline(always)]
pub fn sub<F: Format>(a: u16, b: u16, mode: HalfMode) -> u16 {
    add::<F>(a, b ^ F::SIGN as u16, mode)
}

/// `mul`
#[inline(always)]
pub fn mul<F: Format>(a: u16, b: u16, mode: HalfMode) -> u16 {
    result::<F>(operand::<F>(a, mode) * operand::<F>(b, mode), mode)
}

/// `fma`
#[inline(always)]
pub fn fma<F: Format>(a: u16, b: u16, c: u16, mode: HalfMode) -> u16 {
    let product = operand::<F>(a, mode) * operand::<F>(b, mode);
    result::<F>(sum_to_odd(product, operand::<F>(c, mode)), mode)
}

/// Applies an operation to both halves (`.f16x2`, `.bf16x2`).
#[inline(always)]
pub fn pair<const N: usize>(operands: [u32; N], f: impl Fn([u16; N]) -> u16) -> u32 {
    let low = f(operands.map(|bits| bits as u16));
    let high = f(operands.map(|bits| (bits >> 16) as u16));
    (high as u32) << 16 | low as u32
}

#[cfg(test)]
mod tests {
    use super::super::format::{Bf16, F16};
    use super::*;

    const PLAIN: HalfMode = HalfMode { ftz: false, sat: false, relu: false };
    const ONE: u16 = 0x3c00;
    const MINUS: u16 = 0xbc00;

    #[test]
    fn sat_limits_to_zero_and_one_and_takes_nan_for_zero() {
        let sat = HalfMode { sat: true, ..PLAIN };
        assert_eq!(add::<F16>(ONE, ONE, sat), ONE);
        assert_eq!(add::<F16>(ONE, 0xc000, sat), 0);
        assert_eq!(mul::<F16>(MINUS, 0, sat), 0);
        assert_eq!(add::<F16>(0x7c00, 0xfc00, sat), 0);
        assert_eq!(mul::<F16>(0x3800, ONE, sat), 0x3800);
        assert_eq!(fma::<F16>(0x7bff, 0x7bff, 0, sat), ONE);
    }

    #[test]
    fn relu_keeps_what_is_positive_and_nan() {
        let relu = HalfMode { relu: true, ..PLAIN };
        assert_eq!(fma::<Bf16>(0x3f80, 0xbf80, 0, relu), 0);
        assert_eq!(fma::<Bf16>(0x3f80, 0x3f80, 0, relu), 0x3f80);
        assert_eq!(fma::<F16>(MINUS, 0, 0x8000, relu), 0);
        assert_eq!(fma::<F16>(0x7c00, 0, ONE, relu), 0x7fff);
    }

    #[test]
    fn ftz_makes_subnormal_operands_and_results_zero() {
        let ftz = HalfMode { ftz: true, ..PLAIN };
        assert_eq!(add::<F16>(0x8001, 0x8001, ftz), 0x8000);
        assert_eq!(add::<F16>(0x8001, 0x8001, PLAIN), 0x8002);
        assert_eq!(mul::<F16>(0x0400, 0x3800, ftz), 0);
        assert_eq!(mul::<F16>(0x0400, 0x3800, PLAIN), 0x0200);
    }

    #[test]
    fn a_product_just_off_a_tie_is_not_rounded_twice() {
        // 2^8 + 1 in bf16's terms a tie, and a third operand far below that decides it.
        let (a, b) = (0x4380, 0x3f80);
        let tie = |c| fma::<Bf16>(0x3f81, 0x3f81, c, PLAIN);
        assert_eq!(fma::<Bf16>(a, b, 0x3f80, PLAIN), 0x4380, "tie to even");
        assert_eq!((tie(0x0001), tie(0x8001)), (0x3f82, 0x3f82));
        // (1 + 2^-4)(1 + 2^-4) = 1 + 2^-3 + 2^-8, a tie between two bf16.
        let square = |c| fma::<Bf16>(0x3f88, 0x3f88, c, PLAIN);
        assert_eq!((square(0x0001), square(0), square(0x8001)), (0x3f91, 0x3f90, 0x3f90));
    }

    #[test]
    fn both_halves_are_computed_apart() {
        let sum = pair([0x3c00_c000, 0x4000_3c00], |[a, b]| sub::<F16>(a, b, PLAIN));
        assert_eq!(sum, 0xbc00_c200);
    }
}

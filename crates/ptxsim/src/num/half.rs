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

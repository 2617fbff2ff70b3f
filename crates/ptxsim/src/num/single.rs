//! `.f32` arithmetic on raw bits, each operation rounded once; NaN results are `0x7fffffff`.
//!
//! Roundings other than to nearest go through `f64`: the exact result is rounded there "to odd" (an inexact result takes
//! the neighbour whose last bit is set), from where rounding to 24 bits is as from the exact result (Boldo and Melquiond,
//! "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).

use super::format::{F32, Format, encode};
use super::{Mode, Rounding};

/// A subnormal becomes zero with its sign (`.ftz`).
#[inline(always)]
pub const fn flush(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// Limits to `[0, 1]` (`.sat`); NaN, negative numbers and `-0` become `+0`.
#[inline(always)]
pub fn saturate(bits: u32) -> u32 {
    let value = f32::from_bits(bits);
    if value > 0.0 { value.min(1.0).to_bits() } else { 0 }
}

/// `value` rounded to `f32`.
#[inline(always)]
pub fn narrow(value: f64, rounding: Rounding) -> u32 {
    if rounding == Rounding::Nearest {
        return canonical(value as f32);
    }
    encode::<F32>(value, rounding, false)
}

#[inline(always)]
fn canonical(value: f32) -> u32 {
    if value.is_nan() { F32::NAN } else { value.to_bits() }
}

/// `x + y` rounded to odd.
///
/// Exact for sums and products of values of at most 32 bits, whose error an `f64` can hold.
#[inline(always)]
pub(super) fn sum_to_odd(x: f64, y: f64) -> f64 {
    let sum = x + y;
    let part = sum - x;
    let error = (x - (sum - part)) + (y - part);
    odd(sum, error)
}

/// The number of which `nearest` is the rounded value and `error` the rest, rounded to odd.
#[inline(always)]
fn odd(nearest: f64, error: f64) -> f64 {
    let bits = nearest.to_bits();
    if error == 0.0 || bits & 1 == 1 || !nearest.is_finite() {
        return nearest;
    }
    let outward = (error > 0.0) == (nearest > 0.0);
    f64::from_bits(if outward { bits + 1 } else { bits - 1 })
}

/// Applies `.ftz` to an operand.
#[inline(always)]
fn operand(bits: u32, mode: Mode) -> f32 {
    f32::from_bits(if mode.ftz { flush(bits) } else { bits })
}

/// Applies `.ftz` and `.sat` to a result.
#[inline(always)]
fn result(bits: u32, mode: Mode) -> u32 {
    let bits = if mode.ftz { flush(bits) } else { bits };
    if mode.sat { saturate(bits) } else { bits }
}

/// Rounds the sum of `x` and `y`, an exact zero of unlike signs included.
#[inline(always)]
fn sum(x: f64, y: f64, rounding: Rounding) -> u32 {
    let sum = sum_to_odd(x, y);
    if sum == 0.0 && rounding == Rounding::Down && x.is_sign_negative() != y.is_sign_negative() {
        return 0x8000_0000;
    }
    narrow(sum, rounding)
}

/// `add.f32`
#[inline(always)]
pub fn add(a: u32, b: u32, mode: Mode) -> u32 {
    let (a, b) = (operand(a, mode), operand(b, mode));
    let bits = match mode.rounding {
        Rounding::Nearest => canonical(a + b),
        rounding => sum(a as f64, b as f64, rounding),
    };
    result(bits, mode)
}

/// `sub.f32`
#[inline(always)]
pub fn sub(a: u32, b: u32, mode: Mode) -> u32 {
    add(a, b ^ 0x8000_0000, mode)
}

/// `mul.f32`
#[inline(always)]
pub fn mul(a: u32, b: u32, mode: Mode) -> u32 {
    let (a, b) = (operand(a, mode), operand(b, mode));
    let bits = match mode.rounding {
        Rounding::Nearest => canonical(a * b),
        rounding => narrow(a as f64 * b as f64, rounding),
    };
    result(bits, mode)
}

/// `fma.f32`, and `mad.f32` since `sm_20`
#[inline(always)]
pub fn fma(a: u32, b: u32, c: u32, mode: Mode) -> u32 {
    let (a, b, c) = (operand(a, mode), operand(b, mode), operand(c, mode));
    let bits = match mode.rounding {
        Rounding::Nearest => canonical(a.mul_add(b, c)),
        rounding => sum(a as f64 * b as f64, c as f64, rounding),
    };
    result(bits, mode)
}

/// `div.rn.f32` and the other roundings
#[inline(always)]
pub fn div(a: u32, b: u32, mode: Mode) -> u32 {
    let (a, b) = (operand(a, mode), operand(b, mode));
    let bits = match mode.rounding {
        Rounding::Nearest => canonical(a / b),
        rounding => {
            let (a, b) = (a as f64, b as f64);
            let quotient = a / b;
            // The rest of a division is an f64, so the fused multiply-add computes it exactly.
            let finite = quotient.is_finite() && b.is_finite();
            let rest = if finite { (-quotient).mul_add(b, a) } else { 0.0 };
            narrow(odd(quotient, if b < 0.0 { -rest } else { rest }), rounding)
        }
    };
    result(bits, mode)
}

/// `rcp.rn.f32` and the other roundings
#[inline(always)]
pub fn rcp(a: u32, mode: Mode) -> u32 {
    div(0x3f80_0000, a, mode)
}

/// `sqrt.rn.f32` and the other roundings
#[inline(always)]
pub fn sqrt(a: u32, mode: Mode) -> u32 {
    let a = operand(a, mode);
    let bits = match mode.rounding {
        Rounding::Nearest => canonical(a.sqrt()),
        rounding => {
            let a = a as f64;
            let root = a.sqrt();
            let rest = if root.is_finite() { (-root).mul_add(root, a) } else { 0.0 };
            narrow(odd(root, rest), rounding)
        }
    };
    result(bits, mode)
}

/// Applies an operation to both halves (`.f32x2`).
#[inline(always)]
pub fn pair<const N: usize>(operands: [u64; N], f: impl Fn([u32; N]) -> u32) -> u64 {
    let low = f(operands.map(|bits| bits as u32));
    let high = f(operands.map(|bits| (bits >> 32) as u32));
    (high as u64) << 32 | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: u32 = 0x0040_0000;

    #[test]
    fn ftz_flushes_operands_and_results_with_their_sign() {
        let ftz = Mode { ftz: true, ..Mode::default() };
        assert_eq!(add(TINY, TINY, Mode::default()), 0x0080_0000);
        assert_eq!(add(TINY | 1 << 31, 0x8000_0000, ftz), 0x8000_0000);
        assert_eq!(mul(0x8080_0000, 0.5f32.to_bits(), ftz), 0x8000_0000);
        assert_eq!(div(1f32.to_bits(), TINY | 1 << 31, ftz), f32::NEG_INFINITY.to_bits());
        assert_eq!(sqrt(TINY | 1 << 31, ftz), 0x8000_0000);
        assert_eq!(fma(0x0080_0000, 0.5f32.to_bits(), TINY, ftz), 0);
    }

    #[test]
    fn sat_limits_to_zero_and_one_and_takes_nan_for_zero() {
        let sat = Mode { sat: true, ..Mode::default() };
        let [one, minus, inf] = [1f32, -1.0, f32::INFINITY].map(f32::to_bits);
        assert_eq!(add(one, one, sat), one);
        assert_eq!(mul(minus, one, sat), 0);
        assert_eq!(mul(0x8000_0000, one, sat), 0);
        assert_eq!(sub(inf, inf, sat), 0);
        assert_eq!(fma(0.5f32.to_bits(), one, 0, sat), 0.5f32.to_bits());
    }

    #[test]
    fn an_exact_zero_of_unlike_signs_is_negative_only_when_rounding_down() {
        let one = 1f32.to_bits();
        let [nearest, down] = [Rounding::Nearest, Rounding::Down]
            .map(|rounding| Mode { rounding, ..Mode::default() });
        assert_eq!((sub(one, one, nearest), sub(one, one, down)), (0, 1 << 31));
        assert_eq!((add(0, 0, down), add(0, 1 << 31, down)), (0, 1 << 31));
        assert_eq!(fma(one, 1 << 31, 0, down), 1 << 31);
    }

    #[test]
    fn the_halves_of_f32x2_are_computed_apart() {
        let (a, b) = (0x3f80_0000_4000_0000, 0x4040_0000_bf80_0000);
        let sum = pair([a, b], |[a, b]| add(a, b, Mode::default()));
        assert_eq!(sum, 0x4080_0000_3f80_0000);
    }
}

//! `.f64` arithmetic on raw bits, each operation rounded once.
//!
//! A NaN result is the first operand that is NaN, made quiet; where none is, `0xfff8000000000000`. The PTX ISA settles
//! neither; both are what NVIDIA's own sources expect.

use super::Rounding;
use super::exact::Exact;

/// What an invalid operation gives.
pub const INDEFINITE: u64 = 0xfff8_0000_0000_0000;

#[inline(always)]
fn settle<const N: usize>(operands: [f64; N], result: f64) -> u64 {
    if !result.is_nan() {
        return result.to_bits();
    }
    let nan = operands.into_iter().find(|operand| operand.is_nan());
    nan.map_or(INDEFINITE, |nan| nan.to_bits() | 1 << 51)
}

/// Uses `exact` where a result that the processor rounds to nearest has to be rounded otherwise.
#[inline(always)]
fn rounded<const N: usize>(
    operands: [u64; N],
    rounding: Rounding,
    nearest: impl Fn([f64; N]) -> f64,
    exact: impl Fn([Exact; N]) -> Exact,
) -> u64 {
    let floats = operands.map(f64::from_bits);
    if rounding == Rounding::Nearest || floats.iter().any(|float| !float.is_finite()) {
        return settle(floats, nearest(floats));
    }
    exact(floats.map(Exact::from_f64)).to_f64(rounding).to_bits()
}

/// `add.f64`
#[inline(always)]
pub fn add(a: u64, b: u64, rounding: Rounding) -> u64 {
    rounded([a, b], rounding, |[a, b]| a + b, |[a, b]| a.add(b, rounding))
}

/// `sub.f64`
#[inline(always)]
pub fn sub(a: u64, b: u64, rounding: Rounding) -> u64 {
    let nan = f64::from_bits(b).is_nan();
    add(a, if nan { b } else { b ^ 1 << 63 }, rounding)
}

/// `mul.f64`
#[inline(always)]
pub fn mul(a: u64, b: u64, rounding: Rounding) -> u64 {
    rounded([a, b], rounding, |[a, b]| a * b, |[a, b]| a.multiply(b))
}

/// `fma.f64` and `mad.f64`
#[inline(always)]
pub fn fma(a: u64, b: u64, c: u64, rounding: Rounding) -> u64 {
    let exact = |[a, b, c]: [Exact; 3]| a.multiply(b).add(c, rounding);
    rounded([a, b, c], rounding, |[a, b, c]| a.mul_add(b, c), exact)
}

/// `div.f64`
#[inline(always)]
pub fn div(a: u64, b: u64, rounding: Rounding) -> u64 {
    let zero = (a << 1 == 0) || (b << 1 == 0);
    let rounding = if zero { Rounding::Nearest } else { rounding };
    rounded([a, b], rounding, |[a, b]| a / b, |[a, b]| a.divide(b))
}

/// `rcp.f64`
#[inline(always)]
pub fn rcp(a: u64, rounding: Rounding) -> u64 {
    div(1.0f64.to_bits(), a, rounding)
}

/// `sqrt.f64`
#[inline(always)]
pub fn sqrt(a: u64, rounding: Rounding) -> u64 {
    let rounding = if f64::from_bits(a) > 0.0 { rounding } else { Rounding::Nearest };
    rounded([a], rounding, |[a]| a.sqrt(), |[a]| a.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_the_first_operands_made_quiet_or_the_indefinite_one() {
        let (signalling, other) = (0xfff0_0000_0000_0001, 0x7ff8_0000_0000_0002);
        let (one, inf) = (1f64.to_bits(), f64::INFINITY.to_bits());
        for rounding in [Rounding::Nearest, Rounding::Down] {
            assert_eq!(add(signalling, other, rounding), 0xfff8_0000_0000_0001);
            assert_eq!(sub(one, other, rounding), other);
            assert_eq!(fma(one, other, signalling, rounding), other);
            assert_eq!(sub(inf, inf, rounding), INDEFINITE);
            assert_eq!(div(0, 1 << 63, rounding), INDEFINITE);
            assert_eq!(sqrt((-1f64).to_bits(), rounding), INDEFINITE);
        }
    }

    #[test]
    fn zeros_and_infinities_do_not_depend_on_the_rounding() {
        for rounding in [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up] {
            assert_eq!(div((-1f64).to_bits(), 0, rounding), f64::NEG_INFINITY.to_bits());
            assert_eq!(rcp(f64::NEG_INFINITY.to_bits(), rounding), 1 << 63);
            assert_eq!(mul(1 << 63, 1f64.to_bits(), rounding), 1 << 63);
            assert_eq!(sqrt(1 << 63, rounding), 1 << 63);
        }
    }
}

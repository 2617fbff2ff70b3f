//! `min` and `max` of floats on raw bits.

use super::double::INDEFINITE;
use super::format::Format;

/// Modifiers of `min` and `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Select {
    /// `max` rather than `min`.
    pub max: bool,
    /// `.ftz`: subnormal operands are zero with their sign.
    pub ftz: bool,
    /// `.NaN`: the canonical NaN where any operand is NaN, not only where all are.
    pub nan: bool,
    /// `.abs`: magnitudes are compared and returned.
    pub abs: bool,
    /// `.xorsign` (with `.abs`): a result that is not NaN has the exclusive or of the operands' signs.
    pub xorsign: bool,
}

/// `min` or `max` of two floats of at most 32 bits; `-0` is less than `+0`.
#[inline(always)]
pub fn select<F: Format>(a: u32, b: u32, modifiers: Select) -> u32 {
    let flush = |bits: u32| {
        let subnormal = bits & (F::SIGN - (1 << F::MANTISSA)) == 0;
        if modifiers.ftz && subnormal { bits & F::SIGN } else { bits }
    };
    let (a, b) = (flush(a), flush(b));
    let sign = (a ^ b) & F::SIGN;
    let mask = if modifiers.abs { F::SIGN - 1 } else { u32::MAX };
    let (a, b) = (a & mask, b & mask);
    let (nan_a, nan_b) = (is_nan::<F>(a), is_nan::<F>(b));
    if nan_a && nan_b || modifiers.nan && (nan_a || nan_b) {
        return F::NAN;
    }
    let first =
        if nan_a || nan_b { nan_b } else { (order::<F>(a) >= order::<F>(b)) == modifiers.max };
    let picked = if first { a } else { b };
    if modifiers.xorsign { picked & (F::SIGN - 1) | sign } else { picked }
}

/// `min` or `max` of three.
#[inline(always)]
pub fn select3<F: Format>(a: u32, b: u32, c: u32, modifiers: Select) -> u32 {
    select::<F>(select::<F>(a, b, modifiers), c, modifiers)
}

/// `min.f64` or `max.f64`; of two NaN the first, made quiet.
#[inline(always)]
pub fn select_f64(a: u64, b: u64, max: bool) -> u64 {
    match (f64::from_bits(a).is_nan(), f64::from_bits(b).is_nan()) {
        (true, true) => a | INDEFINITE & !(1 << 63),
        (true, false) => b,
        (false, true) => a,
        (false, false) => {
            let order = |bits: u64| (bits as i64) ^ ((bits as i64 >> 63) as u64 >> 1) as i64;
            if (order(a) >= order(b)) == max { a } else { b }
        }
    }
}

#[inline(always)]
fn is_nan<F: Format>(bits: u32) -> bool {
    bits & (F::SIGN - 1) > F::MAX + 1
}

/// An integer that is ordered as the numbers are.
#[inline(always)]
fn order<F: Format>(bits: u32) -> i32 {
    let magnitude = (bits & (F::SIGN - 1)) as i32;
    if bits & F::SIGN != 0 { !magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::super::format::{Bf16, F16, F32, decode};
    use super::*;

    const SPECIAL: [u32; 12] = [
        0,
        0x8000_0000,
        1,
        0x8000_0001,
        0x3f80_0000,
        0xbf80_0000,
        0x7f7f_ffff,
        0xff7f_ffff,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0001,
        0xffc0_0000,
    ];

    /// The PTX ISA's semantics, in its order of cases.
    fn define(a: u32, b: u32, max: bool) -> u32 {
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        match (x.is_nan(), y.is_nan()) {
            (true, true) => F32::NAN,
            (true, false) => b,
            (false, true) => a,
            _ if x == y && x == 0.0 => {
                if max {
                    a & b
                } else {
                    a | b
                }
            }
            _ => {
                if (x > y) == max {
                    a
                } else {
                    b
                }
            }
        }
    }

    #[test]
    fn the_number_wins_over_nan_and_negative_zero_is_less_than_zero() {
        for a in SPECIAL {
            for b in SPECIAL {
                for max in [false, true] {
                    let found = select::<F32>(a, b, Select { max, ..Select::default() });
                    assert_eq!(found, define(a, b, max), "{a:x} {b:x} {max}");
                    let (wide_a, wide_b) = (f32::from_bits(a) as f64, f32::from_bits(b) as f64);
                    let wide = f64::from_bits(select_f64(wide_a.to_bits(), wide_b.to_bits(), max));
                    let narrow = f32::from_bits(found);
                    assert!(
                        wide.is_nan() && narrow.is_nan()
                            || wide.to_bits() == (narrow as f64).to_bits()
                    );
                }
            }
        }
    }

    #[test]
    fn the_nan_modifier_gives_the_canonical_nan_for_any() {
        let modifiers = Select { nan: true, max: true, ..Select::default() };
        assert_eq!(select::<F32>(0x7fc0_0001, 0x3f80_0000, modifiers), 0x7fff_ffff);
        assert_eq!(select::<F16>(0x3c00, 0xfe01, modifiers), 0x7fff);
        assert_eq!(select3::<F32>(1, 2, 0xff80_0001, modifiers), 0x7fff_ffff);
        let plain = Select { max: true, ..Select::default() };
        assert_eq!(select3::<F32>(0x7fff_ffff, 0x7fff_ffff, 3, plain), 3);
    }

    #[test]
    fn xorsign_takes_the_signs_before_the_magnitudes_are_compared() {
        let modifiers = Select { max: true, abs: true, xorsign: true, ..Select::default() };
        let (minus_two, one) = ((-2f32).to_bits(), 1f32.to_bits());
        assert_eq!(select::<F32>(minus_two, one, modifiers), (-2f32).to_bits());
        assert_eq!(select::<F32>(minus_two, (-1f32).to_bits(), modifiers), 2f32.to_bits());
        let min = Select { max: false, ..modifiers };
        assert_eq!(select::<F32>(minus_two, one, min), (-1f32).to_bits());
        // A NaN operand's sign counts, a NaN result's does not.
        assert_eq!(select::<F32>(0xffc0_0000, one, min), (-1f32).to_bits());
        assert_eq!(select::<F32>(0xffc0_0000, 0xffc0_0000, min), 0x7fff_ffff);
    }

    #[test]
    fn subnormals_are_zero_with_ftz_only() {
        let plain = Select { max: true, ..Select::default() };
        let ftz = Select { ftz: true, ..plain };
        assert_eq!(select::<F32>(5, 3, plain), 5);
        assert_eq!(select::<F32>(5, 0x8000_0003, ftz), 0);
        assert_eq!(select::<F16>(0x3ff, 0x8001, ftz), 0);
        assert_eq!(select::<F16>(0x3ff, 0x400, ftz), 0x400);
    }

    #[test]
    fn every_pair_of_f16_with_some_others_is_ordered_by_value() {
        let plain = Select { max: true, ..Select::default() };
        for a in 0..1 << 16 {
            for b in [0, 0x8000, 0x3c00, 0xc123, 0x7bff, 0x0001] {
                for (found, x, y) in [
                    (decode::<F16>(select::<F16>(a, b, plain)), decode::<F16>(a), decode::<F16>(b)),
                    (
                        decode::<Bf16>(select::<Bf16>(a, b, plain)),
                        decode::<Bf16>(a),
                        decode::<Bf16>(b),
                    ),
                ] {
                    assert_eq!(found, x.max(y));
                }
            }
        }
    }
}

//! Number formats of at most 32 bits: exact to `f64`, and back with any rounding.

use super::Rounding;

/// What the largest exponents mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// An exponent of all ones is infinity or NaN, as in IEEE 754.
    Ieee,
    /// No infinity; only all ones is NaN (`e4m3`).
    NanOnly,
    /// Every pattern is a number.
    None,
}

/// A format with one sign bit, `EXPONENT` bits of exponent and `MANTISSA` bits of mantissa, right-aligned in a `u32`.
pub trait Format {
    /// Bits of the exponent; its bias is `2^(EXPONENT - 1) - 1`.
    const EXPONENT: u32;
    /// Bits of the mantissa, without the implicit one.
    const MANTISSA: u32;
    /// What the largest exponents mean.
    const SPECIALS: Specials;
    /// What a NaN is converted to. Formats without NaN take their largest number, as the PTX ISA asks.
    const NAN: u32;

    /// Bias of the exponent.
    const BIAS: i32 = (1 << (Self::EXPONENT - 1)) - 1;
    /// The sign bit.
    const SIGN: u32 = 1 << (Self::EXPONENT + Self::MANTISSA);
    /// The largest finite number.
    const MAX: u32 = match Self::SPECIALS {
        Specials::Ieee => (((1 << Self::EXPONENT) - 1) << Self::MANTISSA) - 1,
        Specials::NanOnly => Self::SIGN - 2,
        Specials::None => Self::SIGN - 1,
    };
}

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident $exponent:literal $mantissa:literal $specials:ident $nan:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;
        impl Format for $name {
            const EXPONENT: u32 = $exponent;
            const MANTISSA: u32 = $mantissa;
            const SPECIALS: Specials = Specials::$specials;
            const NAN: u32 = $nan;
        }
    )*};
}

formats! {
    /// `.f16`
    F16 5 10 Ieee 0x7fff;
    /// `.bf16`
    Bf16 8 7 Ieee 0x7fff;
    /// `.f32`
    F32 8 23 Ieee 0x7fff_ffff;
    /// `.tf32` without the 13 bits that a register holds below it; see [`super::convert::f32_to_tf32`].
    Tf32 8 10 Ieee 0x3ffff;
    /// `.e4m3`
    E4m3 4 3 NanOnly 0x7f;
    /// `.e5m2`. The PTX ISA names no canonical NaN; all ones is what it is in every other format.
    E5m2 5 2 Ieee 0x7f;
    /// `.e2m3`
    E2m3 2 3 None 0x1f;
    /// `.e3m2`
    E3m2 3 2 None 0x1f;
    /// `.e2m1`
    E2m1 2 1 None 0x7;
}

/// The value of `bits`, exactly; a NaN keeps its sign and payload and becomes quiet. Bits above the format are ignored.
#[inline(always)]
pub fn decode<F: Format>(bits: u32) -> f64 {
    if F::EXPONENT == 8 {
        return f32::from_bits(bits << (23 - F::MANTISSA)) as f64;
    }
    let sign = ((bits & F::SIGN) as u64) << (63 - F::EXPONENT - F::MANTISSA);
    let exponent = bits >> F::MANTISSA & ((1 << F::EXPONENT) - 1);
    let mantissa = bits & ((1 << F::MANTISSA) - 1);
    let fraction = (mantissa as u64) << (52 - F::MANTISSA);
    let magnitude = bits & (F::SIGN - 1);
    if F::SPECIALS != Specials::None && magnitude > F::MAX {
        let infinite = F::SPECIALS == Specials::Ieee && mantissa == 0;
        let quiet = if infinite { 0 } else { 1 << 51 };
        return f64::from_bits(sign | 0x7ff << 52 | fraction | quiet);
    }
    if exponent == 0 {
        let unit = ((1024 - F::BIAS - F::MANTISSA as i32) as u64) << 52;
        return f64::from_bits((mantissa as f64 * f64::from_bits(unit)).to_bits() | sign);
    }
    f64::from_bits(sign | ((exponent as i32 + 1023 - F::BIAS) as u64) << 52 | fraction)
}

/// `value` in format `F`, rounded once, subnormals included; NaN becomes [`Format::NAN`].
///
/// A value out of range becomes infinity or the largest number as IEEE 754 says for `rounding`; with `satfinite`, and in
/// formats without infinity, always the largest number, infinities included.
#[inline(always)]
pub fn encode<F: Format>(value: f64, rounding: Rounding, satfinite: bool) -> u32 {
    let bits = value.to_bits();
    let (negative, magnitude) = (bits >> 63 == 1, bits & (u64::MAX >> 1));
    if value.is_nan() {
        return F::NAN;
    }
    let sign = if negative { F::SIGN } else { 0 };
    let infinity = F::SPECIALS == Specials::Ieee && !satfinite;
    if value.is_infinite() {
        return sign | (F::MAX + infinity as u32);
    }
    // value = significand · 2^(exponent - 52). A subnormal f64 is far below every format's least number.
    let exponent = (magnitude >> 52) as i32 - 1023;
    let significand = magnitude & ((1 << 52) - 1) | ((exponent > -1023) as u64) << 52;
    let above = exponent - (1 - F::BIAS);
    let shift = (52 - F::MANTISSA as i32 - above.min(0)).min(63);
    let (kept, rest) = (significand >> shift, significand & ((1 << shift) - 1));
    let up = rounding.up(negative, kept & 1 == 1, rest, 1 << (shift - 1));
    // The implicit one in `kept` adds 1 to the exponent, and so does a carry out of the mantissa.
    let rounded = ((above.max(0) as u64) << F::MANTISSA) + kept + up as u64;
    if rounded > F::MAX as u64 {
        return sign | (F::MAX + (infinity && rounding.overflows(negative)) as u32);
    }
    sign | rounded as u32
}

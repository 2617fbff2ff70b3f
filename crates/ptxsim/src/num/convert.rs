//! `cvt` between floats.
//!
//! Every float is widened to `f64` exactly and rounded once from there. What NaN becomes: `0x7fff` in `.f16` and `.bf16`,
//! `0x7fffffff` in `.f32` and `.tf32`; `.f64` from `.f32` keeps sign and payload. `.f32` from `.bf16` keeps the bits as they
//! are (the PTX ISA leaves that NaN open). `.relu` and `.sat` turn `-0` into `+0`.

use super::format::{Bf16, F16, F32, Format, Tf32, decode, encode};
use super::{Rounding, single};

/// `.f16` to `.f32`, exactly.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> u32 {
    // 2^112 rebases the exponent from 15 to 127 and normalizes subnormals; infinity and NaN get an exponent of all ones.
    let magnitude = (bits as u32 & 0x7fff) << 13;
    let sign = (bits as u32 & 0x8000) << 16;
    let scaled = (f32::from_bits(magnitude) * f32::from_bits((112 + 127) << 23)).to_bits();
    if magnitude > 0x0f80_0000 {
        return F32::NAN;
    }
    sign | if magnitude == 0x0f80_0000 { 0x7f80_0000 } else { scaled }
}

/// `.bf16` to `.f32`, exactly.
#[inline(always)]
pub const fn bf16_to_f32(bits: u16) -> u32 {
    (bits as u32) << 16
}

/// `.f32` to `.f16` (`cvt.rn.f16.f32` and other roundings).
#[inline(always)]
pub fn f32_to_f16(bits: u32, rounding: Rounding) -> u16 {
    let (sign, magnitude) = ((bits >> 16) as u16 & 0x8000, bits & 0x7fff_ffff);
    if rounding == Rounding::Nearest && magnitude < 0x477f_f000 {
        // Normal results: ties to even by adding just under half, and the last bit that stays.
        if magnitude >= 0x3880_0000 {
            return sign | ((magnitude + 0xfff + (magnitude >> 13 & 1) - 0x3800_0000) >> 13) as u16;
        }
        // Subnormal results: adding 0.5, whose last bit is 2^-24, rounds to multiples of 2^-24.
        return sign | ((f32::from_bits(magnitude) + 0.5).to_bits() - 0x3f00_0000) as u16;
    }
    encode::<F16>(f32::from_bits(bits) as f64, rounding, false) as u16
}

/// `.f32` to `.bf16`.
#[inline(always)]
pub fn f32_to_bf16(bits: u32, rounding: Rounding) -> u16 {
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return Bf16::NAN as u16;
    }
    if rounding == Rounding::Nearest {
        // A carry out of the mantissa goes into the exponent, up to infinity.
        return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    }
    encode::<Bf16>(f32::from_bits(bits) as f64, rounding, false) as u16
}

/// `.f32` to `.tf32`, as a 32-bit register holds it: the lower 13 bits are zero, except in NaN (`0x7fffffff`).
#[inline(always)]
pub fn f32_to_tf32(bits: u32, rounding: Rounding, satfinite: bool) -> u32 {
    match encode::<Tf32>(f32::from_bits(bits) as f64, rounding, satfinite) {
        Tf32::NAN => F32::NAN,
        tf32 => tf32 << 13,
    }
}

/// `.f64` to `.f32`.
#[inline(always)]
pub fn f64_to_f32(bits: u64, rounding: Rounding) -> u32 {
    single::narrow(f64::from_bits(bits), rounding)
}

/// `.f32` to `.f64`, exactly; a NaN becomes quiet.
#[inline(always)]
pub fn f32_to_f64(bits: u32) -> u64 {
    (f32::from_bits(bits) as f64).to_bits()
}

/// A type of `cvt` that is a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Float {
    /// `.f16`
    F16,
    /// `.bf16`
    Bf16,
    /// `.tf32`, as destination only.
    Tf32,
    /// `.f32`
    F32,
    /// `.f64`
    F64,
}

/// The modifiers of `cvt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modifiers {
    /// `.rn` … of a conversion that loses precision.
    pub rounding: Rounding,
    /// `.rni` …: the result is an integer.
    pub integral: Option<Rounding>,
    /// `.ftz`: subnormal `.f32` operands and results are zero.
    pub ftz: bool,
    /// `.sat`: to `[0, 1]`, NaN to `+0`.
    pub sat: bool,
    /// `.relu`: negative results and `-0` are `+0`.
    pub relu: bool,
    /// `.satfinite`: what is too large, infinity included, is the largest number.
    pub satfinite: bool,
}

impl Float {
    /// The value, exactly.
    #[inline(always)]
    pub fn widen(self, bits: u64) -> f64 {
        match self {
            Float::F16 => decode::<F16>(bits as u32),
            Float::Bf16 => decode::<Bf16>(bits as u32),
            Float::Tf32 | Float::F32 => f32::from_bits(bits as u32) as f64,
            Float::F64 => f64::from_bits(bits),
        }
    }

    /// `value` rounded once to this type.
    #[inline(always)]
    pub fn narrow(self, value: f64, rounding: Rounding, satfinite: bool) -> u64 {
        match self {
            Float::F16 => encode::<F16>(value, rounding, satfinite) as u64,
            Float::Bf16 => encode::<Bf16>(value, rounding, satfinite) as u64,
            Float::Tf32 => match encode::<Tf32>(value, rounding, satfinite) {
                Tf32::NAN => F32::NAN as u64,
                tf32 => (tf32 as u64) << 13,
            },
            Float::F32 if satfinite => encode::<F32>(value, rounding, true) as u64,
            Float::F32 => single::narrow(value, rounding) as u64,
            Float::F64 => value.to_bits(),
        }
    }

    /// `cvt` from this type to `to`.
    ///
    /// Between equal types without an integer rounding nothing is rounded; `.ftz`, `.sat` and `.relu` still apply.
    #[inline(always)]
    pub fn convert(self, to: Float, bits: u64, modifiers: Modifiers) -> u64 {
        let bits = match self {
            Float::F32 if modifiers.ftz => single::flush(bits as u32) as u64,
            _ => bits,
        };
        let plain = modifiers.integral.is_none() && !modifiers.sat && !modifiers.ftz;
        if self == Float::Bf16 && to == Float::F32 && plain {
            return bf16_to_f32(bits as u16) as u64;
        }
        let mut value = self.widen(bits);
        if let Some(rounding) = modifiers.integral {
            value = to_integral(value, rounding);
        }
        if modifiers.sat {
            // NaN fails the comparison too.
            value = if value > 0.0 { value.min(1.0) } else { 0.0 };
        } else if modifiers.relu && value <= 0.0 {
            value = 0.0;
        } else if self == to && modifiers.integral.is_none() && !modifiers.relu {
            return bits;
        }
        let result = to.narrow(value, modifiers.rounding, modifiers.satfinite);
        match to {
            Float::F32 if modifiers.ftz => single::flush(result as u32) as u64,
            _ => result,
        }
    }
}

/// `value` rounded to an integer; a zero keeps the sign of `value`.
#[inline(always)]
pub fn to_integral(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::NearestAway => value.round(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Rounding::*;

    #[test]
    fn a_float_rounded_to_an_integer_keeps_its_type_and_sign() {
        let modifiers = |rounding| Modifiers { integral: Some(rounding), ..Modifiers::default() };
        let single = |value: f32, rounding| {
            f32::from_bits(Float::F32.convert(
                Float::F32,
                value.to_bits() as u64,
                modifiers(rounding),
            ) as u32)
        };
        assert_eq!(single(-0.25, Nearest).to_bits(), (-0f32).to_bits());
        assert_eq!(single(-1.5, Up), -1.0);
        assert_eq!(single(1e30, Zero), 1e30);
        assert_eq!(single(f32::NAN, Zero).to_bits(), 0x7fff_ffff);
        assert_eq!(Float::F16.convert(Float::F16, 0x3e00, modifiers(Nearest)), 0x4000);
    }

    #[test]
    fn sat_relu_and_satfinite_limit_what_they_name() {
        let convert = |to: Float, value: f32, modifiers| {
            Float::F32.convert(to, value.to_bits() as u64, modifiers)
        };
        let sat = Modifiers { sat: true, ..Modifiers::default() };
        let relu = Modifiers { relu: true, ..Modifiers::default() };
        let finite = Modifiers { satfinite: true, ..Modifiers::default() };
        for (value, saturated) in [(-0.0, 0), (2.0, 0x3c00), (f32::NAN, 0), (0.5, 0x3800)] {
            assert_eq!(convert(Float::F16, value, sat), saturated);
        }
        assert_eq!(convert(Float::F32, 7.0, sat) as u32, 1f32.to_bits());
        assert_eq!(convert(Float::Bf16, -1.0, relu), 0);
        assert_eq!(convert(Float::Bf16, f32::NAN, relu), 0x7fff);
        assert_eq!(convert(Float::F16, f32::NEG_INFINITY, finite), 0xfbff);
        assert_eq!(convert(Float::Bf16, f32::MAX, finite), 0x7f7f);
        assert_eq!(convert(Float::Tf32, f32::INFINITY, finite), 0x7f7f_e000);
        assert_eq!(convert(Float::Tf32, f32::NAN, finite), 0x7fff_ffff);
    }

    #[test]
    fn ftz_makes_subnormal_f32_zero_on_either_side() {
        let ftz = Modifiers { ftz: true, ..Modifiers::default() };
        assert_eq!(Float::F32.convert(Float::F64, 0x8000_0001, ftz), 1 << 63);
        assert_eq!(Float::F64.convert(Float::F32, 1e-40f64.to_bits(), ftz), 0);
        assert_eq!(Float::Bf16.convert(Float::F32, 0x8001, ftz), 0x8000_0000);
        assert_eq!(Float::Bf16.convert(Float::F32, 0xff81, Modifiers::default()), 0xff81_0000);
    }
}

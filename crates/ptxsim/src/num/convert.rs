//! `cvt`: between floats, between floats and integers, and between integers.
//!
//! Every float is widened to `f64` exactly and rounded once from there. What NaN becomes: `0x7fff` in `.f16` and `.bf16`,
//! `0x7fffffff` in `.f32` and `.tf32`; `.f64` from `.f32` keeps sign and payload. `.f32` from `.bf16` keeps the bits as they
//! are (the PTX ISA leaves that NaN open). `.relu` and `.sat` turn `-0` into `+0`.

use super::exact::Exact;
use super::format::{Bf16, F16, F32, Format, Tf32, decode, encode};
use super::{Rounding, single};

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integer {
    /// 8, 16, 32 or 64.
    pub bits: u32,
    /// Whether it is signed.
    pub signed: bool,
}

impl Integer {
    /// The least and the largest value.
    pub const fn range(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// The lowest bits of `bits` as a number.
    #[inline(always)]
    pub const fn value(self, bits: u64) -> i128 {
        let shift = 64 - self.bits;
        if self.signed {
            (((bits << shift) as i64) >> shift) as i128
        } else {
            ((bits << shift) >> shift) as i128
        }
    }

    /// `value` clamped to the range (`cvt.sat`), in two's complement and sign- or zero-extended to 64 bits.
    #[inline(always)]
    pub fn saturate(self, value: i128) -> u64 {
        let (least, most) = self.range();
        value.clamp(least, most) as u64
    }

    /// The lowest bits of `value`, sign- or zero-extended to 64 bits: `cvt` without `.sat`.
    #[inline(always)]
    pub const fn wrap(self, value: i128) -> u64 {
        self.value(value as u64) as u64
    }
}

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

    /// `cvt` from an integer.
    #[inline(always)]
    pub fn from_integer(self, value: i128, rounding: Rounding) -> u64 {
        let float = value as i64 as f64;
        if value.unsigned_abs() <= 1 << 53 {
            return self.narrow(float, rounding, false);
        }
        let exact = Exact::from_integer(value);
        match self {
            Float::F16 => exact.round(5, 10, rounding),
            Float::Bf16 => exact.round(8, 7, rounding),
            Float::Tf32 => exact.round(8, 10, rounding) << 13,
            Float::F32 => exact.round(8, 23, rounding),
            Float::F64 => exact.round(11, 52, rounding),
        }
    }

    /// `cvt` to an integer, clamped to its range, sign- or zero-extended to 64 bits.
    ///
    /// NaN becomes 0, but `1 << (width - 1)` where the source is `.f64` or the destination has 64 bits.
    #[inline(always)]
    pub fn to_integer(self, to: Integer, bits: u64, rounding: Rounding, ftz: bool) -> u64 {
        let bits = match self {
            Float::F32 if ftz => single::flush(bits as u32) as u64,
            _ => bits,
        };
        let value = self.widen(bits);
        if value.is_nan() {
            return if self == Float::F64 || to.bits == 64 {
                to.wrap(1 << (to.bits - 1))
            } else {
                0
            };
        }
        let value = to_integral(value, rounding);
        if to.signed {
            // Casts of Rust clamp; 64 bits hold both ends of every signed type.
            to.saturate(value as i64 as i128)
        } else {
            to.saturate(value as u64 as i128)
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
    use proptest::prelude::*;

    const fn all(signed: bool) -> [Integer; 4] {
        [
            Integer { bits: 8, signed },
            Integer { bits: 16, signed },
            Integer { bits: 32, signed },
            Integer { bits: 64, signed },
        ]
    }

    /// Of 8, 16, 32 and 64 bits.
    const S: [Integer; 4] = all(true);
    const U: [Integer; 4] = all(false);

    #[test]
    fn nan_becomes_zero_or_the_highest_bit() {
        let nan = f64::NAN.to_bits();
        let single = f32::NAN.to_bits() as u64;
        for (to, from_double, from_single) in [
            (S[0], -128i64, 0),
            (U[0], 128, 0),
            (S[2], i32::MIN as i64, 0),
            (U[2], 1 << 31, 0),
            (S[3], i64::MIN, i64::MIN),
            (U[3], i64::MIN, i64::MIN),
        ] {
            assert_eq!(Float::F64.to_integer(to, nan, Zero, false) as i64, from_double, "{to:?}");
            assert_eq!(
                Float::F32.to_integer(to, single, Zero, false) as i64,
                from_single,
                "{to:?}"
            );
            assert_eq!(Float::F16.to_integer(to, 0x7fff, Zero, false) as i64, from_single);
        }
    }

    #[test]
    fn floats_clamp_to_the_range_of_every_integer_type() {
        for to in S.into_iter().chain(U) {
            let (least, most) = to.range();
            for huge in [f64::INFINITY, 1e300, 1.9e19] {
                assert_eq!(Float::F64.to_integer(to, huge.to_bits(), Nearest, false), most as u64);
                assert_eq!(
                    Float::F64.to_integer(to, (-huge).to_bits(), Nearest, false),
                    least as u64
                );
            }
        }
    }

    #[test]
    fn integer_roundings_differ_at_halves_as_named() {
        let round = |value: f32, rounding| {
            Float::F32.to_integer(S[2], value.to_bits() as u64, rounding, false) as i32
        };
        for (value, results) in [
            (2.5, [2, 2, 2, 3]),
            (3.5, [4, 3, 3, 4]),
            (-2.5, [-2, -2, -3, -2]),
            (-0.5, [0, 0, -1, 0]),
            (1e-40, [0, 0, 0, 1]),
        ] {
            assert_eq!(
                [Nearest, Zero, Down, Up].map(|rounding| round(value, rounding)),
                results,
                "{value}"
            );
        }
        assert_eq!(Float::F32.to_integer(S[2], 1, Up, true), 0, "ftz");
    }

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
    fn saturation_of_integers_clamps_and_wrapping_cuts() {
        assert_eq!(S[0].saturate(300), 127);
        assert_eq!(U[0].saturate(-5), 0);
        assert_eq!(U[3].saturate(-5), 0);
        assert_eq!(S[3].saturate(u64::MAX as i128), i64::MAX as u64);
        assert_eq!(S[0].wrap(200) as i64, -56);
        assert_eq!(U[1].wrap(-1), 0xffff);
        assert_eq!(S[2].value(0xffff_ffff_8000_0000), i32::MIN as i128);
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

    proptest! {
        #[test]
        fn integers_become_floats_as_rust_casts_them(value in any::<i64>(), shift in 0..64u32) {
            let value = value >> shift;
            prop_assert_eq!(Float::F32.from_integer(value as i128, Nearest) as u32, (value as f32).to_bits());
            prop_assert_eq!(Float::F64.from_integer(value as i128, Nearest), (value as f64).to_bits());
            let unsigned = value as u64;
            prop_assert_eq!(Float::F32.from_integer(unsigned as i128, Nearest) as u32, (unsigned as f32).to_bits());
            prop_assert_eq!(Float::F64.from_integer(unsigned as i128, Nearest), (unsigned as f64).to_bits());
        }

        #[test]
        fn directed_floats_of_integers_are_the_next_on_that_side(value in any::<i64>(), shift in 0..64u32) {
            let value = (value >> shift) as i128;
            for to in [Float::F16, Float::Bf16, Float::F32, Float::F64] {
                let [zero, down, up] = [Zero, Down, Up].map(|r| to.widen(to.from_integer(value, r)));
                // Every finite value of these types is an i128 here.
                prop_assert!(down == f64::NEG_INFINITY || down as i128 <= value);
                prop_assert!(up == f64::INFINITY || up as i128 >= value);
                prop_assert_eq!(zero, if value < 0 { up } else { down });
                let nearest = to.widen(to.from_integer(value, Nearest));
                prop_assert!(nearest == up || nearest == down);
            }
        }

        #[test]
        fn floats_become_integers_as_rust_casts_them(bits in any::<u32>(), double in any::<f64>()) {
            let value = f32::from_bits(bits);
            if !value.is_nan() {
                let to = |to| Float::F32.to_integer(to, bits as u64, Zero, false);
                prop_assert_eq!(to(S[0]), value as i8 as u64);
                prop_assert_eq!(to(U[1]), value as u16 as u64);
                prop_assert_eq!(to(S[2]), value as i32 as u64);
                prop_assert_eq!(to(U[2]), value as u32 as u64);
                prop_assert_eq!(to(U[3]), value as u64);
            }
            let floor = Float::F64.to_integer(S[3], double.to_bits(), Down, false);
            prop_assert_eq!(floor, double.floor() as i64 as u64);
        }
    }
}

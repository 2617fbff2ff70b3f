//! `cvt` between integers, and between integers and floats.

use super::convert::{Float, to_integral};
use super::exact::Exact;
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

impl Float {
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
    fn saturation_of_integers_clamps_and_wrapping_cuts() {
        assert_eq!(S[0].saturate(300), 127);
        assert_eq!(U[0].saturate(-5), 0);
        assert_eq!(U[3].saturate(-5), 0);
        assert_eq!(S[3].saturate(u64::MAX as i128), i64::MAX as u64);
        assert_eq!(S[0].wrap(200) as i64, -56);
        assert_eq!(U[1].wrap(-1), 0xffff);
        assert_eq!(S[2].value(0xffff_ffff_8000_0000), i32::MIN as i128);
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

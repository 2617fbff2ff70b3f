//! `cvt` of two values at once to and from floats of 8 bits and fewer.
//!
//! These conversions round to nearest even and saturate; NaN becomes `0x7f` in `.e4m3` and `.e5m2`, the largest number in the
//! formats without NaN, and `0x7fff` on the way back. Not offered, for the PTX ISA leaves bits open: `.rs` and `.s2f6x2`.

use super::Rounding;
use super::format::{E2m1, E2m3, E3m2, E4m3, E5m2, F16, decode, encode};

/// A format of which a register holds two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Narrow {
    /// `.e4m3x2`
    E4m3,
    /// `.e5m2x2`
    E5m2,
    /// `.e2m3x2`, each in the lower 6 bits of a byte
    E2m3,
    /// `.e3m2x2`, each in the lower 6 bits of a byte
    E3m2,
    /// `.e2m1x2`, in a byte together
    E2m1,
}

impl Narrow {
    /// The format with this modifier, or `None`.
    pub fn parse(modifier: &str) -> Option<Narrow> {
        Some(match modifier {
            "e4m3x2" => Narrow::E4m3,
            "e5m2x2" => Narrow::E5m2,
            "e2m3x2" => Narrow::E2m3,
            "e3m2x2" => Narrow::E3m2,
            "e2m1x2" => Narrow::E2m1,
            _ => return None,
        })
    }

    /// Distance in bits of the two elements.
    pub const fn stride(self) -> u32 {
        if matches!(self, Narrow::E2m1) { 4 } else { 8 }
    }

    /// One element.
    #[inline(always)]
    pub fn encode(self, value: f64, relu: bool) -> u16 {
        let value = if relu && value <= 0.0 { 0.0 } else { value };
        let bits = match self {
            Narrow::E4m3 => encode::<E4m3>(value, Rounding::Nearest, true),
            Narrow::E5m2 => encode::<E5m2>(value, Rounding::Nearest, true),
            Narrow::E2m3 => encode::<E2m3>(value, Rounding::Nearest, true),
            Narrow::E3m2 => encode::<E3m2>(value, Rounding::Nearest, true),
            Narrow::E2m1 => encode::<E2m1>(value, Rounding::Nearest, true),
        };
        bits as u16
    }

    /// The value of the lowest element.
    #[inline(always)]
    pub fn decode(self, bits: u16) -> f64 {
        match self {
            Narrow::E4m3 => decode::<E4m3>(bits as u32 & 0xff),
            Narrow::E5m2 => decode::<E5m2>(bits as u32 & 0xff),
            Narrow::E2m3 => decode::<E2m3>(bits as u32 & 0x3f),
            Narrow::E3m2 => decode::<E3m2>(bits as u32 & 0x3f),
            Narrow::E2m1 => decode::<E2m1>(bits as u32 & 0xf),
        }
    }

    /// `cvt.rn.satfinite{.relu}`: `high` (operand `a`) into the upper part, `low` (operand `b`) into the lower.
    #[inline(always)]
    pub fn pack(self, high: f64, low: f64, relu: bool) -> u16 {
        self.encode(high, relu) << self.stride() | self.encode(low, relu)
    }

    /// `cvt.rn{.relu}.f16x2`: every value of these formats is one of `.f16`.
    #[inline(always)]
    pub fn unpack_f16x2(self, bits: u16, relu: bool) -> u32 {
        let half = |bits| {
            let value = self.decode(bits);
            let value = if relu && value <= 0.0 { 0.0 } else { value };
            encode::<F16>(value, Rounding::Nearest, false)
        };
        half(bits >> self.stride()) << 16 | half(bits)
    }
}

/// A power of two: `cvt.rz` and `cvt.rp` to `.ue8m0`, of the magnitude of `value`.
///
/// Byte `e` stands for `2^(e - 127)` and `0xff` for NaN. What is below `2^-127` becomes `2^-127`; what is above `2^127`
/// becomes NaN, with `satfinite` `2^127`.
#[inline(always)]
pub fn to_ue8m0(value: f32, rounding: Rounding, satfinite: bool) -> u8 {
    if value.is_nan() {
        return 0xff;
    }
    let magnitude = value.abs();
    let bits = magnitude.to_bits();
    let exponent = (bits >> 23) as u8;
    // 2^-127 is the subnormal with only the highest bit of the mantissa.
    let inexact = bits & 0x7f_ffff != 0 && bits > 0x0040_0000;
    let up = rounding == Rounding::Up && inexact;
    let rounded = exponent.saturating_add(up as u8);
    if satfinite { rounded.min(0xfe) } else { rounded }
}

/// `cvt.rn.bf16x2.ue8m0x2`, for one element.
#[inline(always)]
pub const fn from_ue8m0(bits: u8) -> u16 {
    match bits {
        0xff => 0x7fff,
        0 => 0x0040,
        _ => (bits as u16) << 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Narrow; 5] = [Narrow::E4m3, Narrow::E5m2, Narrow::E2m3, Narrow::E3m2, Narrow::E2m1];

    #[test]
    fn every_element_comes_back_through_f16() {
        for format in ALL {
            let bits = if format.stride() == 4 {
                4
            } else {
                8 - 2 * matches!(format, Narrow::E2m3 | Narrow::E3m2) as u32
            };
            for element in 0..1u16 << bits {
                let pair = format.unpack_f16x2(element << format.stride() | 1, false);
                let value = decode::<F16>(pair >> 16);
                assert_eq!(decode::<F16>(pair & 0xffff), format.decode(1));
                if value.is_nan() {
                    assert_eq!(pair >> 16, 0x7fff);
                } else if value.is_finite() {
                    assert_eq!(
                        format.pack(1.0, value, false) & ((1 << format.stride()) - 1),
                        element
                    );
                    assert_eq!(format.pack(value, 0.0, false), element << format.stride());
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_saturates_and_nan_follows_the_format() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(Narrow::E4m3.pack(1e9, -inf, false), 0x7efe);
        assert_eq!(Narrow::E5m2.pack(-1e9, nan, false), 0xfb7f);
        assert_eq!(Narrow::E2m3.pack(nan, -100.0, false), 0x1f3f);
        assert_eq!(Narrow::E3m2.pack(inf, 28.0, false), 0x1f1f);
        assert_eq!(Narrow::E2m1.pack(-inf, 2.5, false), 0xf4);
        assert_eq!(Narrow::E4m3.pack(-1.0, nan, true), 0x007f);
        assert_eq!(Narrow::E4m3.unpack_f16x2(0xb87f, true), 0x0000_7fff);
    }

    #[test]
    fn powers_of_two_round_away_from_zero_or_toward_it() {
        let both = |value: f32| {
            [Rounding::Zero, Rounding::Up].map(|rounding| to_ue8m0(value, rounding, false))
        };
        assert_eq!(both(1.0), [127, 127]);
        assert_eq!(both(-1.5), [127, 128]);
        assert_eq!(both(0.0), [0, 0]);
        assert_eq!(both(2f32.powi(-127)), [0, 0]);
        assert_eq!(both(1.5 * 2f32.powi(-127)), [0, 1]);
        assert_eq!(both(f32::MAX), [254, 255]);
        assert_eq!(both(f32::INFINITY), [255, 255]);
        assert_eq!(to_ue8m0(f32::MAX, Rounding::Up, true), 254);
        assert_eq!(to_ue8m0(f32::INFINITY, Rounding::Zero, true), 254);
        assert_eq!(to_ue8m0(f32::NAN, Rounding::Zero, true), 255);
        for bits in 0..255u8 {
            let value = f32::from_bits((from_ue8m0(bits) as u32) << 16);
            assert_eq!(value, 2f32.powi(bits as i32 - 127));
            assert_eq!(both(value), [bits, bits]);
        }
        assert_eq!(from_ue8m0(0xff), 0x7fff);
    }
}

//! The elements that tensor cores multiply, and how they are widened.
//!
//! Everything that is not `f64` or `b1` is widened to `f32` without loss: significands have at most 11 bits and integers
//! at most 9 with their sign, so that products and, for integers, whole sums of products are exact in `f32`.

use crate::num::convert::f16_to_f32;

/// Type of a matrix element, as the modifiers of `mma`, `wmma` and `wgmma` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// `.f16`
    F16,
    /// `.bf16`
    Bf16,
    /// `.tf32`: the upper 19 bits of a 32-bit register; the lower 13 are ignored.
    Tf32,
    /// `.f32`: accumulators only.
    F32,
    /// `.f64`
    F64,
    /// `.e4m3`: no infinity, NaN is `S.1111.111`.
    E4m3,
    /// `.e5m2`
    E5m2,
    /// `.s8`
    S8,
    /// `.u8`
    U8,
    /// `.s4`
    S4,
    /// `.u4`
    U4,
    /// `.b1`
    B1,
    /// `.s32`: accumulators only.
    S32,
}

const NAMES: [(&str, Element); 13] = [
    ("f16", Element::F16),
    ("bf16", Element::Bf16),
    ("tf32", Element::Tf32),
    ("f32", Element::F32),
    ("f64", Element::F64),
    ("e4m3", Element::E4m3),
    ("e5m2", Element::E5m2),
    ("s8", Element::S8),
    ("u8", Element::U8),
    ("s4", Element::S4),
    ("u4", Element::U4),
    ("b1", Element::B1),
    ("s32", Element::S32),
];

impl Element {
    /// The type with this modifier, or `None`.
    pub fn parse(modifier: &str) -> Option<Element> {
        NAMES.iter().find(|(name, _)| *name == modifier).map(|(_, element)| *element)
    }

    /// Its modifier.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, element)| *element == self).map_or("", |(name, _)| name)
    }

    /// Bits that an element takes in a register or in memory.
    pub const fn bits(self) -> usize {
        match self {
            Element::F64 => 64,
            Element::Tf32 | Element::F32 | Element::S32 => 32,
            Element::F16 | Element::Bf16 => 16,
            Element::E4m3 | Element::E5m2 | Element::S8 | Element::U8 => 8,
            Element::S4 | Element::U4 => 4,
            Element::B1 => 1,
        }
    }

    /// Whether products are summed as integers.
    pub const fn is_integer(self) -> bool {
        matches!(
            self,
            Element::S8 | Element::U8 | Element::S4 | Element::U4 | Element::B1 | Element::S32
        )
    }

    /// The value of the lowest element of `bits`, exactly.
    ///
    /// `F64` and `B1` have kernels of their own and give NaN here.
    pub fn widen(self, bits: u32) -> f32 {
        match self {
            Element::F16 => f16(bits as u16),
            Element::Bf16 => f32::from_bits(bits << 16),
            Element::Tf32 => f32::from_bits(bits & 0xffff_e000),
            Element::F32 => f32::from_bits(bits),
            Element::E4m3 => E4M3[bits as usize & 0xff],
            Element::E5m2 => f16((bits << 8) as u16),
            Element::S8 => bits as i8 as f32,
            Element::U8 => bits as u8 as f32,
            Element::S4 => (((bits << 28) as i32) >> 28) as f32,
            Element::U4 => (bits & 15) as f32,
            Element::S32 => bits as i32 as f32,
            Element::F64 | Element::B1 => f32::NAN,
        }
    }

    /// Widens the elements of four consecutive registers (lanes `4g` to `4g + 3` of one register, or 16 bytes of memory),
    /// lowest bits first, into the first `128 / bits` entries of `out`.
    #[inline(always)]
    pub fn widen_16_bytes(self, words: [u32; 4], out: &mut [f32]) {
        match self {
            Element::Bf16 => each::<16>(words, out, |x| f32::from_bits(x << 16)),
            Element::F16 => each::<16>(words, out, |x| f16(x as u16)),
            Element::E4m3 => each::<8>(words, out, |x| E4M3[x as usize & 0xff]),
            Element::E5m2 => each::<8>(words, out, |x| f16((x << 8) as u16)),
            Element::S8 => each::<8>(words, out, |x| x as i8 as f32),
            Element::U8 => each::<8>(words, out, |x| x as u8 as f32),
            Element::S4 => each::<4>(words, out, |x| (((x << 28) as i32) >> 28) as f32),
            Element::U4 => each::<4>(words, out, |x| (x & 15) as f32),
            _ => each::<32>(words, out, |x| self.widen(x)),
        }
    }
}

#[inline(always)]
fn each<const BITS: usize>(words: [u32; 4], out: &mut [f32], widen: impl Fn(u32) -> f32) {
    for (out, word) in out.chunks_exact_mut(32 / BITS).zip(words) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = widen(word >> (BITS * i));
        }
    }
}

#[inline(always)]
fn f16(bits: u16) -> f32 {
    f32::from_bits(f16_to_f32(bits))
}

static E4M3: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut bits = 0;
    while bits < 256 {
        let (exponent, mantissa) = (bits as u32 >> 3 & 15, bits as u32 & 7);
        // Subnormals count in units of 2^-9; otherwise the exponent is rebased by 120 = 127 - 7.
        let magnitude = match (exponent, mantissa) {
            (15, 7) => f32::NAN,
            (0, _) => mantissa as f32 / 512.0,
            _ => f32::from_bits((exponent + 120) << 23 | mantissa << 20),
        };
        table[bits] = if bits & 0x80 != 0 { -magnitude } else { magnitude };
        bits += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The value by the definition of a format with `e` exponent and `m` mantissa bits.
    fn define(bits: u32, e: u32, m: u32) -> f64 {
        let bias = (1i32 << (e - 1)) - 1;
        let (sign, exponent, mantissa) =
            (bits >> (e + m) & 1, bits >> m & ((1 << e) - 1), bits & ((1 << m) - 1));
        let fraction = mantissa as f64 / (1u32 << m) as f64;
        let magnitude = if exponent == 0 {
            fraction * 2f64.powi(1 - bias)
        } else {
            (1.0 + fraction) * 2f64.powi(exponent as i32 - bias)
        };
        if sign == 1 { -magnitude } else { magnitude }
    }

    #[test]
    fn every_byte_of_an_eight_bit_float_widens_to_its_value() {
        for bits in 0..256 {
            let (e4m3, e5m2) = (Element::E4m3.widen(bits), Element::E5m2.widen(bits));
            if bits & 0x7f == 0x7f {
                assert!(e4m3.is_nan());
            } else {
                assert_eq!(e4m3 as f64, define(bits, 4, 3));
            }
            match (bits >> 2 & 31, bits & 3) {
                (31, 0) => assert!(e5m2.is_infinite()),
                (31, _) => assert!(e5m2.is_nan()),
                _ => assert_eq!(e5m2 as f64, define(bits, 5, 2)),
            }
        }
        assert_eq!(Element::E4m3.widen(0x7e), 448.0);
    }

    #[test]
    fn sixteen_bytes_widen_to_what_each_element_widens_to() {
        let words = [0x8001_7fc0, 0x3c00_bc00, 0x0123_4567, 0x89ab_cdef];
        use Element::*;
        for element in [F16, Bf16, Tf32, E4m3, E5m2, S8, U8, S4, U4] {
            let mut out = [f32::MIN; 32];
            element.widen_16_bytes(words, &mut out);
            let each = 32 / element.bits();
            for (i, o) in out[..4 * each].iter().enumerate() {
                let one = element.widen(words[i / each] >> (element.bits() * (i % each)));
                assert_eq!(o.to_bits(), one.to_bits(), "{element:?} {i}");
            }
        }
        assert_eq!(S4.widen(0x8), -8.0);
        assert_eq!(U4.widen(0xf8), 8.0);
        assert_eq!(S8.widen(0x180), -128.0);
        assert_eq!(Tf32.widen(0x3f80_1fff), 1.0);
    }
}

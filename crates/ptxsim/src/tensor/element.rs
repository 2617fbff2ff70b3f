//! The elements that tensor cores multiply, and how they are widened.
//!
//! Everything that is not `f64` or `b1` is widened to `f32` without loss: significands have at most 11 bits and integers
//! at most 9 with their sign, so that products and, for integers, whole sums of products are exact in `f32`.

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

impl Element {
    /// The type with this modifier, or `None`.
    pub fn parse(modifier: &str) -> Option<Element> {
        Some(match modifier {
            "f16" => Element::F16,
            "bf16" => Element::Bf16,
            "tf32" => Element::Tf32,
            "f32" => Element::F32,
            "f64" => Element::F64,
            "e4m3" => Element::E4m3,
            "e5m2" => Element::E5m2,
            "s8" => Element::S8,
            "u8" => Element::U8,
            "s4" => Element::S4,
            "u4" => Element::U4,
            "b1" => Element::B1,
            "s32" => Element::S32,
            _ => return None,
        })
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

/// `f16` to `f32`, without branches so that loops over it vectorize: the exponent is rebased by one multiplication, which
/// also normalizes subnormals; infinities and NaNs keep an exponent of all ones.
#[inline(always)]
fn f16(bits: u16) -> f32 {
    let magnitude = (bits as u32 & 0x7fff) << 13;
    // 2^112 = 2^(127 - 15).
    let scaled = f32::from_bits(magnitude) * f32::from_bits((112 + 127) << 23);
    let special = if magnitude >= 0x0f80_0000 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scaled.to_bits() | special | (bits as u32 & 0x8000) << 16)
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

/// `f32` to `f16`, to nearest, ties to even; NaN becomes `0x7fff`.
pub fn round_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, magnitude) = ((bits >> 16) as u16 & 0x8000, bits & 0x7fff_ffff);
    match magnitude {
        0x7f80_0001.. => 0x7fff,
        // 65520, half way between the largest number and the next that there would be.
        0x477f_f000.. => sign | 0x7c00,
        // Below 2^-14: a subnormal counts in units of 2^-24.
        ..0x3880_0000 => {
            sign | (f32::from_bits(magnitude) * 2f32.powi(24)).round_ties_even() as u16
        }
        _ => sign | ((magnitude + 0xfff + (magnitude >> 13 & 1) - 0x3800_0000) >> 13) as u16,
    }
}

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
    fn every_f16_widens_to_its_value_and_rounds_back() {
        for bits in 0..=u16::MAX {
            let wide = Element::F16.widen(bits as u32);
            match (bits >> 10 & 31, bits & 0x3ff) {
                (31, 0) => assert!(wide.is_infinite()),
                (31, _) => assert!(wide.is_nan()),
                _ => assert_eq!(wide as f64, define(bits as u32, 5, 10)),
            }
            assert_eq!(wide.is_sign_negative(), bits >> 15 == 1);
            let back = round_to_f16(wide);
            assert_eq!(back, if wide.is_nan() { 0x7fff } else { bits });
        }
    }

    #[test]
    fn rounding_to_f16_goes_to_the_nearest_and_in_a_tie_to_even() {
        for bits in 0..0x7bffu16 {
            let (low, high) =
                (Element::F16.widen(bits as u32), Element::F16.widen(bits as u32 + 1));
            let tie = (low + high) / 2.0;
            assert_eq!(round_to_f16(tie), if bits % 2 == 0 { bits } else { bits + 1 });
            assert_eq!(round_to_f16(tie.next_down()), bits);
            assert_eq!(round_to_f16(-tie.next_up()), 0x8000 | (bits + 1));
        }
        assert_eq!(round_to_f16(65519.996), 0x7bff);
        assert_eq!(round_to_f16(65520.0), 0x7c00);
        assert_eq!(round_to_f16(f32::NAN), 0x7fff);
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

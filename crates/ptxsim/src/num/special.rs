//! The approximate functions.
//!
//! Results are those of the exact function rounded to the destination's format (through `f64`, so that one in about 10^8 is
//! the other neighbour). Hardware is allowed more: 1 or 2 units of the last place, `2^-20.5` absolute for sines, `2^-11`
//! relative for `tanh`. So last bits differ from hardware's, whose tables are not published. Special values are those of
//! the PTX ISA's tables; `.ftz` flushes operands and results. A NaN result is the canonical one of its format.
//! Functions come from the `libm` crate, not from the platform, so that results are the same on every machine.

use super::format::{Bf16, F16, F32, Format, decode, encode};
use super::single::{flush, narrow};
use super::{Rounding, half};

/// A function of one `.f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `rcp.approx`
    Reciprocal,
    /// `sqrt.approx`
    SquareRoot,
    /// `rsqrt.approx`
    ReciprocalSquareRoot,
    /// `ex2.approx`
    Exp2,
    /// `lg2.approx`
    Log2,
    /// `sin.approx`, of radians
    Sine,
    /// `cos.approx`, of radians
    Cosine,
    /// `tanh.approx`
    Tanh,
}

impl Function {
    /// The function of this mnemonic, or `None`.
    pub fn parse(opcode: &str) -> Option<Function> {
        Some(match opcode {
            "rcp" => Function::Reciprocal,
            "sqrt" => Function::SquareRoot,
            "rsqrt" => Function::ReciprocalSquareRoot,
            "ex2" => Function::Exp2,
            "lg2" => Function::Log2,
            "sin" => Function::Sine,
            "cos" => Function::Cosine,
            "tanh" => Function::Tanh,
            _ => return None,
        })
    }

    /// The function in `f64`. `x` is a value of at most 24 significant bits.
    #[inline(always)]
    pub fn of(self, x: f64) -> f64 {
        match self {
            Function::Reciprocal => 1.0 / x,
            Function::SquareRoot => x.sqrt(),
            // The root of -0 is -0, so that its reciprocal is -inf.
            Function::ReciprocalSquareRoot => 1.0 / x.sqrt(),
            Function::Exp2 => libm::exp2(x),
            Function::Log2 => libm::log2(x),
            Function::Sine => libm::sin(x),
            Function::Cosine => libm::cos(x),
            Function::Tanh => libm::tanh(x),
        }
    }

    /// `.f32`
    #[inline(always)]
    pub fn single(self, bits: u32, ftz: bool) -> u32 {
        let bits = if ftz { flush(bits) } else { bits };
        let result = narrow(self.of(f32::from_bits(bits) as f64), Rounding::Nearest);
        if ftz { flush(result) } else { result }
    }

    /// `.f16` and `.bf16` (`ex2`, `tanh`)
    #[inline(always)]
    pub fn half<F: Format>(self, bits: u16, ftz: bool) -> u16 {
        let bits = if ftz { half::flush::<F>(bits) } else { bits };
        let value = self.of(decode::<F>(bits as u32));
        let result = encode::<F>(value, Rounding::Nearest, false) as u16;
        if ftz { half::flush::<F>(result) } else { result }
    }
}

/// `ex2.approx.f16`
pub fn ex2_f16(bits: u16) -> u16 {
    Function::Exp2.half::<F16>(bits, false)
}

/// `ex2.approx.ftz.bf16`
pub fn ex2_bf16(bits: u16) -> u16 {
    Function::Exp2.half::<Bf16>(bits, true)
}

/// `div.full.f32`: the quotient rounded to nearest, which is within the 2 units that the PTX ISA allows.
#[inline(always)]
pub fn div_full(a: u32, b: u32, ftz: bool) -> u32 {
    let [a, b] = [a, b].map(|bits| f32::from_bits(if ftz { flush(bits) } else { bits }));
    let quotient = a / b;
    let bits = if quotient.is_nan() { F32::NAN } else { quotient.to_bits() };
    if ftz { flush(bits) } else { bits }
}

/// `div.approx.f32`: as [`div_full`], but for `2^126 < |b| < 2^128`, where the result is zero, and NaN for infinite `a`.
#[inline(always)]
pub fn div_approx(a: u32, b: u32, ftz: bool) -> u32 {
    let magnitude = b & 0x7fff_ffff;
    if (0x7e80_0001..0x7f80_0000).contains(&magnitude) {
        return match a & 0x7fff_ffff {
            0x7f80_0000.. => F32::NAN,
            _ => (a ^ b) & 0x8000_0000,
        };
    }
    div_full(a, b, ftz)
}

/// The upper word of a double, in and out, of `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64`.
#[inline(always)]
fn upper_word(bits: u64, f: impl Fn(f64) -> f64) -> u64 {
    const UPPER: u64 = 0xffff_ffff_0000_0000;
    let flush = |bits: u64| {
        if bits & 0x7ff0_0000_0000_0000 == 0 { bits & 1 << 63 } else { bits & UPPER }
    };
    let result = f(f64::from_bits(flush(bits)));
    if result.is_nan() {
        return 0x7fff_ffff_0000_0000;
    }
    // To the nearest of 20 bits of mantissa; infinity has none below and stays.
    flush(result.to_bits() + 0x8000_0000)
}

/// `rcp.approx.ftz.f64`: 20 bits of mantissa in, 20 out.
#[inline(always)]
pub fn rcp_f64(bits: u64) -> u64 {
    upper_word(bits, |x| 1.0 / x)
}

/// `rsqrt.approx.ftz.f64`: 20 bits of mantissa in, 20 out.
#[inline(always)]
pub fn rsqrt_ftz_f64(bits: u64) -> u64 {
    upper_word(bits, |x| 1.0 / x.sqrt())
}

/// `rsqrt.approx.f64`: within an `f64`'s last place or two.
#[inline(always)]
pub fn rsqrt_f64(bits: u64) -> u64 {
    let result = 1.0 / f64::from_bits(bits).sqrt();
    if result.is_nan() { super::double::INDEFINITE } else { result.to_bits() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Function::*;

    const INF: f32 = f32::INFINITY;

    /// Result by input, as the PTX ISA's tables list them; `NAN` stands for the canonical NaN.
    #[test]
    fn special_values_are_those_of_the_tables() {
        const NAN: f32 = f32::from_bits(0x7fff_ffff);
        let arguments = [-INF, -1.0, -0.0, 0.0, INF, f32::NAN];
        for (function, results) in [
            (Reciprocal, [-0.0, -1.0, -INF, INF, 0.0, NAN]),
            (SquareRoot, [NAN, NAN, -0.0, 0.0, INF, NAN]),
            (ReciprocalSquareRoot, [NAN, NAN, -INF, INF, 0.0, NAN]),
            (Exp2, [0.0, 0.5, 1.0, 1.0, INF, NAN]),
            (Log2, [NAN, NAN, -INF, -INF, INF, NAN]),
            (Sine, [NAN, -0.8414709848078965, -0.0, 0.0, NAN, NAN]),
            (Cosine, [NAN, 0.54030230586814, 1.0, 1.0, NAN, NAN]),
            (Tanh, [-1.0, -0.7615941559557649, -0.0, 0.0, 1.0, NAN]),
        ] {
            for (argument, result) in arguments.into_iter().zip(results) {
                let found = function.single(argument.to_bits(), false);
                assert_eq!(found, result.to_bits(), "{function:?} {argument}");
            }
        }
    }

    #[test]
    fn ftz_makes_subnormal_operands_and_results_zero() {
        let tiny = 1e-40f32.to_bits();
        assert_eq!(Reciprocal.single(tiny | 1 << 31, true), (-INF).to_bits());
        assert_eq!(ReciprocalSquareRoot.single(tiny, true), INF.to_bits());
        assert_eq!(Log2.single(tiny, true), (-INF).to_bits());
        assert_eq!(Log2.single(1, false), (-149f32).to_bits());
        assert_eq!(Exp2.single((-140f32).to_bits(), true), 0);
        assert_eq!(Exp2.single((-140f32).to_bits(), false), 1 << 9);
        assert_eq!(Reciprocal.single((2f32.powi(127)).to_bits(), true), 0);
    }

    #[test]
    fn sixteen_bit_functions_have_the_special_values_of_the_tables() {
        for (bits, result) in
            [(0xfc00, 0), (0x8000, 0x3c00), (0, 0x3c00), (0x7c00, 0x7c00), (0x7e01, 0x7fff)]
        {
            assert_eq!(ex2_f16(bits), result);
        }
        assert_eq!(ex2_f16(0xce00), 0x0001, "2^-24");
        for (bits, result) in
            [(0xff80, 0), (0x8001, 0x3f80), (0x0001, 0x3f80), (0x7f80, 0x7f80), (0xffc1, 0x7fff)]
        {
            assert_eq!(ex2_bf16(bits), result);
        }
        assert_eq!(ex2_bf16(0xc300), 0, "2^-128 is subnormal");
        for (bits, result) in
            [(0xfc00, 0xbc00), (0x8000, 0x8000), (0x0001, 0x0001), (0x7e00, 0x7fff)]
        {
            assert_eq!(Tanh.half::<F16>(bits, false), result);
        }
    }

    #[test]
    fn division_by_what_has_no_normal_reciprocal_gives_zero() {
        let large = 1.5 * 2f32.powi(126);
        let [one, minus, inf] = [1f32, -large, INF].map(f32::to_bits);
        assert_eq!(div_approx(one, minus, false), 0x8000_0000);
        assert_eq!(div_approx(inf, minus, false), 0x7fff_ffff);
        assert_eq!(div_full(one, minus, false), (1.0 / -large).to_bits());
        assert_eq!(div_approx(3f32.to_bits(), 2f32.to_bits(), true), 1.5f32.to_bits());
        assert_eq!(div_approx(one, inf, true), 0);
        assert_eq!(div_full(0, 0, true), 0x7fff_ffff);
    }

    #[test]
    fn doubles_are_approximated_by_their_upper_words() {
        for (value, result) in [
            (f64::NEG_INFINITY, (-0.0f64).to_bits()),
            (-1e-310, f64::NEG_INFINITY.to_bits()),
            (-0.0, f64::NEG_INFINITY.to_bits()),
            (1e-310, f64::INFINITY.to_bits()),
            (f64::INFINITY, 0),
            (f64::NAN, 0x7fff_ffff_0000_0000),
            (f64::MAX, 0),
            (4.0 + 1e-12, 0.25f64.to_bits()),
            (3.0, 0x3fd5_5555_0000_0000),
        ] {
            assert_eq!(rcp_f64(value.to_bits()), result, "{value}");
        }
        assert_eq!(rsqrt_ftz_f64((-0.0f64).to_bits()), f64::NEG_INFINITY.to_bits());
        assert_eq!(rsqrt_ftz_f64((-4.0f64).to_bits()), 0x7fff_ffff_0000_0000);
        assert_eq!(rsqrt_ftz_f64(4.0f64.to_bits()), 0.5f64.to_bits());
        assert_eq!(rsqrt_f64(16.0f64.to_bits()), 0.25f64.to_bits());
    }
}

//! What a result may be.

/// How the bits of a result are to be understood; where they are compared exactly, only the width matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each is named as PTX names it.
pub enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

/// What a result must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// These bits; within a tolerance, near the number that they are.
    Bits(u64),
    /// Any NaN.
    Nan,
    /// This number, rounded somehow.
    Real(f64),
}

/// How far off a result may be. Infinities and zeros that are wanted may not be missed at all, and NaN agrees with NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Bit by bit.
    Exact,
    /// So many representable numbers away from the exact result, rounded to nearest.
    Ulps(u64),
    /// So much away from the exact result; half of the last place is added, for what is wanted has been rounded.
    Absolute(f64),
    /// The same, as a share of the result.
    Relative(f64),
}

impl Number {
    /// Bytes that it takes.
    pub const fn bytes(self) -> usize {
        match self {
            Number::F16 | Number::Bf16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }

    /// The bits at an offset.
    pub fn read(self, memory: &[u8], offset: usize) -> u64 {
        memory[offset..offset + self.bytes()].iter().rev().fold(0, |all, b| all << 8 | *b as u64)
    }

    /// The number that `bits` are.
    fn real(self, bits: u64) -> f64 {
        use crate::num::format::{self, decode};
        match self {
            Number::F16 => decode::<format::F16>(bits as u32),
            Number::Bf16 => decode::<format::Bf16>(bits as u32),
            Number::F32 => f32::from_bits(bits as u32) as f64,
            Number::F64 => f64::from_bits(bits),
        }
    }

    /// Half of the last place at `bits`.
    fn half_ulp(self, bits: u64) -> f64 {
        let magnitude = bits & (u64::MAX >> (65 - 8 * self.bytes()));
        (self.real(magnitude + 1) - self.real(magnitude)) / 2.0
    }

    /// Place in the order of representable numbers.
    fn rank(self, bits: u64) -> i64 {
        let magnitude = (bits & (u64::MAX >> (65 - 8 * self.bytes()))) as i64;
        if bits >> (8 * self.bytes() - 1) & 1 == 1 { -magnitude } else { magnitude }
    }
}

impl Tolerance {
    /// Whether `found` will do where `wanted` is wanted.
    pub fn admits(self, number: Number, wanted: Value, found: u64) -> bool {
        let x = number.real(found);
        let (bits, y) = match wanted {
            Value::Nan => return x.is_nan(),
            Value::Bits(bits) if bits == found => return true,
            Value::Bits(bits) => (Some(bits), number.real(bits)),
            Value::Real(y) => (None, y),
        };
        if self == Tolerance::Exact {
            return false;
        }
        if x.is_nan() || y.is_nan() {
            return x.is_nan() && y.is_nan();
        }
        if x.is_infinite() || y.is_infinite() || bits.is_some() && y == 0.0 {
            return x == y;
        }
        let rounding = bits.map_or(0.0, |bits| number.half_ulp(bits));
        match self {
            Tolerance::Exact => false,
            Tolerance::Ulps(n) => {
                bits.is_some_and(|bits| number.rank(bits).abs_diff(number.rank(found)) <= n)
            }
            Tolerance::Absolute(most) => (x - y).abs() <= most + rounding,
            Tolerance::Relative(most) => (x - y).abs() <= most * y.abs() + rounding,
        }
    }

    /// In words, what is wanted.
    pub(super) fn describe(self, wanted: Value) -> String {
        let value = match wanted {
            Value::Bits(bits) => format!("{bits:#x}"),
            Value::Nan => return "a NaN".into(),
            Value::Real(x) => format!("{x:e}"),
        };
        match self {
            Tolerance::Exact => value,
            Tolerance::Ulps(n) => format!("within {n} units of the last place of {value}"),
            Tolerance::Absolute(most) => format!("within {most:.2e} of {value}"),
            Tolerance::Relative(most) => format!("within {most:.2e} of {value}, as a share of it"),
        }
    }

    /// Reads `ulp 2`, `abs -20.5` or `rel -11`.
    pub(super) fn parse(text: &str) -> Option<Tolerance> {
        let (kind, number) = text.split_once(' ')?;
        Some(match kind {
            "ulp" => Tolerance::Ulps(number.parse().ok()?),
            "abs" => Tolerance::Absolute(libm::exp2(number.parse().ok()?)),
            "rel" => Tolerance::Relative(libm::exp2(number.parse().ok()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_near_nothing_and_zeros_and_infinities_are_exact() {
        let loose = Tolerance::Ulps(3);
        let admits = |wanted: f32, found: f32| {
            let wanted = Value::Bits(wanted.to_bits() as u64);
            loose.admits(Number::F32, wanted, found.to_bits() as u64)
        };
        assert!(admits(1.0, f32::from_bits(1.0f32.to_bits() + 3)));
        assert!(!admits(1.0, f32::from_bits(1.0f32.to_bits() + 4)));
        assert!(!admits(1.0, f32::NAN) && !admits(f32::NAN, 1.0) && admits(f32::NAN, -f32::NAN));
        assert!(!admits(f32::INFINITY, f32::MAX) && !admits(f32::MAX, f32::INFINITY));
        assert!(!admits(0.0, f32::from_bits(1)));
        // Units are counted through zero.
        assert!(admits(f32::from_bits(1), -f32::from_bits(1)));
    }

    #[test]
    fn bounds_are_read_as_powers_of_two() {
        assert_eq!(Tolerance::parse("rel -11"), Some(Tolerance::Relative(2f64.powi(-11))));
        assert_eq!(Tolerance::parse("ulp 2"), Some(Tolerance::Ulps(2)));
        assert_eq!(Tolerance::parse("about 2"), None);
        let near = Tolerance::Absolute(0.25);
        assert!(near.admits(Number::F16, Value::Real(1.0), 0x3d00));
        assert!(!near.admits(Number::F16, Value::Real(1.0), 0x3d01));
    }
}

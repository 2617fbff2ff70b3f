//! Numbers as an integer times a power of two, for what has no faster exact way: `f64` arithmetic that is not rounded to
//! nearest, and 64-bit integers.

use super::Rounding;

/// `significand · 2^exponent`, negated where `negative`.
///
/// Significands stay below 2^126. A number that does not fit has its lowest bit set where anything below was lost: enough
/// bits are kept that the bit cannot change a rounding to `f64` or narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// The sign, of zero too.
    pub negative: bool,
    /// Power of two of the significand's lowest bit.
    pub exponent: i32,
    /// The magnitude.
    pub significand: u128,
}

impl Exact {
    /// A finite `f64`.
    pub fn from_f64(value: f64) -> Exact {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
        let significand = if exponent == 0 { fraction } else { fraction | 1 << 52 };
        Exact {
            negative: bits >> 63 == 1,
            exponent: exponent.max(1) - 1075,
            significand: significand as u128,
        }
    }

    /// An integer of at most 64 bits.
    pub fn from_integer(value: i128) -> Exact {
        Exact { negative: value < 0, exponent: 0, significand: value.unsigned_abs() }
    }

    /// The product of two numbers of at most 63 significant bits.
    pub fn multiply(self, other: Exact) -> Exact {
        Exact {
            negative: self.negative != other.negative,
            exponent: self.exponent + other.exponent,
            significand: self.significand * other.significand,
        }
    }

    /// The sum of two numbers of at most 106 significant bits; a sum of zero has the sign that IEEE 754 gives for `rounding`.
    pub fn add(self, other: Exact, rounding: Rounding) -> Exact {
        if self.significand == 0 && other.significand == 0 {
            let negative = if self.negative == other.negative {
                self.negative
            } else {
                rounding == Rounding::Down
            };
            return Exact { negative, ..self };
        }
        let (a, b) = (self.normalized(), other.normalized());
        let (large, small) = if (a.exponent, a.significand) >= (b.exponent, b.significand) {
            (a, b)
        } else {
            (b, a)
        };
        let low = shift_sticky(small.significand, (large.exponent - small.exponent) as u32);
        if large.negative == small.negative {
            let significand = large.significand + low;
            return Exact { significand, ..large };
        }
        let significand = large.significand - low;
        let negative = if significand == 0 { rounding == Rounding::Down } else { large.negative };
        Exact { negative, significand, ..large }
    }

    /// The quotient of two `f64` values, neither zero, with a sticky bit for the remainder.
    pub fn divide(self, other: Exact) -> Exact {
        let (a, b) = (self.normalized(), other.normalized());
        // Numerator below 2^125 over a denominator below 2^54: a quotient of at least 2^70.
        let denominator = b.significand >> 71;
        let (quotient, rest) = (a.significand / denominator, a.significand % denominator);
        Exact {
            negative: self.negative != other.negative,
            exponent: a.exponent - b.exponent - 71,
            significand: quotient | (rest != 0) as u128,
        }
    }

    /// The root of a positive `f64` value, with a sticky bit.
    pub fn sqrt(self) -> Exact {
        let mut a = self.normalized();
        if a.exponent % 2 != 0 {
            a.significand >>= 1;
            a.exponent += 1;
        }
        let root = a.significand.isqrt();
        let sticky = (root * root != a.significand) as u128;
        Exact { negative: false, exponent: a.exponent / 2 - 1, significand: root << 1 | sticky }
    }

    /// Rounded to `f64`, subnormals included.
    pub fn to_f64(self, rounding: Rounding) -> f64 {
        f64::from_bits(self.round(11, 52, rounding))
    }

    /// Rounded to a format with `exponent_bits` and `mantissa_bits` whose special values are as in IEEE 754; its bits.
    pub fn round(self, exponent_bits: u32, mantissa_bits: u32, rounding: Rounding) -> u64 {
        let sign = (self.negative as u64) << (exponent_bits + mantissa_bits);
        if self.significand == 0 {
            return sign;
        }
        let bias = (1i32 << (exponent_bits - 1)) - 1;
        let a = self.normalized();
        // The leading one is bit 124.
        let above = a.exponent + 124 - (1 - bias);
        let shift = (124 - mantissa_bits as i32 - above.min(0)).min(127) as u32;
        let (kept, rest) = (a.significand >> shift, a.significand & ((1 << shift) - 1));
        let up = rounding.up(self.negative, kept & 1 == 1, rest, 1 << (shift - 1));
        let rounded = ((above.max(0) as u64) << mantissa_bits) + kept as u64 + up as u64;
        let infinity = ((1u64 << exponent_bits) - 1) << mantissa_bits;
        if rounded >= infinity {
            return sign | (infinity - !rounding.overflows(self.negative) as u64);
        }
        sign | rounded
    }

    /// The same number with its leading one at bit 124; zero gets an exponent below every other.
    fn normalized(self) -> Exact {
        if self.significand == 0 {
            return Exact { exponent: -100_000, ..self };
        }
        let top = 127 - self.significand.leading_zeros() as i32;
        let significand = if top <= 124 {
            self.significand << (124 - top)
        } else {
            shift_sticky(self.significand, (top - 124) as u32)
        };
        Exact { exponent: self.exponent + top - 124, significand, ..self }
    }
}

/// `value >> bits`, with the lowest bit set where a set bit was shifted out.
fn shift_sticky(value: u128, bits: u32) -> u128 {
    if bits > 127 {
        return (value != 0) as u128;
    }
    value >> bits | (value & ((1 << bits) - 1) != 0) as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Rounding; 4] = [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up];

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![any::<u64>().prop_map(f64::from_bits), -1e3..1e3, Just(0.0), Just(-0.0)]
            .prop_filter("finite", |value| value.is_finite())
    }

    proptest! {
        #[test]
        fn rounded_to_nearest_arithmetic_is_the_processors(a in finite(), b in finite(), c in finite()) {
            let (x, y, z) = (Exact::from_f64(a), Exact::from_f64(b), Exact::from_f64(c));
            let nearest = Rounding::Nearest;
            prop_assert_eq!(x.to_f64(nearest).to_bits(), a.to_bits());
            prop_assert_eq!(x.add(y, nearest).to_f64(nearest).to_bits(), (a + b).to_bits());
            prop_assert_eq!(x.multiply(y).to_f64(nearest).to_bits(), (a * b).to_bits());
            let fma = x.multiply(y).add(z, nearest).to_f64(nearest);
            prop_assert_eq!(fma.to_bits(), a.mul_add(b, c).to_bits());
            if a != 0.0 && b != 0.0 {
                prop_assert_eq!(x.divide(y).to_f64(nearest).to_bits(), (a / b).to_bits());
            }
            if a > 0.0 {
                prop_assert_eq!(x.sqrt().to_f64(nearest).to_bits(), a.sqrt().to_bits());
            }
        }

        #[test]
        fn sums_of_close_numbers_cancel_exactly(a in -4.0..4.0f64, b in -4.0..4.0f64, up in 0..8u64) {
            let c = -f64::from_bits((a * b).to_bits() + up);
            let sum = Exact::from_f64(a).multiply(Exact::from_f64(b));
            let sum = sum.add(Exact::from_f64(c), Rounding::Nearest).to_f64(Rounding::Nearest);
            prop_assert_eq!(sum, a.mul_add(b, c));
        }

        #[test]
        fn directed_roundings_enclose_the_nearest_and_differ_by_one_unit(a in finite(), b in finite()) {
            let exact = Exact::from_f64(a).multiply(Exact::from_f64(b));
            let [nearest, zero, down, up] = ALL.map(|rounding| exact.to_f64(rounding));
            prop_assert!(down <= nearest && nearest <= up);
            prop_assert!(up == down || up == down.next_up(), "{down:e} {up:e}");
            prop_assert_eq!(zero.to_bits(), if exact.negative { up.to_bits() } else { down.to_bits() });
        }

        #[test]
        fn integers_round_as_an_exact_comparison_says(value in any::<i64>()) {
            for rounding in ALL {
                let float = f64::from_bits(Exact::from_integer(value as i128).round(11, 52, rounding));
                let (back, value) = (float as i128, value as i128);
                match rounding {
                    Rounding::Zero => prop_assert!(back.abs() <= value.abs()),
                    Rounding::Down => prop_assert!(back <= value),
                    Rounding::Up => prop_assert!(back >= value),
                    _ => prop_assert_eq!(float, value as f64),
                }
                let step = if back >= value { float.next_down() } else { float.next_up() };
                prop_assert!((step as i128 - value).signum() != (back - value).signum() || back == value);
            }
        }
    }

    #[test]
    fn halves_of_the_smallest_number_round_as_asked() {
        let half = Exact { negative: false, exponent: -1075, significand: 1 };
        assert_eq!(ALL.map(|r| half.to_f64(r).to_bits()), [0, 0, 0, 1]);
        let more = Exact { negative: true, exponent: -1076, significand: 3 };
        assert_eq!(ALL.map(|r| more.to_f64(r)), [-5e-324, -0.0, -5e-324, -0.0]);
        let tiny = Exact { negative: false, exponent: -5000, significand: 1 };
        assert_eq!(ALL.map(|r| tiny.to_f64(r).to_bits()), [0, 0, 0, 1]);
    }

    #[test]
    fn what_is_too_large_becomes_infinity_or_the_largest_number() {
        let huge = Exact { negative: true, exponent: 2000, significand: 1 };
        let (infinity, max) = (f64::NEG_INFINITY, f64::MIN);
        assert_eq!(ALL.map(|r| huge.to_f64(r)), [infinity, max, infinity, max]);
    }
}

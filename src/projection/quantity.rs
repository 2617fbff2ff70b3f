//! Quantities as people write them: `15T` tokens, `80GiB`, `450GB/s`, `400Gb/s`, `5us`, `2.49/h`.
//!
//! All are finite and not negative; what is divided by is positive. A bare number is in the base unit.

use std::str::FromStr;

/// The largest number that any quantity may have: beyond it, sums of products lose their meaning.
const MOST: f64 = 1e24;

/// A number and the rest of the text, which is its unit.
fn split(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    // An `e` belongs to the number only where digits follow: `1e9`, and not `1 eon`.
    let bytes = text.as_bytes();
    let mut end = 0;
    while end < bytes.len() {
        let exponent = matches!(bytes[end], b'e' | b'E')
            && end > 0
            && matches!(bytes.get(end + 1), Some(b'0'..=b'9' | b'+' | b'-'));
        let sign = matches!(bytes[end], b'+' | b'-')
            && (end == 0 || matches!(bytes[end - 1], b'e' | b'E'));
        if !(bytes[end].is_ascii_digit() || bytes[end] == b'.' || exponent || sign) {
            break;
        }
        end += 1;
    }
    let number: f64 = text[..end].parse().map_err(|_| format!("`{text}` has no number"))?;
    if !number.is_finite() || number < 0.0 {
        return Err(format!("`{text}` is not a number of at least 0"));
    }
    Ok((number, text[end..].trim()))
}

fn bounded(text: &str, value: f64) -> Result<f64, String> {
    if value > MOST {
        return Err(format!("`{text}` is absurdly large (over {MOST:.0e})"));
    }
    Ok(value)
}

fn positive(text: &str, value: f64) -> Result<f64, String> {
    if value <= 0.0 {
        return Err(format!("`{text}` is zero, and plans divide by it"));
    }
    bounded(text, value)
}

/// Powers of 1000, and of 1024 with an `i`; empty is 1.
fn prefix(text: &str) -> Option<f64> {
    let powers = |letter: &str| ["k", "m", "g", "t", "p", "e"].iter().position(|p| *p == letter);
    let lower = text.to_ascii_lowercase();
    match lower.strip_suffix('i') {
        _ if lower.is_empty() => Some(1.0),
        Some(letter) => powers(letter).map(|i| 1024f64.powi(i as i32 + 1)),
        None => powers(&lower).map(|i| 1000f64.powi(i as i32 + 1)),
    }
}

/// A count, such as tokens: `15T`, `300B`, `1.5e12`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count(pub f64);

impl FromStr for Count {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "B" | "b" => Some(1e9),
            other => prefix(other),
        };
        let factor = factor.ok_or_else(|| {
            format!("`{text}` is no count; write 15T, 300B, 40M, 512k or a number such as 1.5e12")
        })?;
        positive(text, number * factor).map(Count)
    }
}

/// An amount of memory: `80GiB`, `80GB`, `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory(pub f64);

impl FromStr for Memory {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let factor = prefix(unit.strip_suffix('B').unwrap_or(unit)).ok_or_else(|| {
            format!("`{text}` is no amount of memory; write 80GiB, 141GB or a number of bytes")
        })?;
        positive(text, number * factor).map(Memory)
    }
}

/// Bytes a second: `450GB/s`, `12GiB/s`; bits with a small b: `400Gb/s`, `400Gbit/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let error = || {
            format!("`{text}` is no rate; write 450GB/s, or 400Gb/s for bits, or bytes a second")
        };
        let unit = unit.strip_suffix("/s").or_else(|| unit.strip_suffix("ps")).unwrap_or(unit);
        let bits = unit.strip_suffix("bit").or_else(|| unit.strip_suffix('b'));
        let factor = match bits {
            Some(letters) => prefix(letters).ok_or_else(error)? / 8.0,
            None => prefix(unit.strip_suffix('B').unwrap_or(unit)).ok_or_else(error)?,
        };
        positive(text, number * factor).map(Rate)
    }
}

/// A time in seconds: `5us`, `2ms`, `90s`, `36h`, `30d`; a bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(pub f64);

impl FromStr for Seconds {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 7.0 * 86_400.0,
            _ => {
                return Err(format!("`{text}` is no time; write 5us, 2ms, 90s, 36h or 30d"));
            }
        };
        bounded(text, number * factor).map(Seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!("15T".parse(), Ok(Count(15e12)));
        assert_eq!("300B".parse(), Ok(Count(300e9)));
        assert_eq!("1.5e12".parse(), Ok(Count(1.5e12)));
        assert_eq!("80GiB".parse(), Ok(Memory(80.0 * 1024f64.powi(3))));
        assert_eq!("141GB".parse(), Ok(Memory(141e9)));
        assert_eq!("450GB/s".parse(), Ok(Rate(450e9)));
        assert_eq!("400Gb/s".parse(), Ok(Rate(50e9)));
        assert_eq!("400 Gbps".parse(), Ok(Rate(50e9)));
        assert_eq!("5us".parse::<Seconds>().map(|s| (s.0 * 1e9).round()), Ok(5000.0));
        assert_eq!("30d".parse(), Ok(Seconds(30.0 * 86400.0)));
    }

    #[test]
    fn zero_negative_absurd_and_meaningless_quantities_are_named() {
        assert!("0".parse::<Count>().unwrap_err().contains("`0` is zero"));
        assert!("-5T".parse::<Count>().unwrap_err().contains("`-5T`"));
        assert!("0GB/s".parse::<Rate>().unwrap_err().contains("divide"));
        assert!("9e99".parse::<Count>().unwrap_err().contains("absurdly"));
        assert!("1e999".parse::<Memory>().is_err());
        assert!("nan".parse::<Count>().unwrap_err().contains("no number"));
        assert!("12 parsecs".parse::<Seconds>().unwrap_err().contains("30d"));
        assert!("".parse::<Rate>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_quantity_that_is_not_finite(text in "\\PC{0,12}") {
            if let Ok(Count(n)) = text.parse() { prop_assert!(n.is_finite() && n > 0.0); }
            if let Ok(Memory(n)) = text.parse() { prop_assert!(n.is_finite() && n > 0.0); }
            if let Ok(Rate(n)) = text.parse() { prop_assert!(n.is_finite() && n > 0.0); }
            if let Ok(Seconds(n)) = text.parse() { prop_assert!(n.is_finite() && n >= 0.0); }
        }

        #[test]
        fn a_bare_number_is_itself(number in 1e-6..1e18f64) {
            let text = format!("{number:e}");
            prop_assert_eq!(text.parse(), Ok(Count(number)));
            prop_assert_eq!(text.parse(), Ok(Rate(number)));
            prop_assert_eq!(text.parse(), Ok(Memory(number)));
        }
    }
}

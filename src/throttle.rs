//! What slows a GPU's clock down.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What slows a GPU down, as NVML's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Throttle(pub u64);

/// Names of the bits, as `nvidia-smi -q -d PERFORMANCE` tells them. The first are a user's choice, or idleness.
const REASONS: [(u64, &str); 9] = [
    (0x1, "idle"),
    (0x2, "locked"),
    (0x4, "power"),
    (0x8, "hardware"),
    (0x10, "sync-boost"),
    (0x20, "thermal"),
    (0x40, "hardware-thermal"),
    (0x80, "power-brake"),
    (0x100, "display"),
];

impl Throttle {
    /// Reasons that nobody chose: a sample under one is slower than this GPU would be.
    const SLOWED: u64 = 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80;
    /// Clocks that the user has locked.
    const LOCKED: u64 = 0x2;

    /// Whether something holds the clock down that nobody chose.
    pub fn is_slowed(self) -> bool {
        self.0 & Throttle::SLOWED != 0
    }

    /// Whether the user has locked the clocks.
    pub fn is_locked(self) -> bool {
        self.0 & Throttle::LOCKED != 0
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = REASONS
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .map(|(_, name)| (*name).to_owned())
            .collect();
        let known = REASONS.iter().fold(0, |all, (bit, _)| all | bit);
        if self.0 & !known != 0 {
            words.push(format!("{:#x}", self.0 & !known));
        }
        f.pad(&if words.is_empty() { "none".to_owned() } else { words.join("+") })
    }
}

impl FromStr for Throttle {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Throttle(0));
        }
        let bit = |word: &str| {
            let named = REASONS.iter().find(|(_, name)| *name == word).map(|(bit, _)| *bit);
            let number = || u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
            named.or_else(number).ok_or_else(|| {
                let known: Vec<&str> = REASONS.iter().map(|(_, name)| *name).collect();
                format!("unknown reason `{word}`; known are none, {}", known.join(", "))
            })
        };
        text.split('+').try_fold(0, |all, word| Ok(all | bit(word)?)).map(Throttle)
    }
}

impl TryFrom<String> for Throttle {
    type Error = String;
    /// Its error names the column, which a reader of tables is not told for words that are parsed.
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|reason: String| format!("throttle: {reason}"))
    }
}

impl From<Throttle> for String {
    fn from(throttle: Throttle) -> String {
        throttle.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_back_as_written_known_to_this_build_or_not() {
        for bits in [0, 0x4, 0x4 | 0x20, 0x1, 0x1_000, 0x2 | 0x1_000] {
            let throttle = Throttle(bits);
            assert_eq!(throttle.to_string().parse(), Ok(throttle));
        }
        assert_eq!(Throttle(0x24).to_string(), "power+thermal");
        assert!("warm".parse::<Throttle>().unwrap_err().contains("known are none, idle, locked"));
    }

    #[test]
    fn clocks_that_the_user_locked_and_idleness_are_no_slowdown() {
        assert!(!Throttle(0x1 | 0x2 | 0x100).is_slowed() && Throttle(0x2).is_locked());
        assert!([0x4, 0x8, 0x10, 0x20, 0x40, 0x80].map(Throttle).iter().all(|t| t.is_slowed()));
    }
}

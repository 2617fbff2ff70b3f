//! The architectures that kernels are compiled for.

use std::fmt;
use std::str::FromStr;

/// A compile target: `sm_90a` is 9.0 with the instructions of that generation alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Architecture {
    /// Ten times the compute capability, e.g. 90.
    pub number: u32,
    /// Whether it has the suffix `a`.
    pub specific: bool,
}

impl Architecture {
    /// One without a suffix.
    pub const fn plain(number: u32) -> Self {
        Architecture { number, specific: false }
    }

    /// One with the suffix `a`.
    pub const fn specific(number: u32) -> Self {
        Architecture { number, specific: true }
    }

    /// Those that kernels are checked for: Turing, Ampere, Ada, Hopper and both Blackwells.
    pub const CHECKED: [Architecture; 6] = [
        Architecture::plain(75),
        Architecture::plain(80),
        Architecture::plain(89),
        Architecture::specific(90),
        Architecture::specific(100),
        Architecture::specific(120),
    ];
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("sm_{}{}", self.number, if self.specific { "a" } else { "" }))
    }
}

impl FromStr for Architecture {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("sm_").unwrap_or_default();
        let digits = name.strip_suffix('a').unwrap_or(name);
        match digits.parse() {
            Ok(number @ 50..=999) => Ok(Architecture { number, specific: name.ends_with('a') }),
            _ => Err(format!("`{text}` is no architecture; write sm_80, sm_90a, …")),
        }
    }
}

/// What a kernel needs of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// This one and all later ones.
    From(Architecture),
    /// Instructions that no other generation has.
    Exactly(Architecture),
}

impl Needs {
    /// Why it cannot be compiled for `architecture`, if so.
    pub fn refuses(self, architecture: Architecture) -> Option<String> {
        match self {
            Needs::From(least) if architecture.number >= least.number => None,
            Needs::From(least) => Some(format!("needs {least} or later, not {architecture}")),
            Needs::Exactly(one) if architecture == one => None,
            Needs::Exactly(one) => Some(format!("needs {one}, not {architecture}")),
        }
    }

    /// The oldest that does.
    pub fn least(self) -> Architecture {
        match self {
            Needs::From(one) | Needs::Exactly(one) => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_architectures_read_back_as_written() {
        for architecture in Architecture::CHECKED {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
        for bad in ["", "sm_", "90", "sm_a", "sm_9", "compute_90"] {
            assert!(bad.parse::<Architecture>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kernel_for_one_generation_is_refused_on_the_next() {
        let (hopper, blackwell) = (Architecture::specific(90), Architecture::specific(100));
        assert_eq!(Needs::Exactly(hopper).refuses(hopper), None);
        assert!(Needs::Exactly(hopper).refuses(blackwell).unwrap().contains("needs sm_90a"));
        assert!(Needs::Exactly(hopper).refuses(Architecture::plain(90)).is_some());
        assert_eq!(Needs::From(Architecture::plain(80)).refuses(blackwell), None);
        assert!(Needs::From(Architecture::plain(80)).refuses(Architecture::plain(75)).is_some());
    }
}

//! `scalemark.toml`: thresholds, what is gated, and waivers.
//!
//! ```toml
//! [gate]
//! slower = "0.5%"          # no alarm up to this
//! same = "2%"              # "the same" means within this
//! max-pairs = 32
//! kernels = ["matmul/*"]   # gated; others are reported only
//! report-only = ["attention/naive"]
//!
//! [[waiver]]
//! kernel = "matmul/simd"   # * and ? match anything, as in `case` and `metric`
//! case = "*/m512-*"
//! metric = "time"
//! reason = "a larger tile for the new cores, see issue 12"
//! expires = "2027-01-31"
//! ```

use std::path::Path;

use glob::Pattern;
use serde::Deserialize;
use toml::Value;

use super::report::Finding;
use super::rule::{LAST_PAIRS, Rule};
use crate::error::{Error, Result};
use crate::plan::select::nearest;

/// The file's name.
pub const FILE: &str = "scalemark.toml";

/// What the file says; without one, the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Slower begins at this excess.
    pub slower: f64,
    /// The same ends at this difference.
    pub same: f64,
    /// Most pairs.
    pub max_pairs: usize,
    kernels: Vec<Pattern>,
    report_only: Vec<Pattern>,
    waivers: Vec<Waiver>,
}

#[derive(Debug, Clone, PartialEq)]
struct Waiver {
    kernel: Pattern,
    case: Pattern,
    metric: Pattern,
    reason: String,
    /// The last day on which it counts.
    expires: jiff::civil::Date,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            slower: 0.005,
            same: 0.02,
            max_pairs: LAST_PAIRS,
            kernels: Vec::new(),
            report_only: Vec::new(),
            waivers: Vec::new(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct GateTable {
    slower: Option<String>,
    same: Option<String>,
    max_pairs: Option<usize>,
    kernels: Vec<String>,
    report_only: Vec<String>,
}

const GATE_KEYS: &[&str] = &["slower", "same", "max-pairs", "kernels", "report-only"];
const WAIVER_KEYS: &[&str] = &["kernel", "case", "metric", "reason", "expires"];

impl Config {
    /// Reads a file; `None`: [`FILE`] in the current folder, or the defaults where there is none.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Format`] when it says what makes no sense, an unknown key among it.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let file = path.unwrap_or(Path::new(FILE));
        match std::fs::read_to_string(file) {
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Config::default())
            }
            text => Config::parse(&text.map_err(Error::io("read", file))?, file),
        }
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::format(path, None, reason);
        let root: toml::Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count() as u64);
            Error::format(path, line, error.message().to_owned())
        })?;
        known("the file", &root, &["gate", "waiver"]).map_err(bad)?;
        let mut config = Config::default();
        if let Some(value) = root.get("gate") {
            let table =
                value.as_table().ok_or_else(|| bad("`gate` is no table; write [gate]".into()))?;
            known("[gate]", table, GATE_KEYS).map_err(bad)?;
            config.take_gate(value.clone()).map_err(bad)?;
        }
        let waivers = match root.get("waiver") {
            None => &[][..],
            Some(Value::Array(list)) => list,
            Some(_) => return Err(bad("`waiver` is no list; write [[waiver]]".into())),
        };
        for (value, number) in waivers.iter().zip(1..) {
            let waiver = Waiver::of(value).map_err(|why| bad(format!("waiver {number}: {why}")))?;
            config.waivers.push(waiver);
        }
        // What the bounds come to is checked where they are used first.
        Rule::new(config.slower, config.same, config.max_pairs).map_err(|e| bad(e.to_string()))?;
        Ok(config)
    }

    fn take_gate(&mut self, value: Value) -> Result<(), String> {
        for key in ["slower", "same"] {
            if let Some(share) = value.get(key).filter(|share| !share.is_str()) {
                let kind = share.type_str();
                return Err(format!("{key} is {kind}, not text; write {key} = \"2%\""));
            }
        }
        let table: GateTable = value.try_into().map_err(|e| format!("[gate]: {}", e.message()))?;
        if let Some(text) = &table.slower {
            self.slower = percent("slower", text)?;
        }
        if let Some(text) = &table.same {
            self.same = percent("same", text)?;
        }
        self.max_pairs = table.max_pairs.unwrap_or(self.max_pairs);
        self.kernels = table.kernels.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
        self.report_only =
            table.report_only.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Says of each finding whether it is gated, and which waiver excuses it on the day `today`.
    pub fn apply(&self, findings: &mut [Finding], today: jiff::civil::Date) {
        for finding in findings {
            let named = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(&finding.kernel));
            finding.gated =
                (self.kernels.is_empty() || named(&self.kernels)) && !named(&self.report_only);
            let waiver = self.waivers.iter().find(|waiver| waiver.fits(finding));
            let lasts = waiver.filter(|waiver| today <= waiver.expires);
            finding.waiver =
                lasts.map(|waiver| format!("{}, until {}", waiver.reason, waiver.expires));
            if let (Some(waiver), None) = (waiver, lasts) {
                let note = format!("its waiver expired on {}", waiver.expires);
                finding.reason = match finding.reason.as_str() {
                    "" => note,
                    reason => format!("{reason}; {note}"),
                };
            }
        }
    }
}

impl Waiver {
    fn of(value: &Value) -> Result<Self, String> {
        let table = value.as_table().ok_or("is no table; write [[waiver]]")?;
        known("[[waiver]]", table, WAIVER_KEYS)?;
        let text = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(format!("{key} is {}, not text", other.type_str())),
        };
        let or_any = |key| Ok::<_, String>(text(key)?.unwrap_or_else(|| "*".into()));
        let reason = text("reason")?.unwrap_or_default();
        if reason.trim().is_empty() {
            return Err("has no reason; say why the regression is accepted".into());
        }
        let expires = match table.get("expires") {
            Some(Value::Datetime(date)) => date.to_string(),
            _ => text("expires")?.ok_or("does not expire; give it a day, as in \"2027-01-31\"")?,
        };
        Ok(Waiver {
            kernel: pattern(&text("kernel")?.ok_or("names no kernel; \"*\" is all of them")?)?,
            case: pattern(&or_any("case")?)?,
            metric: pattern(&or_any("metric")?)?,
            reason,
            expires: expires
                .parse()
                .map_err(|_| format!("expires {expires} is no day; write \"2027-01-31\""))?,
        })
    }

    fn fits(&self, finding: &Finding) -> bool {
        self.kernel.matches(&finding.kernel)
            && self.case.matches(&finding.case)
            && self.metric.matches(&finding.metric)
    }
}

fn known(place: &str, table: &toml::Table, keys: &[&str]) -> Result<(), String> {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let hint = nearest(key, keys.iter().map(|key| key.to_string()));
            Err(format!("unknown key `{key}` in {place}{hint}; known are {}", keys.join(", ")))
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|e| format!("`{text}` is no pattern: {e}"))
}

/// `2%` or `0.02`.
fn percent(key: &str, text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let value = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|p| p / 100.0),
        None => number(text),
    };
    value.ok_or_else(|| format!("{key} = \"{text}\" is no share; write \"2%\" or \"0.02\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::{Ratio, Verdict};

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, Path::new("scalemark.toml"))
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let source = include_str!("config.rs");
        let example: Vec<&str> = source
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!").trim_start())
            .collect();
        let config = parse(&example.join("\n")).unwrap();
        assert_eq!((config.slower, config.same, config.max_pairs), (0.005, 0.02, 32));
        assert_eq!((config.kernels.len(), config.waivers.len()), (1, 1));
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn what_is_unknown_or_makes_no_sense_is_refused_with_the_way_out() {
        for (text, says) in [
            ("[gate]\nslowr = \"1%\"", "did you mean `slower`?"),
            ("[gates]", "did you mean `gate`?"),
            ("[gate]\nslower = \"much\"", "write \"2%\""),
            ("[gate]\nslower = \"3%\"", "thresholds make no sense"),
            ("[gate]\nslower = 1", "slower is integer, not text"),
            ("[gate]\nmax-pairs = 3", "use 8 to 4096"),
            ("[gate]\nmax-pairs = -3", "[gate]"),
            ("[gate]\nkernels = [\"a[\"]", "is no pattern"),
            ("[[waiver]]\nkernel = \"*\"\nexpires = \"2030-01-01\"", "waiver 1: has no reason"),
            ("[[waiver]]\nkernel = \"*\"\nreason = \"x\"", "does not expire"),
            ("[[waiver]]\nkernel = \"*\"\nreason = \"x\"\nexpires = \"soon\"", "is no day"),
            ("[[waiver]]\nreason = \"x\"\nexpires = \"2030-01-01\"", "names no kernel"),
            ("[[waiver]]\nkernal = \"*\"", "did you mean `kernel`?"),
            ("waiver = 3", "is no list"),
        ] {
            let error = error(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(error("[gate]\nslower = ").starts_with("scalemark.toml:2: "));
    }

    #[test]
    fn a_waiver_excuses_until_it_expires_and_then_says_so() {
        let config = parse(
            "[gate]\nkernels = [\"matmul/*\"]\nreport-only = [\"*/naive\"]\n[[waiver]]\nkernel = \"matmul/simd\"\ncase = \"*m512*\"\n\
             reason = \"known\"\nexpires = 2026-12-31",
        )
        .unwrap();
        let finding = |kernel: &str, case: &str| {
            Finding::new(kernel, case, "time", Verdict::Slower(Ratio(1.1)))
        };
        let mut findings = vec![
            finding("matmul/simd", "matmul/nn/m512-n1-k1"),
            finding("matmul/simd", "matmul/nn/m256-n1-k1"),
            finding("matmul/naive", "matmul/nn/m512-n1-k1"),
            finding("attention/simd", "a"),
        ];
        config.apply(&mut findings, "2026-12-31".parse().unwrap());
        let gated: Vec<bool> = findings.iter().map(|f| f.gated).collect();
        assert_eq!(gated, [true, true, false, false]);
        assert_eq!(findings[0].waiver.as_deref(), Some("known, until 2026-12-31"));
        assert_eq!(findings[1].waiver, None);
        config.apply(&mut findings, "2027-01-01".parse().unwrap());
        assert_eq!(findings[0].waiver, None);
        assert_eq!(findings[0].reason, "its waiver expired on 2026-12-31");
    }
}

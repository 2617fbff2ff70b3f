//! The fingerprint of the hardware and software that a run stands for: `machine.json`.

pub mod hardware;
mod microarchitecture;
pub mod noise;
pub mod readings;
pub mod redact;
pub mod root;
pub mod software;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use hardware::{CacheLevel, Hardware};
pub use noise::{Condition, Severity, conditions};
pub use readings::Readings;
pub use redact::Secrets;
pub use root::Root;
pub use software::Software;

use crate::error::{Error, Result};

/// The version of `machine.json` that this build writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// What to look at, and what to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetectOptions {
    /// Whether to keep the names of host and user, the working folder, and the command line as it was typed.
    pub identify: bool,
    /// Where to look; the running system, but for tests.
    pub root: Root,
}

/// Who ran it and where: only when asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The host's name.
    pub host: Option<String>,
    /// The user's name.
    pub user: Option<String>,
    /// The working folder.
    pub folder: Option<String>,
}

/// The fingerprint of a machine at the start of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The version of this format.
    pub schema: u32,
    /// When the run started: UTC, to the second, as in RFC 3339.
    pub started: String,
    /// What makes machines comparable.
    pub hardware: Hardware,
    /// What may change on one machine.
    pub software: Software,
    /// Present only when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

impl Machine {
    /// Looks at the machine. What it does not tell stays empty; nothing here fails.
    pub fn detect(options: &DetectOptions) -> Self {
        let secrets = Secrets::of_this_process();
        let command: Vec<String> =
            std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
        let root = &options.root;
        let folder = || Some(std::env::current_dir().ok()?.to_string_lossy().into_owned());
        let identity = options.identify.then(|| Identity {
            host: secrets.host.clone(),
            user: secrets.user.clone(),
            folder: folder(),
        });
        let mut software = Software::detect(root, &command, &secrets);
        if options.identify {
            software.command = Some(command.join(" "));
        }
        Machine {
            schema: SCHEMA,
            started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            hardware: Hardware::detect(root),
            software,
            identity,
        }
    }

    /// The text of `machine.json`: indented, ending in a new line.
    pub fn to_json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("a machine holds only text and numbers");
        text + "\n"
    }

    /// Reads the text of the `machine.json` at `path`.
    ///
    /// # Errors
    /// [`Error::Format`] when it is no such text, or of a newer version.
    pub fn from_json(text: &str, path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let broken = |e: serde_json::Error| {
            let line = Some(e.line() as u64).filter(|&line| line > 0);
            Error::format(path, line, format!("is no fingerprint of a machine: {e}"))
        };
        let Version { schema } = serde_json::from_str(text).map_err(broken)?;
        if schema == 0 || schema > SCHEMA {
            let reason = format!(
                "has schema {schema}, this build reads 1 to {SCHEMA}; use a newer scalemark"
            );
            return Err(Error::format(path, None, reason));
        }
        serde_json::from_str(text).map_err(broken)
    }

    /// Reads a `machine.json`.
    ///
    /// # Errors
    /// As [`Machine::from_json`], and [`Error::Io`] when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Machine::from_json(&text, path)
    }

    /// Fields that differ, hardware first, as `hardware.microcode: "0x1" against "0x2"`. When the run started, who ran it
    /// and with what command line is no difference between machines.
    pub fn differences(&self, other: &Machine) -> Vec<String> {
        let (ours, theirs) = (self.facts(), other.facts());
        let mut found = Vec::new();
        for part in ["hardware", "software"] {
            compare(part, &ours[part], &theirs[part], &mut found);
        }
        found
    }

    fn facts(&self) -> Value {
        let mut facts = serde_json::to_value(self).expect("a machine holds only text and numbers");
        if let Some(software) = facts["software"].as_object_mut() {
            software.remove("command");
        }
        facts
    }
}

/// Walks two trees of facts side by side; a list of numbers or words counts as one fact.
fn compare(name: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            for key in names {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                compare(&format!("{name}.{key}"), &of(a), &of(b), found);
            }
        }
        _ if ours == theirs => {}
        _ => {
            let text = |value: &Value| match value {
                Value::Null => "unknown".to_owned(),
                other => other.to_string(),
            };
            found.push(format!("{name}: {} against {}", text(ours), text(theirs)));
        }
    }
}

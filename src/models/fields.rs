//! Fields of a JSON object, with errors that name file and field.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// More layers than any transformer has.
pub(super) const MAX_LAYERS: usize = 10_000;
/// More than any width, head count, expert count or vocabulary.
pub(super) const MAX_SIZE: usize = 1 << 24;

/// A JSON object and the file that it is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    /// The file, for errors.
    pub path: &'a Path,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which must be an object.
    pub fn new(path: &'a Path, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Fields { path, map }),
            other => {
                Err(Error::format(path, None, format!("{} is not a JSON object", brief(other))))
            }
        }
    }

    /// An error in this file.
    pub fn error(&self, reason: impl Into<String>) -> Error {
        Error::format(self.path, None, reason)
    }

    /// Whether the field is there, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The first of `names` that is there and not null.
    fn get(&self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        names.iter().find_map(|&name| {
            self.map.get(name).filter(|value| !value.is_null()).map(|value| (name, value))
        })
    }

    fn number(&self, names: &[&'static str], least: u64, most: usize) -> Result<Option<usize>> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        let whole = value.as_u64();
        match whole.and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n as u64 >= least && n <= most => Ok(Some(n)),
            _ if value.is_i64() || value.is_u64() => Err(self.error(format!(
                "`{name}` is {}, which makes no sense; it must be within {least}..={most}",
                brief(value)
            ))),
            _ => Err(self.error(format!("`{name}` is {}, not a whole number", brief(value)))),
        }
    }

    /// A number from 1 to `most`, under the first of its names that is present; `None` when absent or null.
    pub fn optional_size(&self, names: &[&'static str], most: usize) -> Result<Option<usize>> {
        self.number(names, 1, most)
    }

    /// A number from 0 to `most`; `None` when absent or null.
    pub fn count(&self, name: &'static str, most: usize) -> Result<Option<usize>> {
        self.number(&[name], 0, most)
    }

    /// A number from 1 to `most` that must be there.
    pub fn size(&self, names: &[&'static str], most: usize) -> Result<usize> {
        self.optional_size(names, most)?.ok_or_else(|| {
            let others: Vec<String> = names[1..].iter().map(|n| format!("`{n}`")).collect();
            let or = if others.is_empty() { "" } else { " or " };
            self.error(format!("`{}`{or}{} is missing", names[0], others.join(" or ")))
        })
    }

    /// A switch; `default` when absent or null.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        match self.get(&[name]) {
            None => Ok(default),
            Some((_, Value::Bool(flag))) => Ok(*flag),
            Some((_, other)) => {
                Err(self.error(format!("`{name}` is {}, not true or false", brief(other))))
            }
        }
    }

    /// Refuses a switch that is on; `only` says what is supported.
    pub fn must_be_off(&self, name: &'static str, only: &str) -> Result<()> {
        if self.flag(name, false)? {
            return Err(
                self.error(format!("`{name}` is not supported; such a model runs only {only}"))
            );
        }
        Ok(())
    }

    /// A string; `None` when absent or null.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<&'a str>> {
        match self.get(&[name]) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((_, other)) => {
                Err(self.error(format!("`{name}` is {}, not a string", brief(other))))
            }
        }
    }

    /// A string that must be there.
    pub fn text(&self, name: &'static str) -> Result<&'a str> {
        self.optional_text(name)?.ok_or_else(|| self.error(format!("`{name}` is missing")))
    }

    /// A list of numbers below `bound`; empty when absent or null.
    pub fn indices(&self, name: &'static str, bound: usize) -> Result<Vec<usize>> {
        let Some((_, value)) = self.get(&[name]) else { return Ok(Vec::new()) };
        let index = |v: &Value| v.as_u64().filter(|&n| n < bound as u64).map(|n| n as usize);
        let all = value.as_array().and_then(|list| list.iter().map(index).collect());
        all.ok_or_else(|| {
            let value = brief(value);
            self.error(format!("`{name}` is {value}, not a list of numbers below {bound}"))
        })
    }

    /// Refuses a `part` that does not divide the `whole`.
    pub fn divides(
        &self,
        whole: &[&'static str],
        size: usize,
        part: &[&'static str],
        parts: usize,
    ) -> Result<()> {
        if size.is_multiple_of(parts) {
            return Ok(());
        }
        let name = |names: &[&'static str]| self.get(names).map_or(names[0], |(name, _)| name);
        let (whole, part) = (name(whole), name(part));
        Err(self.error(format!("`{part}` is {parts}, which does not divide `{whole}` ({size})")))
    }
}

/// A value as an error quotes it: short, on one line.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => format!("an object of {}", map.len()),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(40) {
                Some((cut, _)) => format!("{}…", &text[..cut]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_names_file_field_and_value() {
        let value = json!({"a": 0, "b": 1.5, "c": "x".repeat(99), "d": [1], "e": null, "f": -3});
        let fields = Fields::new(Path::new("m.json"), &value).unwrap();
        let message = |name| fields.size(&[name], 100).unwrap_err().to_string();
        assert_eq!(
            message("a"),
            "m.json: `a` is 0, which makes no sense; it must be within 1..=100"
        );
        assert_eq!(message("b"), "m.json: `b` is 1.5, not a whole number");
        assert_eq!(message("d"), "m.json: `d` is a list of 1, not a whole number");
        assert_eq!(message("e"), "m.json: `e` is missing");
        assert!(message("f").contains("`f` is -3, which makes no sense"));
        assert!(message("c").len() < 100, "long values are cut: {}", message("c"));
        let either = fields.size(&["n_embd", "hidden_size"], 100).unwrap_err().to_string();
        assert_eq!(either, "m.json: `n_embd` or `hidden_size` is missing");
    }
}

//! Where facts are read from: the file system's root, or a recorded copy of parts of one.

use std::path::{Path, PathBuf};

/// A folder that holds `proc`, `sys` and `etc`; tests use recorded ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(pub PathBuf);

impl Default for Root {
    fn default() -> Self {
        Root(PathBuf::from("/"))
    }
}

impl Root {
    /// Whether this is the running system, so that it may also be asked by instructions and system calls.
    pub fn is_live(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// A file's text without surrounding white space; `None` when it is missing, unreadable, empty or no UTF-8.
    pub fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A file that holds one number, in decimal.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The value after `key` and a colon, in a file of such lines (`/proc/meminfo`, `/proc/cpuinfo`): the first one.
    pub fn field(&self, path: &str, key: &str) -> Option<String> {
        self.text(path)?.lines().find_map(|line| field_of(line, key))
    }

    /// The amount after `key` in a file of lines like `MemTotal:  24684084 kB`, in bytes.
    pub fn kib_field(&self, path: &str, key: &str) -> Option<u64> {
        let value = self.field(path, key)?;
        value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    }

    /// The choice in brackets of a file like `always [madvise] never`.
    pub fn choice(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    }

    /// A list of numbers like `0-3,8`; empty when the file is missing or holds anything else.
    pub fn list(&self, path: &str) -> Vec<usize> {
        self.text(path).and_then(|text| parse_list(&text)).unwrap_or_default()
    }

    /// Names in a folder, sorted; empty when it is missing.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Whether a file or folder is there.
    pub fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }
}

/// The value of a line `key : value`.
pub(super) fn field_of(line: &str, key: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == key && !value.trim().is_empty()).then(|| value.trim().to_owned())
}

/// The kernel's list format: `0-3,8`. At most 2¹⁶ numbers, so that a broken file cannot exhaust memory.
fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) =
            (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if last < first || last - first + numbers.len() >= 1 << 16 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Numbers in the kernel's list format.
pub(crate) fn list_text(numbers: &[usize]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = numbers;
    while let Some(&first) = rest.first() {
        let run = rest.iter().enumerate().take_while(|&(i, &n)| n == first + i).count();
        parts.push(match run {
            1 => first.to_string(),
            _ => format!("{first}-{}", first + run - 1),
        });
        rest = &rest[run..];
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read_and_written() {
        for text in ["0", "0-3", "0-3,8", "0,2,4-5"] {
            assert_eq!(list_text(&parse_list(text).unwrap()), text);
        }
        for broken in ["", "x", "3-1", "0-99999999999", "1-", "-"] {
            assert_eq!(parse_list(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_missing_file_is_none_and_never_a_panic() {
        let root = Root("/nonexistent/root".into());
        assert_eq!(root.text("proc/cpuinfo"), None);
        assert_eq!(root.list("sys/devices/system/cpu/online"), Vec::<usize>::new());
        assert!(root.names("sys").is_empty());
    }
}

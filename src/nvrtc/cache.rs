//! Compilations kept on disk: in `SCALEMARK_CACHE`, or `scalemark` in the user's cache folder.
//!
//! An entry is written beside its place and renamed into it, so that nobody reads half of one; one that does not read back
//! whole is built again. Where there is no such folder, or it cannot be written, everything is compiled.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Built, Source};

/// Raised when an entry's form changes.
const FORM: u32 = 1;

/// The name of an entry, and all that it stands for.
#[derive(Debug, Clone)]
pub struct Key {
    name: String,
    text: String,
}

/// Everything that a compilation depends on.
pub fn key(version: (i32, i32), source: &Source<'_>, options: &[String]) -> Key {
    let mut text = format!("{FORM}\n{version:?}\n{options:?}\n{}\n{}\n", source.name, source.text);
    for (name, header) in source.headers {
        text += &format!("{name}\n{header}\n");
    }
    let hash = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        hasher.finish()
    };
    Key { name: format!("{:016x}{:016x}.json", hash(1), hash(2)), text }
}

fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let own = variable("SCALEMARK_CACHE").map(|own| own.join("nvrtc"));
    let user = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    own.or_else(|| Some(user()?.join("scalemark").join("nvrtc")))
}

/// What an earlier compilation left.
pub fn load(key: &Key) -> Option<Built> {
    load_from(&folder()?, key)
}

fn load_from(folder: &Path, key: &Key) -> Option<Built> {
    let bytes = std::fs::read(folder.join(&key.name)).ok()?;
    let (text, built): (String, Built) = serde_json::from_slice(&bytes).ok()?;
    // Not the hash but the whole text decides.
    (text == key.text).then_some(built)
}

/// Keeps a compilation; one that cannot be kept is only compiled again next time.
pub fn save(key: &Key, built: &Built) {
    let _ = folder().and_then(|folder| save_in(&folder, key, built));
}

fn save_in(folder: &Path, key: &Key, built: &Built) -> Option<()> {
    std::fs::create_dir_all(folder).ok()?;
    let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
    let bytes = serde_json::to_vec(&(&key.text, built)).ok()?;
    file.write_all(&bytes).ok()?;
    file.persist(folder.join(&key.name)).ok().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_and_one_that_is_cut_or_of_another_source_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let source = |text| Source { name: "x.cu", text, headers: &[] };
        let one = key((13, 0), &source("one"), &[]);
        let built =
            Built { ptx: "p".into(), cubin: vec![1], log: String::new(), resources: vec![] };
        assert_eq!(load_from(folder.path(), &one), None);
        save_in(folder.path(), &one, &built).unwrap();
        assert_eq!(load_from(folder.path(), &one), Some(built));
        assert_eq!(load_from(folder.path(), &Key { text: "other".into(), ..one.clone() }), None);
        let path = folder.path().join(&one.name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(load_from(folder.path(), &one), None);
    }

    #[test]
    fn a_changed_header_option_or_version_is_another_entry() {
        let name = |version, header, option: &str| {
            let headers = [("h.cuh", header)];
            let source = Source { name: "x.cu", text: "", headers: &headers };
            key(version, &source, &[option.to_owned()]).name
        };
        let names = [
            name((13, 0), "a", "-DX"),
            name((13, 1), "a", "-DX"),
            name((13, 0), "b", "-DX"),
            name((13, 0), "a", "-DY"),
        ];
        let unique: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), 4);
    }
}

//! A command line without what it tells about a person: no folders, no user, no host.

use std::path::Path;

/// What must not be seen in results that people share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The user's name.
    pub user: Option<String>,
    /// The host's name.
    pub host: Option<String>,
    /// The home folder; its last component is hidden like a user's name.
    pub home: Option<String>,
}

impl Secrets {
    /// Those of the running process.
    pub fn of_this_process() -> Self {
        let variable = |names: &[&str]| {
            names.iter().find_map(|n| std::env::var(n).ok()).filter(|v| !v.is_empty())
        };
        Secrets {
            user: variable(&["USER", "LOGNAME", "USERNAME"]),
            host: sysinfo::System::host_name().ok().filter(|h| !h.is_empty()),
            home: variable(&["HOME", "USERPROFILE"]),
        }
    }

    /// Each name with what is put in its place. Names that many machines share tell nothing and stay.
    fn words(&self) -> Vec<(&str, &'static str)> {
        let home = self.home.as_deref().and_then(|h| Path::new(h).file_name()?.to_str());
        let host = self.host.as_deref();
        let short_host = host.and_then(|h| h.split('.').next());
        [(host, "HOST"), (short_host, "HOST"), (self.user.as_deref(), "USER"), (home, "USER")]
            .into_iter()
            .filter_map(|(word, mask)| Some((word?, mask)))
            .filter(|(word, _)| word.len() > 2 && !["root", "localhost"].contains(word))
            .collect()
    }
}

/// The command line as one text that a shell takes: paths from the root or a home folder shrink to their last component,
/// names of the user and the host become `USER` and `HOST`.
pub fn redact(command: &[String], secrets: &Secrets) -> String {
    let mut parts = Vec::with_capacity(command.len());
    for (i, argument) in command.iter().enumerate() {
        // The program is known by its name; from where it was started is nobody's business.
        let argument = if i == 0 { last_component(argument) } else { argument };
        parts.push(quoted(redact_text(argument, secrets)));
    }
    parts.join(" ")
}

/// One argument, as in [`redact`], without quotes around it.
pub fn redact_text(argument: &str, secrets: &Secrets) -> String {
    let shown = shorten_paths(argument);
    secrets.words().iter().fold(shown, |text, (word, mask)| mask_word(&text, word, mask))
}

fn last_component(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}

/// Shrinks every absolute path in an argument: at its start, or after one of `= : , ; @ ( " '` or a space. A path ends
/// at the next of these but for the space, which may be part of a folder's name.
fn shorten_paths(argument: &str) -> String {
    const ENDS: [char; 8] = ['=', ':', ',', ';', '@', '(', '"', '\''];
    let mut out = String::with_capacity(argument.len());
    let mut rest = argument;
    let mut may_start = true;
    while let Some(c) = rest.chars().next() {
        if may_start && matches!(c, '/' | '\\' | '~') {
            let end = rest.find(ENDS).unwrap_or(rest.len());
            let name = last_component(&rest[..end]);
            out.push_str(if name.starts_with('~') { "~" } else { name });
            rest = &rest[end..];
            may_start = false;
            continue;
        }
        out.push(c);
        may_start = c == ' ' || ENDS.contains(&c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Replaces `word`, in any case, where no letter or digit touches it.
fn mask_word(text: &str, word: &str, mask: &str) -> String {
    // ASCII case only: it keeps byte positions.
    let (haystack, needle) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in haystack.match_indices(&needle) {
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let after = at + needle.len();
        if touches(text[..at].chars().next_back()) || touches(text[after..].chars().next()) {
            continue;
        }
        out.push_str(&text[done..at]);
        out.push_str(mask);
        done = after;
    }
    out.push_str(&text[done..]);
    out
}

/// In single quotes where a shell would take it apart.
fn quoted(text: String) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+,./:@%~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(arguments: &[&str]) -> String {
        let secrets = Secrets {
            user: Some("alice".into()),
            host: Some("borealis.example.org".into()),
            home: Some("/people/alice.w".into()),
        };
        let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
        redact(&arguments, &secrets)
    }

    #[test]
    fn what_was_measured_stays() {
        let line = ["scalemark", "run", "--op", "matmul", "-m", "1024,2048", "--precision", "1%"];
        assert_eq!(redacted(&line), line.join(" "));
    }

    #[test]
    fn paths_shrink_to_their_last_component() {
        for (argument, seen) in [
            ("/people/alice/models/config.json", "config.json"),
            ("--out=/srv/secret/run/", "--out=run"),
            ("~/data/x.csv", "x.csv"),
            ("~", "~"),
            ("~bob", "~"),
            ("a.json,/data/b.json:/data/c.json", "a.json,b.json:c.json"),
            ("/people/Alice Wonder/my file", "'my file'"),
            (r"C:\Users\alice\x.csv", "C:x.csv"),
            ("/", "''"),
            ("relative/x.json", "relative/x.json"),
            ("1/2", "1/2"),
        ] {
            assert_eq!(redacted(&["/opt/bin/scalemark", argument]), format!("scalemark {seen}"));
        }
    }

    #[test]
    fn names_of_user_and_host_go() {
        for (argument, seen) in [
            ("../Alice/x", "../USER/x"),
            ("alice@borealis", "USER@HOST"),
            ("borealis.example.org", "HOST"),
            ("alice.w", "USER.w"),
            ("malice", "malice"),
            ("été-alice-été", "été-USER-été"),
        ] {
            assert_eq!(redacted(&["scalemark", argument]), format!("scalemark {seen}"));
        }
    }

    #[test]
    fn names_that_tell_nothing_stay() {
        let secrets = Secrets {
            user: Some("root".into()),
            host: Some("vm".into()),
            home: Some("/root".into()),
        };
        assert_eq!(redact(&["s".into(), "root".into(), "vm".into()], &secrets), "s root vm");
    }

    #[test]
    fn arguments_with_spaces_stay_one_argument() {
        assert_eq!(redacted(&["scalemark", "a b", "it's", ""]), r"scalemark 'a b' 'it'\''s' ''");
    }
}

//! The pages of a site of all runs, and putting them into a folder.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path};

use super::canvas::{Picture, dark};
use super::html::{BEGIN, escape, from_markdown, href};
use super::write::whole;
use crate::error::{Error, Result};

/// The file that says which files of a folder the site wrote.
const WRITTEN: &str = ".scalemark-site";
/// Its first line.
const HEADER: &str = "scalemark site 1";
const VIEWPORT: &str = "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">";
const STYLE: &str = include_str!("across/page.css");

/// A file of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it stands, from the site's folder on, with `/` between names.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// A run, as the index tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its folder's name, which its link is made of.
    pub name: String,
    /// When it began.
    pub started: String,
    /// Its processor, or GPUs.
    pub machine: String,
    /// The version of scalemark that measured.
    pub version: String,
    /// Records by outcome, in words.
    pub records: String,
}

/// Where a run's page stands.
fn place(name: &str) -> String {
    format!("runs/{name}/index.html")
}

/// What every page begins with.
fn begin(title: &str) -> String {
    let themes = format!("@media screen and (prefers-color-scheme:dark){{{}}}", dark(".picture "));
    format!(
        "{BEGIN}{VIEWPORT}<title>{}</title><style>{STYLE}{themes}</style></head><body>\n",
        escape(title)
    )
}

/// The first page: every run with its link, the newest first.
pub fn index(runs: &[Entry], compared: bool) -> Page {
    let mut text = begin("scalemark runs");
    text.push_str("<h1>scalemark runs</h1>\n");
    if compared {
        text.push_str("<p><a href=\"compare/index.html\">All of them side by side</a></p>\n");
    }
    text.push_str(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Runs\"><table><thead><tr><th scope=\"col\">run</th>\
         <th scope=\"col\">began</th><th scope=\"col\">machine</th><th scope=\"col\">scalemark</th><th scope=\"col\">records</th></tr></thead><tbody>\n",
    );
    let mut runs: Vec<&Entry> = runs.iter().collect();
    runs.sort_by(|a, b| b.started.cmp(&a.started).then(b.name.cmp(&a.name)));
    for run in runs {
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\"><a href=\"{}\">{}</a></th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            href(&place(&run.name)),
            escape(&run.name),
            escape(&run.started),
            escape(&run.machine),
            escape(&run.version),
            escape(&run.records),
        );
    }
    text.push_str("</tbody></table></div>\n</body></html>\n");
    Page { path: "index.html".to_owned(), text }
}

/// The page of one run: its report, with the pictures in it.
pub fn run(name: &str, report: &str, pictures: &[Picture]) -> Page {
    let mut text = begin(name);
    let _ = writeln!(text, "<p><a href=\"../../index.html\">All runs</a> · {}</p>", escape(name));
    text.push_str(&from_markdown(report, pictures));
    text.push_str("</body></html>\n");
    Page { path: place(name), text }
}

/// Where the comparison stands, from the site's folder on.
pub const COMPARE: &str = "compare/index.html";

/// Puts pages into a folder. What the site wrote before and no longer has is removed; nothing else is, and nothing of others is written
/// over. Returns how many files were written, which is none where all is as it should be, and how many were removed.
///
/// # Errors
/// A file that stands where a page belongs and is not the site's; what cannot be read or written.
pub fn publish(folder: &Path, pages: &[Page]) -> Result<(usize, usize)> {
    let known = written(folder)?;
    let wanted: BTreeSet<String> = pages.iter().map(|page| page.path.clone()).collect();
    let ours = |path: &str| {
        let text = fs::read_to_string(folder.join(path));
        text.is_ok_and(|text| text.starts_with(BEGIN))
    };
    for path in &wanted {
        // A link that leads nowhere is somebody's as well.
        let there = folder.join(path).symlink_metadata().is_ok();
        if there && !(known.contains(path) && ours(path)) {
            return Err(Error::Usage(format!(
                "{} is not from `report --site`; move it away, or name another folder",
                folder.join(path).display()
            )));
        }
    }
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    // Both lists until all is done: what is interrupted can be gone on with.
    note(folder, known.union(&wanted))?;
    let mut fresh = 0;
    for page in pages {
        let path = folder.join(&page.path);
        if fs::read_to_string(&path).is_ok_and(|text| text == page.text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        whole(&path, &page.text)?;
        fresh += 1;
    }
    let mut removed = 0;
    for path in known.difference(&wanted).filter(|path| ours(path)) {
        let path = folder.join(path);
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        removed += 1;
        if let Some(parent) = path.parent() {
            // Only if nobody else put anything there.
            let _ = fs::remove_dir(parent);
        }
    }
    note(folder, wanted.iter())?;
    Ok((fresh, removed))
}

/// Writes down which files are the site's.
fn note<'a>(folder: &Path, paths: impl Iterator<Item = &'a String>) -> Result<()> {
    let lines: Vec<&str> = std::iter::once(HEADER).chain(paths.map(String::as_str)).collect();
    let text = lines.join("\n") + "\n";
    let path = folder.join(WRITTEN);
    if fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    whole(&path, &text)
}

/// The files that the site wrote into a folder; none where it has not been.
fn written(folder: &Path) -> Result<BTreeSet<String>> {
    let path = folder.join(WRITTEN);
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let broken = |line: usize| {
        let reason = "not a list that `report --site` wrote; name another folder";
        Error::format(&path, Some(line as u64), reason)
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(broken(1));
    }
    // Nothing outside of the folder, whoever wrote the list.
    let inside = |line: &str| {
        let mut parts = Path::new(line).components();
        !line.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let check = |(i, line): (usize, &str)| {
        if inside(line) { Ok(line.to_owned()) } else { Err(broken(i + 2)) }
    };
    lines.enumerate().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> Page {
        Page { path: path.to_owned(), text: format!("{BEGIN}{text}") }
    }

    #[test]
    fn a_second_time_writes_nothing_and_what_is_gone_is_removed_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("site");
        let both = [page("index.html", "1"), page("runs/a/index.html", "2")];
        assert_eq!(publish(&folder, &both).unwrap(), (2, 0));
        assert_eq!(publish(&folder, &both).unwrap(), (0, 0));
        fs::write(folder.join("runs/a/notes.txt"), "mine").unwrap();
        fs::write(folder.join("other.html"), "mine").unwrap();
        assert_eq!(publish(&folder, &both[..1]).unwrap(), (0, 1));
        assert!(!folder.join("runs/a/index.html").exists());
        assert!(folder.join("runs/a/notes.txt").exists() && folder.join("other.html").exists());
        // A page that somebody put in the place of ours is not ours any more.
        publish(&folder, &both).unwrap();
        fs::write(folder.join("runs/a/index.html"), "mine").unwrap();
        assert_eq!(publish(&folder, &both[..1]).unwrap(), (0, 0));
        assert_eq!(fs::read_to_string(folder.join("runs/a/index.html")).unwrap(), "mine");
    }

    #[test]
    fn what_is_not_the_sites_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("index.html"), format!("{BEGIN}mine")).unwrap();
        let refused = publish(dir.path(), &[page("index.html", "1")]).unwrap_err();
        assert!(refused.to_string().contains("move it away"), "{refused}");
        assert!(!dir.path().join(WRITTEN).exists());
    }

    #[test]
    fn a_list_that_leads_out_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for line in ["../x", "/etc/x", "a/../../x", ""] {
            fs::write(dir.path().join(WRITTEN), format!("{HEADER}\n{line}\n")).unwrap();
            let refused = publish(dir.path(), &[]).unwrap_err();
            assert!(refused.to_string().contains(":2: not a list"), "{line}: {refused}");
        }
    }

    #[test]
    fn names_in_the_index_are_text_and_links_lead_to_their_pages() {
        let entry = Entry {
            name: "a <b> %".to_owned(),
            started: "2026".to_owned(),
            machine: "<script>".to_owned(),
            version: String::new(),
            records: "1 measured".to_owned(),
        };
        let page = index(&[entry], true).text;
        assert!(
            page.contains("href=\"runs/a%20%3Cb%3E%20%25/index.html\">a &lt;b&gt; %</a>"),
            "{page}"
        );
        assert!(!page.contains("<script>"));
    }
}

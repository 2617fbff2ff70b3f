//! A listing as one HTML page that needs no network and no script.

use std::fmt::Write as _;

use super::{File, Listing, columns};
use crate::report::html::escape;

const STYLE: &str = include_str!("page.css");
/// Lines that are named first, and led to.
const HOTTEST: usize = 10;

/// The page.
pub fn page(listing: &Listing) -> String {
    let title = escape(&listing.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>What each line came to on the simulator: exact \
         counts, no times. A line stands for all instructions that the compiler made of it, wherever they were inlined.</p>\n\
         <h2>Most issued</h2>\n<ol>"
    );
    for (file, line, count) in listing.most(|sums| sums.issued, HOTTEST) {
        let share = 100.0 * count as f64 / listing.total.issued as f64;
        let name = escape(&file.name);
        let code = file.lines.get(line.wrapping_sub(1) as usize).map_or("", |l| l.trim());
        let _ = write!(
            page,
            "<li><a href=\"#{}\">{name}:{line}</a> {share:.1} % <code>{}</code></li>",
            anchor(listing, file, line),
            escape(code)
        );
    }
    page.push_str("</ol>\n<dl>");
    let columns = columns(listing);
    for (name, meaning, _) in &columns {
        let _ = write!(page, "<dt>{name}</dt><dd>{meaning}</dd>");
    }
    page.push_str("</dl>\n");
    for file in &listing.files {
        let name = escape(&file.name);
        let _ = write!(
            page,
            "<h2>{name}</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\"><table><thead><tr>"
        );
        for (name, meaning, _) in &columns {
            let _ = write!(page, "<th scope=\"col\" title=\"{meaning}\">{name}</th>");
        }
        page.push_str("<th scope=\"col\">line</th><th scope=\"col\" class=\"code\">source</th></tr></thead><tbody>\n");
        let beyond = file.counted.keys().max().map_or(0, |&line| line as usize);
        let first = u32::from(!file.counted.contains_key(&0));
        for line in first..=file.lines.len().max(beyond) as u32 {
            row(&mut page, listing, file, line, &columns);
        }
        page.push_str("</tbody></table></div>\n");
    }
    page.push_str("</body></html>\n");
    page
}

fn anchor(listing: &Listing, file: &File, line: u32) -> String {
    let number = listing.files.iter().position(|one| one.name == file.name).unwrap_or(0);
    format!("f{number}-{line}")
}

/// A line; the share of what was issued is its bar, so that the hot ones are seen from afar.
fn row(page: &mut String, listing: &Listing, file: &File, line: u32, columns: &[super::Column]) {
    let code = file.lines.get(line.wrapping_sub(1) as usize);
    let sums = file.counted.get(&line);
    if sums.is_none() && code.is_none() {
        return;
    }
    let share = sums.map_or(0.0, |s| s.issued as f64 / listing.total.issued.max(1) as f64);
    let at = anchor(listing, file, line);
    let _ = write!(page, "<tr id=\"{at}\"");
    if sums.is_some() {
        let _ = write!(page, " class=\"run\" style=\"--share:{:.2}%\"", 100.0 * share.sqrt());
    }
    page.push('>');
    for (_, _, value) in columns {
        let text = sums.map_or(String::new(), |sums| value(sums, &listing.total));
        let _ = write!(page, "<td>{text}</td>");
    }
    let code = code.copied().unwrap_or(if line == 0 { "(no line)" } else { "" });
    let _ = writeln!(page, "<td>{line}</td><td class=\"code\">{}</td></tr>", escape(code));
}

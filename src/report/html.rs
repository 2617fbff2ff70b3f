//! What HTML pages have in common.

use pulldown_cmark::html::push_html;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::canvas::Picture;

/// A text, safe as content and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A path as a link: what means something in an address or in Markdown is written as `%XX`.
pub fn href(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let write = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(write).collect()
}

/// What every page that stands in a site begins with, which tells whose it is.
pub const BEGIN: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"generator\" content=\"scalemark report\">";

/// The tags that reports have of their own.
const TAGS: [&str; 5] = ["<details open>", "<details>", "</details>", "<summary>", "</summary>"];

/// A report's Markdown as HTML, with its pictures in the places of their files. Names in a report are text whatever they hold: other
/// tags than a report's own are shown and not obeyed, and links are left out.
pub fn from_markdown(text: &str, pictures: &[Picture]) -> String {
    let mut in_picture = false;
    let own = |html: &str| {
        let rest = TAGS.iter().fold(html.to_owned(), |rest, tag| rest.replace(tag, ""));
        !rest.contains('<')
    };
    let event = |event| match event {
        Event::Start(Tag::Image { dest_url, .. }) => {
            in_picture = true;
            let name = dest_url.strip_prefix("charts/").and_then(|n| n.strip_suffix(".svg"));
            let picture = pictures.iter().find(|picture| Some(picture.name.as_str()) == name)?;
            Some(Event::InlineHtml(picture.inline().into()))
        }
        Event::End(TagEnd::Image) => {
            in_picture = false;
            None
        }
        _ if in_picture => None,
        Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link) => None,
        Event::Html(html) | Event::InlineHtml(html) if !own(&html) => Some(Event::Text(html)),
        other => Some(other),
    };
    let mut page = String::new();
    push_html(&mut page, Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(event));
    page.replace("<table>", "<div class=\"wide\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_path_ends_a_link() {
        assert_eq!(href("a b)/ü\"<c>.svg"), "a%20b%29/%C3%BC%22%3Cc%3E.svg");
    }

    #[test]
    fn a_report_keeps_its_tables_and_folds_and_nothing_in_a_name_is_obeyed() {
        let names = ("throughput-x", "t", "a");
        let picture = Picture::draw(names, (9, 9), |_| Ok(())).unwrap();
        let text = "# R\n\n<details>\n<summary>more &lt;i&gt;</summary>\n\n| a | b |\n| --- | ---: |\n| [x](javascript:alert) | <b>2 |\n\n\
                    </details>\n\n![alt](charts/throughput-x.svg)\n\n![no](http://elsewhere/y.svg)\n\n<script>alert(1)</script>\n";
        let page = from_markdown(text, &[picture]);
        assert!(page.contains("<details>") && page.contains("<summary>more &lt;i&gt;</summary>"));
        assert!(page.contains("<td>x</td>") && page.contains("&lt;b&gt;2"), "{page}");
        assert!(page.contains("<svg ") && !page.contains("<img") && !page.contains("elsewhere"));
        assert!(!page.contains("<script") && !page.contains("javascript"), "{page}");
    }
}

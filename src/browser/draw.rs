//! A frame: a bar above, the view, the selected record's whole name, and the keys below.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::look::Look;
use super::state::{Browser, View};
use crate::report::browse::{self, Times};
use crate::report::plain::plain;

/// The least columns and lines that something can be shown in.
const LEAST: (u16, u16) = (40, 8);

/// What keys do, by view.
const KEYS: [(&str, &str); 17] = [
    ("j k ↓ ↑", "a row or line on, back"),
    ("PgDn PgUp", "a page on, back; also space, Ctrl-F, Ctrl-B"),
    ("Home End", "the first, the last; also g, G"),
    ("→ ←", "shift long cases aside; elsewhere the next record, the one before (also n, p)"),
    ("Enter", "all of the selected record, and back"),
    ("c", "curves: rate or time by size, a letter a kernel"),
    ("t", "in curves: time or rate"),
    ("x", "in curves: by another size"),
    ("/", "filter as you type: words in kernel, case, device, models, status"),
    ("Enter, Esc", "while typing: keep the filter, drop it"),
    ("Ctrl-W Ctrl-U", "while typing: delete a word, all"),
    ("s S", "sort by the next column, by the one before"),
    ("r", "sort the other way round"),
    ("Esc", "back to the table; there: drop the filter, else leave"),
    ("?", "this page, and back"),
    ("q Ctrl-C", "leave"),
    ("Ctrl-Z", "stop until the shell says fg"),
];

impl Browser<'_> {
    /// Paints the state. It takes note of how much fits, for keys go by pages, and shifts what does not.
    pub fn draw(&mut self, frame: &mut Frame, look: Look) {
        let area = frame.area();
        let buffer = frame.buffer_mut();
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let text = format!(
                "{} × {} is too small, {} × {} will do; q leaves",
                area.width, area.height, LEAST.0, LEAST.1
            );
            for (row, line) in
                wrapped(&text, area.width.into()).iter().enumerate().take(area.height.into())
            {
                put(buffer, Rect { y: area.y + row as u16, height: 1, ..area }, line, Style::new());
            }
            return;
        }
        let row = |y: u16| Rect { y, height: 1, ..area };
        let body = Rect { y: area.y + 1, height: area.height - 3, ..area };
        self.title(buffer, row(area.y), look);
        match self.view {
            View::Table => self.table(buffer, body, look),
            View::Record => self.record(buffer, body, look),
            View::Curves => self.curves(buffer, body, look),
            View::Keys => {
                let keys = KEYS.map(|(key, what)| (key.to_owned(), what.to_owned()));
                self.text(buffer, body, &keys, look);
            }
        }
        self.whole_name(buffer, row(area.bottom() - 2), look);
        self.help(buffer, row(area.bottom() - 1), look);
    }

    /// The run, and how many of its records are shown in which order.
    fn title(&self, buffer: &mut Buffer, area: Rect, look: Look) {
        buffer.set_style(area, look.bar());
        let place = if self.rows.is_empty() { 0 } else { self.at + 1 };
        let of = match self.rows.len() == self.records.len() {
            true => format!("{place} of {}", self.records.len()),
            false => format!("{place} of {} found in {}", self.rows.len(), self.records.len()),
        };
        let way = if self.reverse { ", reversed" } else { "" };
        let filter = match self.filter.is_empty() {
            true => String::new(),
            false => format!("/{} · ", self.filter),
        };
        let right = format!(" {filter}by {}{way} · {of} ", by(self));
        let right = shorten(&right, usize::from(area.width) * 2 / 3);
        let wide = right.width() as u16;
        put(buffer, Rect { x: area.right() - wide, width: wide, ..area }, &right, look.bar());
        let left = Rect { width: area.width - wide, ..area };
        // The end of a path says more than its beginning.
        let name = plain(&self.name);
        let name = match name.width() + 1 > left.width.into() {
            true => name.rsplit(['/', '\\']).next().unwrap_or_default(),
            false => &name,
        };
        put(buffer, left, &format!(" {name}"), look.bar().patch(look.heading()));
    }

    /// The selected record, whole, where the table may have cut it.
    fn whole_name(&self, buffer: &mut Buffer, area: Rect, look: Look) {
        let Some(record) = self.selected().filter(|_| self.view != View::Keys) else { return };
        let mut text = format!(" {} · {}", record.kernel, record.case.key());
        for more in [&*record.model, record.outcome.detail()] {
            if !more.is_empty() {
                text += &format!(" · {more}");
            }
        }
        put(buffer, area, &plain(&text), look.aside());
    }

    /// The keys that matter most, or the filter while it is typed.
    fn help(&self, buffer: &mut Buffer, area: Rect, look: Look) {
        buffer.set_style(area, look.bar());
        if self.typing {
            let room = usize::from(area.width).saturating_sub(4);
            let mut shown = self.filter.as_str();
            while shown.width() > room {
                shown = &shown[shown.chars().next().map_or(0, char::len_utf8)..];
            }
            let used = put(buffer, area, &format!(" /{shown}▏"), look.bar().patch(look.heading()));
            let rest = Rect { x: area.x + used, width: area.width - used, ..area };
            put(buffer, rest, "  Enter keeps it, Esc drops it", look.bar());
            return;
        }
        let text = match self.view {
            View::Table => " Enter record  c curves  / filter  s sort  r reverse  ? keys  q leave",
            View::Record => " j k scroll  n p other records  c curves  Esc table  ? keys  q leave",
            View::Curves => {
                " t time, rate  x other size  n p other records  Esc table  ? keys  q leave"
            }
            View::Keys => " j k scroll  Esc back  q leave",
        };
        put(buffer, area, text, look.bar());
    }

    /// All of the selected record.
    fn record(&mut self, buffer: &mut Buffer, area: Rect, look: Look) {
        let Some(record) = self.selected() else { return nothing(buffer, area, look) };
        let none = Times::default();
        let times = self.times.as_ref().unwrap_or(&none);
        let counters: Vec<_> =
            self.counters.iter().filter(|c| c.record_id == record.record_id).collect();
        let mut facts =
            browse::facts(record, times, &counters, usize::from(area.width).saturating_sub(24));
        if self.times.is_none() {
            let before = facts.len() - counters.len();
            facts.insert(before, ("samples".to_owned(), "are being read…".to_owned()));
        }
        self.text(buffer, area, &facts, look);
    }

    /// Lines of a name and a value each, broken where they are wider than the screen, from the line that was scrolled to.
    fn text(&mut self, buffer: &mut Buffer, area: Rect, facts: &[(String, String)], look: Look) {
        let names = facts.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
        let names = names.min(usize::from(area.width) / 3);
        let room = usize::from(area.width).saturating_sub(names + 4);
        let lines: Vec<(&str, String)> = facts
            .iter()
            .flat_map(|(name, value)| {
                let broken = wrapped(value, room).into_iter().enumerate();
                broken.map(move |(i, line)| (if i == 0 { name.as_str() } else { "" }, line))
            })
            .collect();
        self.page = area.height.into();
        self.line = self.line.min(lines.len().saturating_sub(self.page));
        for (row, (name, value)) in lines.iter().skip(self.line).take(self.page).enumerate() {
            let y = area.y + row as u16;
            let name = shorten(name, names);
            put(buffer, Rect { x: 1, y, width: names as u16, height: 1 }, &name, look.heading());
            let x = names as u16 + 3;
            put(buffer, Rect { x, y, width: area.width - x, height: 1 }, value, Style::new());
        }
        if lines.len() > self.line + self.page {
            let mark = Rect { x: area.right() - 1, y: area.bottom() - 1, width: 1, height: 1 };
            put(buffer, mark, "↓", look.heading());
        }
    }
}

/// The name of the order.
fn by(browser: &Browser) -> String {
    use clap::ValueEnum;
    browser.by.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Says that there is nothing.
pub(super) fn nothing(buffer: &mut Buffer, area: Rect, look: Look) {
    let area = Rect { height: 1, ..area };
    put(
        buffer,
        area,
        " no record has all these words; / changes them, Esc drops them",
        look.aside(),
    );
}

/// Writes a text into the first line of an area, cut with an ellipsis where it is wider; how many columns it took.
pub(super) fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    let text = shorten(text, area.width.into());
    let (end, _) = buffer.set_stringn(area.x, area.y, &text, area.width.into(), style);
    end - area.x
}

/// A text of at most `most` columns, the last an ellipsis where some is left out.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= most
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    if most > 0 {
        kept.push('…');
    }
    kept
}

/// A text in lines of at most `most` columns, broken between words where they are not longer than a line.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = lines.last_mut().expect("there is one at first");
        if !last.is_empty() && last.width() + word.trim_end().width() > most {
            lines.push(String::new());
        }
        for c in word.chars() {
            let last = lines.last_mut().expect("there is one at first");
            if last.width() + c.width().unwrap_or(0) > most && !last.is_empty() {
                // A space at the end of a full line is not the beginning of the next.
                if c == ' ' {
                    continue;
                }
                lines.push(String::new());
            }
            lines.last_mut().expect("there is one at first").push(c);
        }
    }
    lines
}

//! The table: as many columns as fit.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::draw::{nothing, put};
use super::look::Look;
use super::state::Browser;
use crate::record::Record;
use crate::report::browse::{By, Column, Times};
use crate::report::plain::plain;

/// The most columns that a kernel's name takes, and the fewest that are left for the case.
const NAMES: (usize, usize) = (30, 20);

/// The order in which columns stand.
const ALL: [Column; 9] = [
    Column::Id,
    Column::Time,
    Column::Spread,
    Column::Samples,
    Column::Rate,
    Column::Share,
    Column::Memory,
    Column::Kernel,
    Column::Case,
];

/// Those that can be left out, the dearest first.
const OPTIONAL: [Column; 5] =
    [Column::Rate, Column::Share, Column::Spread, Column::Samples, Column::Memory];

/// The column that an order goes by.
fn column(by: By) -> Option<Column> {
    match by {
        By::Order => Some(Column::Id),
        By::Time => Some(Column::Time),
        By::Rate => Some(Column::Rate),
        By::Share => Some(Column::Share),
        By::Memory => Some(Column::Memory),
        By::Spread => Some(Column::Spread),
        By::Kernel => Some(Column::Kernel),
        By::Case => Some(Column::Case),
        By::Status => None,
    }
}

/// Whether the first row of an order has the greatest number.
fn falls(by: By, reverse: bool) -> bool {
    matches!(by, By::Rate | By::Share | By::Spread) != reverse
}

impl Browser<'_> {
    /// A row a record.
    pub(super) fn table(&mut self, buffer: &mut Buffer, area: Rect, look: Look) {
        if self.rows.is_empty() {
            return nothing(buffer, area, look);
        }
        let page = usize::from(area.height) - 1;
        self.page = page;
        self.top = self.top.clamp(self.at.saturating_sub(page - 1), self.at);
        self.top = self.top.min(self.rows.len().saturating_sub(page));
        let columns = self.columns(area.width.into());
        let longest =
            self.shown().map(|record| Column::Case.cell(record, &Times::default()).width());
        let room = columns.last().map_or(0, |(_, width)| *width);
        self.aside = self.aside.min(longest.max().unwrap_or(0).saturating_sub(room));
        let arrow = if falls(self.by, self.reverse) { "▼" } else { "▲" };
        let sorted = column(self.by);
        self.row(buffer, Rect { height: 1, ..area }, &columns, |what| {
            let arrow = if Some(what) == sorted { arrow } else { "" };
            (format!("{}{arrow}", what.title()), look.heading())
        });
        let none = Times::default();
        let times = self.times.as_ref().unwrap_or(&none);
        for (y, record) in (area.y + 1..).zip(self.shown()) {
            let area = Rect { y, height: 1, ..area };
            let selected = self.selected().is_some_and(|one| std::ptr::eq(one, record));
            self.row(buffer, area, &columns, |what| {
                let style = match what {
                    Column::Time => look.status(record.outcome.status()),
                    Column::Kernel if record.provider == "own" => look.own(),
                    _ => Style::new(),
                };
                let text = match what {
                    Column::Samples if self.times.is_none() => "…".to_owned(),
                    Column::Case => what.cell(record, times).chars().skip(self.aside).collect(),
                    _ => what.cell(record, times),
                };
                (text, style)
            });
            if selected {
                buffer.set_style(area, look.selected());
            }
        }
    }

    /// The records on the screen.
    fn shown(&self) -> impl Iterator<Item = &Record> {
        self.rows.iter().skip(self.top).take(self.page).map(|&place| &self.records[place])
    }

    /// The columns that fit, with their widths; the case takes what is left.
    fn columns(&self, width: usize) -> Vec<(Column, usize)> {
        let digits = self.records.last().map_or(1, |record| record.record_id.to_string().len());
        let kernel = self.shown().map(|record| plain(&record.kernel).width()).max().unwrap_or(0);
        let wide = |what: Column| match what {
            Column::Id => digits.max(3),
            Column::Time | Column::Memory | Column::Share => 9,
            Column::Spread => 5,
            Column::Samples => 8,
            Column::Rate => 12,
            Column::Kernel => kernel.clamp(7, NAMES.0),
            Column::Case => NAMES.1,
        };
        let mut left = width;
        let mut chosen = Vec::new();
        let always = [Column::Id, Column::Time, Column::Kernel, Column::Case];
        let sorted = column(self.by).filter(|what| OPTIONAL.contains(what));
        for what in always.into_iter().chain(sorted).chain(OPTIONAL) {
            let takes = wide(what) + 1;
            if !chosen.contains(&what) && (takes <= left || always.contains(&what)) {
                left = left.saturating_sub(takes);
                chosen.push(what);
            }
        }
        let case = left + NAMES.1;
        ALL.into_iter()
            .filter(|what| chosen.contains(what))
            .map(|what| (what, if what == Column::Case { case } else { wide(what) }))
            .collect()
    }

    /// A row of cells.
    fn row(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        columns: &[(Column, usize)],
        cell: impl Fn(Column) -> (String, Style),
    ) {
        let mut x = area.x;
        for (what, width) in columns {
            let (text, style) = cell(*what);
            let width = (*width as u16).min(area.right().saturating_sub(x));
            let spare = width.saturating_sub(text.width() as u16);
            let (x_cell, room) =
                if what.is_number() { (x + spare, width - spare) } else { (x, width) };
            put(buffer, Rect { x: x_cell, width: room, ..area }, &text, style);
            x = (x + width + 1).min(area.right());
        }
    }
}

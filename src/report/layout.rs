//! Where the parts of a chart stand, in pixels, by estimated text widths.

use super::chart::{Chart, Entry, Subject};

/// The left edge of the plots: what the ticks and the name of the y axis need.
pub const LEFT: i32 = 84;
/// What stays free around the picture.
pub const MARGIN: i32 = 18;
/// The font size of labels.
pub const LABEL: f64 = 12.0;
/// The font size of ticks and remarks.
pub const SMALL: f64 = 11.0;

/// The width that a text takes at most in common sans-serif fonts.
pub fn text_width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * 0.6).ceil() as i32
}

/// Where everything stands, in pixels.
pub struct Layout {
    /// The whole picture.
    pub size: (i32, i32),
    /// The caption, broken into lines.
    pub caption: Vec<String>,
    /// A panel, without its labels.
    pub panel: (i32, i32),
    /// What lies between panels, across and down.
    pub gap: (i32, i32),
    /// The upper edge of the first row of panels.
    pub top: i32,
    /// The upper left corner of the legend.
    pub legend: (i32, i32),
}

impl Layout {
    /// The layout of a chart.
    pub fn of(chart: &Chart) -> Layout {
        let several = chart.panels.len() > 1;
        let columns = chart.columns.clamp(1, chart.panels.len().max(1)) as i32;
        let rows = (chart.panels.len() as i32 + columns - 1) / columns;
        let panel = match columns {
            1 => (600, 380),
            2 => (330, 340),
            _ => (190, 170),
        };
        let gap = (16, if several { 26 } else { 0 });
        let plots = columns * panel.0 + (columns - 1) * gap.0;
        let legend_width =
            chart.legend.iter().map(|e| entry_width(chart.subject, e)).max().unwrap_or(0);
        let right = if legend_width > 0 { 20 + legend_width } else { 0 };
        let title = MARGIN * 2 + text_width(&chart.title, 18.0);
        let width = (LEFT + plots + right + MARGIN).max(title);
        let caption = wrap(&chart.caption, width - 2 * MARGIN);
        let names = chart.names.iter().map(|(_, name)| text_width(name, SMALL)).max();
        let mut top = 40 + 16 * caption.len() as i32 + 14 + names.map_or(0, |n| n + 22);
        if several {
            top += gap.1 - 6;
        }
        let plots_height = rows * panel.1 + (rows - 1) * gap.1;
        let legend = (LEFT + plots + 20, top);
        let height = (top + plots_height + 52)
            .max(top + legend_height(chart.subject, &chart.legend) + MARGIN);
        Layout { size: (width, height), caption, panel, gap, top, legend }
    }

    /// The upper left corner of a panel.
    pub fn corner(&self, index: usize, columns: usize) -> (i32, i32) {
        let (column, row) = ((index % columns) as i32, (index / columns) as i32);
        let (width, height) = self.panel;
        (LEFT + column * (width + self.gap.0), self.top + row * (height + self.gap.1))
    }
}

fn entry_width(subject: Subject, entry: &Entry) -> i32 {
    let name = 38 + text_width(&entry.label, LABEL).max(text_width(&entry.detail, SMALL));
    name.max(text_width(heading(subject, entry), SMALL))
}

/// The height of a line of the legend.
pub fn entry_height(entry: &Entry) -> i32 {
    if entry.detail.is_empty() { 20 } else { 35 }
}

/// The heading of the part of the legend that an entry belongs to.
pub fn heading(subject: Subject, entry: &Entry) -> &'static str {
    match (subject, entry.look) {
        (Subject::Machines, Some(_)) => "machines",
        (Subject::Kernels, Some(look)) if look.own => "ours: solid, filled",
        (Subject::Kernels, Some(_)) => "baselines: dashed, hollow",
        (_, None) => "measured limits",
    }
}

fn legend_height(subject: Subject, legend: &[Entry]) -> i32 {
    let mut last = "";
    let mut height = 0;
    for entry in legend {
        if heading(subject, entry) != last {
            last = heading(subject, entry);
            height += 28;
        }
        height += entry_height(entry);
    }
    height
}

/// At most `most` letters, the last an ellipsis where some are left out.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks a text into lines of at most `width` pixels.
pub fn wrap(text: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line, LABEL) + text_width(word, LABEL) + 8 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_broken_between_words() {
        let lines = wrap("one two three four five six seven", 100);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|l| text_width(l, LABEL) <= 100), "{lines:?}");
        assert_eq!(lines.join(" "), "one two three four five six seven");
    }
}

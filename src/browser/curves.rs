//! Rate or time by size, a letter a kernel.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};
use unicode_width::UnicodeWidthStr;

use super::draw::{nothing, put, shorten};
use super::look::Look;
use super::state::Browser;
use crate::record::Record;
use crate::report::axis::{Axis, Scale, Unit};
use crate::report::group::memory_bound;
use crate::report::plain::plain;
use crate::report::sweep::Sweep;
use crate::units::{ByteRate, FlopRate, Nanos};

/// Columns left of a plot, for its ticks.
const GUTTER: u16 = 9;
/// The columns of a legend beside a plot, and the width from which it stands there.
const LEGEND: (u16, u16) = (46, 100);
/// The most lines of a legend below a plot.
const BELOW: u16 = 6;
/// What the legend calls the line of what the machine was measured to reach.
const LIMIT: &str = "measured limit";

/// A kernel's curve.
struct Curve {
    name: String,
    own: bool,
    /// Size and value, sizes growing.
    points: Vec<(f64, f64)>,
    letter: char,
    colour: Color,
}

/// What is shown, in which unit.
#[derive(Clone, Copy)]
enum Quantity {
    Time,
    Flops,
    Bytes,
}

impl Quantity {
    fn of(self, record: &Record) -> Option<f64> {
        match self {
            Quantity::Time => record.timing().map(|timing| timing.median.secs()),
            Quantity::Flops => record.flop_rate().map(|rate| rate.0),
            Quantity::Bytes => record.byte_rate().map(|rate| rate.0),
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Quantity::Time => Nanos::from_secs(value).to_string(),
            Quantity::Flops => FlopRate(value).to_string(),
            Quantity::Bytes => ByteRate(value).to_string(),
        }
    }

    /// What a tick says: without what is said of every tick in the title.
    fn tick(self, value: f64) -> String {
        match self {
            Quantity::Time => Unit::Seconds.format(value),
            _ if value == 0.0 => "0".to_owned(),
            _ => self.text(value).trim_end_matches("FLOP/s").trim_end_matches("B/s").to_owned(),
        }
    }

    fn axis(self, values: impl IntoIterator<Item = f64>) -> Option<Axis> {
        match self {
            Quantity::Time => Axis::fit("", Scale::Log, Unit::Seconds, values),
            _ => Axis::fit("", Scale::Linear, Unit::Number, values),
        }
    }
}

impl Browser<'_> {
    /// The curves that the selected record lies on.
    pub(super) fn curves(&mut self, buffer: &mut Buffer, area: Rect, look: Look) {
        let Some(record) = self.selected() else { return nothing(buffer, area, look) };
        let Some(sweep) = self.curves.get(self.curve) else {
            let text = " of this kind nothing was measured: there is no curve";
            put(buffer, area, text, look.aside());
            return;
        };
        let quantity = match (self.shows_time, memory_bound(record)) {
            (true, _) => Quantity::Time,
            (false, true) => Quantity::Bytes,
            (false, false) => Quantity::Flops,
        };
        let mut curves = curves(sweep, quantity, record, look);
        let limit = match quantity {
            Quantity::Time => None,
            Quantity::Flops => record.peak_flops.map(|rate| rate.0),
            Quantity::Bytes => record.peak_bytes.map(|rate| rate.0),
        };
        let what = if self.shows_time { "time" } else { "rate" };
        let unit = match quantity {
            Quantity::Time => "",
            Quantity::Flops => " in FLOP/s",
            Quantity::Bytes => " in B/s",
        };
        let fixed =
            if sweep.fixed.is_empty() { String::new() } else { format!(" ({})", sweep.fixed) };
        let title = format!(" {}: {what}{unit} by {}{fixed}", sweep.group.title(), sweep.parameter);
        put(buffer, area, &plain(&title), look.heading());
        let beside = area.width >= LEGEND.1;
        let entries = curves.len() as u16 + u16::from(limit.is_some());
        let below = if beside { 0 } else { entries.min(BELOW).min((area.height / 3).max(1)) };
        let right = if beside { LEGEND.0 } else { 0 };
        let plot = Rect {
            x: area.x + GUTTER,
            y: area.y + 1,
            width: area.width - GUTTER - right - 1,
            height: (area.height - 1).saturating_sub(below + 1),
        };
        let legend = match beside {
            true => {
                Rect { x: plot.right() + 2, y: plot.y, width: right - 2, height: area.height - 1 }
            }
            false => Rect { y: plot.bottom() + 1, height: below, ..area },
        };
        plotted(buffer, plot, &mut curves, limit, quantity, look);
        listed(buffer, legend, &curves, (record, sweep, quantity, limit), look);
    }
}

/// The curves of a sweep, the best first: by their value at the record's size, else at their greatest.
fn curves(sweep: &Sweep, quantity: Quantity, record: &Record, look: Look) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for line in &sweep.lines {
        let value = |(size, of): &(f64, &Record)| Some((*size, quantity.of(of)?));
        let points: Vec<(f64, f64)> = line.points.iter().filter_map(value).collect();
        let own = line.points.iter().any(|(_, of)| of.provider == "own");
        let name = plain(line.kernel).into_owned();
        curves.push(Curve { name, own, points, letter: ' ', colour: Color::Reset });
    }
    curves.retain(|curve| !curve.points.is_empty());
    let size = size_of(sweep, record);
    let worth = |curve: &Curve| {
        let value = at(curve, size).map(|(_, value)| value).unwrap_or(0.0);
        if matches!(quantity, Quantity::Time) { -value } else { value }
    };
    curves.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
    for (nth, (curve, letter)) in curves
        .iter_mut()
        .zip(('a'..='z').chain('A'..='Z').chain(std::iter::repeat('·')))
        .enumerate()
    {
        (curve.letter, curve.colour) = (letter, look.curve(nth));
    }
    curves
}

/// Where the record lies on the sweep.
fn size_of(sweep: &Sweep, record: &Record) -> Option<f64> {
    let mut points = sweep.lines.iter().flat_map(|line| &line.points);
    points.find(|(_, one)| one.case.key() == record.case.key()).map(|(size, _)| *size)
}

/// A curve's point at this size, else its last.
fn at(curve: &Curve, size: Option<f64>) -> Option<(f64, f64)> {
    let there = curve.points.iter().find(|(one, _)| Some(*one) == size);
    there.or(curve.points.last()).copied()
}

/// The plot with its ticks.
fn plotted(
    buffer: &mut Buffer,
    area: Rect,
    curves: &mut [Curve],
    limit: Option<f64>,
    quantity: Quantity,
    look: Look,
) {
    let values = || curves.iter().flat_map(|curve| curve.points.iter().map(|(_, value)| *value));
    let most = values().fold(0.0, f64::max);
    // A limit far above everything would press the curves together.
    let limit = limit.filter(|limit| *limit <= 2.5 * most);
    let sizes = curves.iter().flat_map(|curve| curve.points.iter().map(|(size, _)| *size));
    let mut sizes: Vec<f64> = sizes.collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let x = Axis::fit("", Scale::Log, Unit::Count, sizes.iter().copied());
    let y = quantity.axis(values().chain(limit));
    let (Some(x), Some(y)) = (x, y) else { return };
    let share = |(size, value): (f64, f64)| Some((x.place(size)?, y.place(value)?));
    let canvas =
        Canvas::default().marker(Marker::Braille).x_bounds([0.0, 1.0]).y_bounds([0.0, 1.0]).paint(
            |context| {
                if let Some(y) = limit.and_then(|limit| y.place(limit)) {
                    let dashes = (0..f64::from(area.width) as usize / 4)
                        .map(|i| i as f64 * 4.0 / f64::from(area.width));
                    for from in dashes {
                        let to = from + 2.0 / f64::from(area.width);
                        context.draw(&Line { x1: from, y1: y, x2: to, y2: y, color: Color::Reset });
                    }
                }
                // The best last, so that it lies on top.
                for curve in curves.iter().rev() {
                    for pair in curve.points.windows(2) {
                        if let (Some((x1, y1)), Some((x2, y2))) = (share(pair[0]), share(pair[1])) {
                            context.draw(&Line { x1, y1, x2, y2, color: curve.colour });
                        }
                    }
                }
            },
        );
    canvas.render(area, buffer);
    let column = |share: f64| area.x + (share * f64::from(area.width - 1)).round() as u16;
    let row = |share: f64| area.bottom() - 1 - (share * f64::from(area.height - 1)).round() as u16;
    for curve in curves.iter().rev() {
        for (x, y) in curve.points.iter().filter_map(|point| share(*point)) {
            let style = Style::new().fg(curve.colour).patch(look.heading());
            buffer.set_string(column(x), row(y), curve.letter.to_string(), style);
        }
    }
    let mut free = area.bottom();
    for tick in &y.ticks {
        let at = y.place(*tick).map(row).filter(|at| *at < free);
        if let Some(at) = at {
            let text = shorten(&quantity.tick(*tick), usize::from(GUTTER) - 1);
            let start = area.x - 1 - text.width() as u16;
            buffer.set_string(start, at, text, look.aside());
            buffer.set_string(area.x - 1, at, "┤", look.aside());
            // At least a line between two.
            free = at.saturating_sub(1);
        }
    }
    let mut free = 0;
    for size in sizes {
        let text = if size < 1e5 { size.to_string() } else { Unit::Count.format(size) };
        let Some(middle) = x.place(size).map(column) else { continue };
        let start = middle.saturating_sub(text.width() as u16 / 2);
        if start >= free && start + (text.width() as u16) < buffer.area.right() {
            buffer.set_string(start, area.bottom(), &text, look.aside());
            free = start + text.width() as u16 + 2;
        }
    }
}

/// The legend: letters, kernels, and their values at the record's size.
fn listed(
    buffer: &mut Buffer,
    area: Rect,
    curves: &[Curve],
    (record, sweep, quantity, limit): (&Record, &Sweep, Quantity, Option<f64>),
    look: Look,
) {
    let size = size_of(sweep, record);
    let mut lines: Vec<(char, &str, String, Style)> = curves
        .iter()
        .map(|curve| {
            let there = at(curve, size);
            let elsewhere = there.filter(|(one, _)| Some(*one) != size);
            let elsewhere = elsewhere
                .map_or(String::new(), |(one, _)| format!(" at {}", Unit::Count.format(one)));
            let value = there.map_or(String::new(), |(_, value)| quantity.text(value));
            let mut style = Style::new().fg(curve.colour);
            if curve.own {
                style = style.patch(look.own());
            }
            (curve.letter, curve.name.as_str(), format!("{value}{elsewhere}"), style)
        })
        .collect();
    if let Some(limit) = limit {
        lines.push(('╌', LIMIT, quantity.text(limit), look.aside()));
    }
    let room = usize::from(area.height);
    let cut = lines.len() > room;
    let shown = if cut { room.saturating_sub(1) } else { lines.len() };
    let selected = plain(&record.kernel);
    for (y, (letter, name, value, style)) in (area.y..).zip(&lines[..shown]) {
        let area = Rect { y, height: 1, x: area.x + 1, width: area.width - 1 };
        let names = area.width.saturating_sub(value.width() as u16 + 1).min(32);
        put(buffer, Rect { width: names, ..area }, &format!("{letter} {name}"), *style);
        let behind = area.width.saturating_sub(names + 1);
        let right = Rect { x: area.x + names + 1, width: behind, ..area };
        put(buffer, right, value, Style::new());
        if *name == selected {
            buffer.set_style(area, look.selected());
        }
    }
    if cut && room > 0 {
        let rest = Rect { y: area.y + shown as u16, height: 1, ..area };
        put(buffer, rest, &format!(" and {} more", lines.len() - shown), look.aside());
    }
}

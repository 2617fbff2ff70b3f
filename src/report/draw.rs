//! Draws a [`Chart`] as SVG.
//!
//! Everything is laid out in pixels by estimated text widths, so that no font is needed to make a chart: the legend stands
//! at the right, outside the plot, and every label has a place of its own. The background is white in light and dark
//! viewers.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::prelude::{RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, TextStyle};

use super::axis::Axis;
use super::chart::{Chart, Entry, Panel, Series};
use super::layout::{LABEL, LEFT, Layout, MARGIN, SMALL, entry_height, heading, text_width};
use super::palette::{Look, Marker};
use crate::error::{Error, Result};

/// What drawing a thing comes to; the backend's own error type has no public name.
pub(super) type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Says in each file who made it, so that only own files are ever removed.
pub const SIGNATURE: &str = "<desc>Made by scalemark report.</desc>";

/// The opacity that stands for a dashed line until the text is finished: the backend cannot write dashes.
const DASHED: f64 = 0.99;

const INK: (u8, u8, u8) = (30, 30, 30);
const SOFT: (u8, u8, u8) = (95, 95, 95);
const GRID: (u8, u8, u8) = (228, 228, 228);
const REFERENCE: (u8, u8, u8) = (150, 150, 150);

/// The chart as the text of an SVG file.
///
/// # Errors
/// Only if the drawing library fails, which it has no reason to when it writes to memory.
pub fn render(chart: &Chart) -> Result<String> {
    let layout = Layout::of(chart);
    let mut svg = String::new();
    let size = (layout.size.0 as u32, layout.size.1 as u32);
    let drawn = (|| -> Drawn {
        let mut canvas = Canvas(SVGBackend::with_string(&mut svg, size));
        canvas.chart(chart, &layout)?;
        Ok(canvas.0.present()?)
    })();
    drawn.map_err(|e| Error::Library(format!("failed to draw the chart {}: {e}", chart.name)))?;
    let mut svg =
        svg.replace(&format!("opacity=\"{DASHED}\""), "opacity=\"1\" stroke-dasharray=\"7 5\"");
    let end_of_tag = svg.find('>').map_or(0, |i| i + 1);
    svg.insert_str(end_of_tag, &format!("\n{SIGNATURE}"));
    Ok(svg)
}

struct Canvas<'a>(SVGBackend<'a>);

impl Canvas<'_> {
    fn chart(&mut self, chart: &Chart, layout: &Layout) -> Drawn {
        self.fill((0, 0), layout.size, (255, 255, 255))?;
        self.text(&chart.title, (MARGIN, 24), 16.0, INK, HPos::Left, true)?;
        for (i, line) in layout.caption.iter().enumerate() {
            self.text(line, (MARGIN, 46 + 16 * i as i32), LABEL, SOFT, HPos::Left, false)?;
        }
        let columns = chart.columns.clamp(1, chart.panels.len().max(1));
        for (i, panel) in chart.panels.iter().enumerate() {
            let frame = Frame {
                corner: layout.corner(i, columns),
                size: layout.panel,
                x: &chart.x,
                y: &chart.y,
            };
            let bottom = i + columns >= chart.panels.len();
            self.grid(&frame, i % columns == 0, bottom)?;
            if !panel.title.is_empty() {
                let place = (frame.corner.0 + 2, frame.corner.1 - 11);
                self.text(&panel.title, place, LABEL, INK, HPos::Left, true)?;
            }
            if i == 0 {
                self.names(&frame, &chart.names)?;
            }
            self.panel(&frame, panel)?;
        }
        self.labels(chart, layout, columns)?;
        self.legend(&chart.legend, layout.legend)
    }

    /// The grid, the ticks and the frame of a panel.
    fn grid(&mut self, frame: &Frame, left: bool, bottom: bool) -> Drawn {
        let (x0, y0) = frame.corner;
        let (x1, y1) = (x0 + frame.size.0, y0 + frame.size.1);
        let mut end = i32::MIN;
        for &tick in &frame.x.ticks {
            let Some(x) = frame.across(tick) else { continue };
            self.line(&[(x, y0), (x, y1)], GRID, 1)?;
            let text = frame.x.unit.format(tick);
            let half = text_width(&text, SMALL) / 2;
            // A label that would touch its neighbour or the next panel's is left out; its grid line stays.
            if bottom && x - half > end + 6 && (left || x - half > x0) {
                end = x + half;
                self.text(&text, (x, y1 + 13), SMALL, INK, HPos::Center, false)?;
            }
        }
        let mut last = i32::MAX;
        for &tick in &frame.y.ticks {
            let Some(y) = frame.down(tick) else { continue };
            self.line(&[(x0, y), (x1, y)], GRID, 1)?;
            if left && y + 15 <= last {
                last = y;
                let text = frame.y.unit.format(tick);
                self.text(&text, (x0 - 7, y), SMALL, INK, HPos::Right, false)?;
            }
        }
        self.line(&[(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)], SOFT, 1)
    }

    /// The names of the axes, once for all panels.
    fn labels(&mut self, chart: &Chart, layout: &Layout, columns: usize) -> Drawn {
        let last = chart.panels.len().saturating_sub(1);
        let right = layout.corner(columns - 1, columns).0 + layout.panel.0;
        let bottom = layout.corner(last, columns).1 + layout.panel.1;
        let centre = (LEFT + right) / 2;
        self.text(&chart.x.label, (centre, bottom + 34), LABEL, INK, HPos::Center, false)?;
        let place = (MARGIN + 2, (layout.top + bottom) / 2);
        self.turned(&chart.y.label, place, LABEL, HPos::Center)
    }

    /// Upright names above the plot, moved apart where they would touch, each with a line to its place.
    fn names(&mut self, frame: &Frame, names: &[(f64, String)]) -> Drawn {
        let mut placed: Vec<(i32, &str)> =
            names.iter().filter_map(|(x, name)| Some((frame.across(*x)?, name.as_str()))).collect();
        placed.sort();
        placed.truncate((frame.size.0 / 15) as usize);
        let homes: Vec<i32> = placed.iter().map(|p| p.0).collect();
        let places = apart(&homes, 15, frame.corner.0 + 4, frame.corner.0 + frame.size.0 - 4);
        let top = frame.corner.1;
        for (((_, name), home), place) in placed.iter().zip(homes).zip(places) {
            self.line(&[(home, top), (home, top - 4), (place, top - 13)], REFERENCE, 1)?;
            self.turned(name, (place, top - 17), SMALL, HPos::Left)?;
        }
        Ok(())
    }

    /// Baselines first and a little larger, so that where points agree both are seen.
    fn panel(&mut self, frame: &Frame, panel: &Panel) -> Drawn {
        for reference in &panel.references {
            for piece in frame.path(reference) {
                self.line(&piece, REFERENCE, 2)?;
            }
        }
        for own in [false, true] {
            let layer = || panel.series.iter().filter(|s| s.look.own == own);
            for series in layer() {
                self.series_line(frame, series)?;
            }
            for series in layer() {
                self.points(frame, series)?;
            }
        }
        Ok(())
    }

    fn points(&mut self, frame: &Frame, series: &Series) -> Drawn {
        let colour = series.look.colour;
        for point in &series.points {
            let Some((x, y)) = frame.place(point.x, point.y) else { continue };
            if let Some((low, high)) = point.interval
                && let (Some(low), Some(high)) = (frame.down(low), frame.down(high))
            {
                self.line(&[(x, low), (x, high)], colour, 1)?;
                self.line(&[(x - 3, low), (x + 3, low)], colour, 1)?;
                self.line(&[(x - 3, high), (x + 3, high)], colour, 1)?;
            }
            let radius = if point.partial {
                2
            } else if frame.size.0 < 300 {
                3
            } else {
                4
            };
            self.marker((x, y), series.look, radius)?;
        }
        Ok(())
    }

    fn series_line(&mut self, frame: &Frame, series: &Series) -> Drawn {
        for piece in frame.path(&series.line) {
            self.stroke(&piece, series.look)?;
        }
        Ok(())
    }

    fn marker(&mut self, (x, y): (i32, i32), look: Look, radius: i32) -> Drawn {
        let r = if look.own { radius } else { radius + 1 };
        let corners: Vec<(i32, i32)> = match look.marker {
            Marker::Circle => {
                let style = solid(if look.own { look.colour } else { (255, 255, 255) }, 1);
                self.0.draw_circle((x, y), r as u32, &style.filled(), true)?;
                return Ok(self.0.draw_circle((x, y), r as u32, &solid(look.colour, 2), false)?);
            }
            Marker::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            Marker::Up => vec![(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
            Marker::Diamond => {
                let r = r + 1;
                vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
            }
            Marker::Down => vec![(x, y + r + 1), (x + r + 1, y - r), (x - r - 1, y - r)],
        };
        let inside = if look.own { look.colour } else { (255, 255, 255) };
        self.0.fill_polygon(corners.iter().copied(), &solid(inside, 1).filled())?;
        let mut outline = corners;
        outline.extend_from_within(..2);
        self.line(&outline, look.colour, 2)
    }

    fn legend(&mut self, legend: &[Entry], (x, mut y): (i32, i32)) -> Drawn {
        let mut last = "";
        for entry in legend {
            if heading(entry) != last {
                last = heading(entry);
                self.text(last, (x, y + 12), SMALL, SOFT, HPos::Left, false)?;
                y += 28;
            }
            let swatch = [(x, y + 4), (x + 28, y + 4)];
            match entry.look {
                Some(look) => self.stroke(&swatch, look)?,
                None => self.line(&swatch, REFERENCE, 2)?,
            }
            if let Some(look) = entry.look {
                self.marker((x + 14, y + 4), look, 4)?;
            }
            self.text(&entry.label, (x + 36, y + 4), LABEL, INK, HPos::Left, false)?;
            if !entry.detail.is_empty() {
                self.text(&entry.detail, (x + 36, y + 19), SMALL, SOFT, HPos::Left, false)?;
            }
            y += entry_height(entry);
        }
        Ok(())
    }

    fn fill(&mut self, from: (i32, i32), to: (i32, i32), colour: (u8, u8, u8)) -> Drawn {
        Ok(self.0.draw_rect(from, to, &solid(colour, 1).filled(), true)?)
    }

    fn line(&mut self, path: &[(i32, i32)], colour: (u8, u8, u8), width: u32) -> Drawn {
        Ok(self.0.draw_path(path.iter().copied(), &solid(colour, width))?)
    }

    /// A line that is solid where it is ours and dashed where it is a baseline's.
    fn stroke(&mut self, path: &[(i32, i32)], look: Look) -> Drawn {
        let mut style = solid(look.colour, 2);
        if !look.own {
            style.color = style.color.mix(DASHED);
        }
        Ok(self.0.draw_path(path.iter().copied(), &style)?)
    }

    fn text(
        &mut self,
        text: &str,
        at: (i32, i32),
        size: f64,
        colour: (u8, u8, u8),
        align: HPos,
        bold: bool,
    ) -> Drawn {
        let mut style = style(size, colour, align);
        if bold {
            style.font = style.font.style(plotters::style::FontStyle::Bold);
        }
        Ok(self.0.draw_text(text, &style, at)?)
    }

    /// A text that runs upwards.
    fn turned(&mut self, text: &str, at: (i32, i32), size: f64, align: HPos) -> Drawn {
        let style = style(size, INK, align).transform(FontTransform::Rotate270);
        Ok(self.0.draw_text(text, &style, at)?)
    }
}

/// A line of this colour and width; filled, an area.
pub(super) fn solid((r, g, b): (u8, u8, u8), stroke_width: u32) -> ShapeStyle {
    ShapeStyle { color: RGBColor(r, g, b).to_rgba(), filled: false, stroke_width }
}

/// A text of this size and colour.
pub(super) fn style(size: f64, (r, g, b): (u8, u8, u8), align: HPos) -> TextStyle<'static> {
    // The backend divides sizes by 1.24 to come from a line's height to the font size that SVG means.
    let mut style = TextStyle::from(("Helvetica, Arial, sans-serif", size * 1.24));
    style.color = RGBColor(r, g, b).to_backend_color();
    style.pos(Pos::new(align, VPos::Center))
}

/// A coordinate system in pixels.
struct Frame<'a> {
    corner: (i32, i32),
    size: (i32, i32),
    x: &'a Axis,
    y: &'a Axis,
}

impl Frame<'_> {
    /// The pixel of an x value, if it lies within the axis.
    fn across(&self, x: f64) -> Option<i32> {
        let share = self.x.place(x).filter(|s| (-1e-6..=1.000001).contains(s))?;
        Some(self.corner.0 + (share * f64::from(self.size.0)).round() as i32)
    }

    /// The pixel of a y value, if it lies within the axis.
    fn down(&self, y: f64) -> Option<i32> {
        let share = self.y.place(y).filter(|s| (-1e-6..=1.000001).contains(s))?;
        Some(self.corner.1 + ((1.0 - share) * f64::from(self.size.1)).round() as i32)
    }

    fn place(&self, x: f64, y: f64) -> Option<(i32, i32)> {
        Some((self.across(x)?, self.down(y)?))
    }

    /// The parts of a line that lie within the frame, as pixels.
    fn path(&self, line: &[(f64, f64)]) -> Vec<Vec<(i32, i32)>> {
        let mut pieces: Vec<Vec<(i32, i32)>> = vec![Vec::new()];
        for &(x, y) in line {
            match (self.place(x, y), pieces.last_mut()) {
                (Some(place), Some(piece)) => piece.push(place),
                _ => pieces.push(Vec::new()),
            }
        }
        pieces.retain(|piece| piece.len() > 1);
        pieces
    }
}

/// Moves increasing places apart to at least `gap`, as little as a pass to the right and one back need, within the ends.
fn apart(homes: &[i32], gap: i32, low: i32, high: i32) -> Vec<i32> {
    // Groups of touching labels, each centred on its members' mean: (sum of homes less own offset, count).
    let mut blocks: Vec<(i64, i64)> = Vec::new();
    let start = |&(sum, count): &(i64, i64)| {
        let most = i64::from(high) - (count - 1) * i64::from(gap);
        sum.div_euclid(count).min(most).max(i64::from(low))
    };
    for &home in homes {
        blocks.push((i64::from(home), 1));
        while let [.., before, last] = blocks[..] {
            if start(&before) + before.1 * i64::from(gap) <= start(&last) {
                break;
            }
            let shift = before.1 * i64::from(gap) * last.1;
            blocks.truncate(blocks.len() - 2);
            blocks.push((before.0 + last.0 - shift, before.1 + last.1));
        }
    }
    let members = |block: &(i64, i64)| {
        let first = start(block);
        (0..block.1).map(move |i| (first + i * i64::from(gap)) as i32).collect::<Vec<_>>()
    };
    blocks.iter().flat_map(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_touch_are_moved_apart_and_stay_within_the_ends() {
        assert_eq!(apart(&[10, 100], 15, 0, 200), [10, 100]);
        let moved = apart(&[50, 50, 50, 52, 190, 199], 15, 0, 200);
        assert!(moved.windows(2).all(|w| w[1] - w[0] >= 15), "{moved:?}");
        assert!(moved[0] >= 0 && moved[5] <= 200, "{moved:?}");
        assert!((moved[1] - 42).abs() <= 12, "{moved:?}");
    }
}

//! Draws a [`Chart`] as SVG.
//!
//! The legend stands at the right, outside the plot, and every label has a place of its own.

use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{Canvas, Drawn, GRID, INK, PAPER, Picture, REFERENCE, SOFT};
use super::chart::{Chart, Entry, Panel, Series, Subject};
use super::layout::{LABEL, LEFT, Layout, MARGIN, SMALL, entry_height, heading, text_width};
use super::palette::{Look, Marker};
use crate::error::Result;

/// The chart as the text of an SVG file.
///
/// # Errors
/// As [`picture`].
pub fn render(chart: &Chart) -> Result<String> {
    Ok(picture(chart)?.file())
}

/// The chart as a picture, for a file or a page.
///
/// # Errors
/// As [`Picture::draw`].
pub fn picture(chart: &Chart) -> Result<Picture> {
    let layout = Layout::of(chart);
    let names = (&*chart.name, &*chart.title, &*chart.alt());
    Picture::draw(names, layout.size, |canvas| canvas.chart(chart, &layout))
}

impl Canvas<'_> {
    fn chart(&mut self, chart: &Chart, layout: &Layout) -> Drawn {
        self.bold(&chart.title, (MARGIN, 24), 16.0)?;
        for (i, line) in layout.caption.iter().enumerate() {
            self.text(line, (MARGIN, 46 + 16 * i as i32), LABEL, SOFT, HPos::Left)?;
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
                self.bold(&panel.title, place, LABEL)?;
            }
            if i == 0 {
                self.names(&frame, &chart.names)?;
            }
            self.panel(&frame, panel)?;
        }
        self.labels(chart, layout, columns)?;
        self.legend(chart.subject, &chart.legend, layout.legend)
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
                self.text(&text, (x, y1 + 13), SMALL, INK, HPos::Center)?;
            }
        }
        let mut last = i32::MAX;
        for &tick in &frame.y.ticks {
            let Some(y) = frame.down(tick) else { continue };
            self.line(&[(x0, y), (x1, y)], GRID, 1)?;
            if left && y + 15 <= last {
                last = y;
                let text = frame.y.unit.format(tick);
                self.text(&text, (x0 - 7, y), SMALL, INK, HPos::Right)?;
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
        self.text(&chart.x.label, (centre, bottom + 34), LABEL, INK, HPos::Center)?;
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
        let inside = if look.own { look.colour } else { PAPER };
        let corners: Vec<(i32, i32)> = match look.marker {
            Marker::Circle => return self.circle((x, y), r, inside, look.colour),
            Marker::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            Marker::Up => vec![(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
            Marker::Diamond => {
                let r = r + 1;
                vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
            }
            Marker::Down => vec![(x, y + r + 1), (x + r + 1, y - r), (x - r - 1, y - r)],
        };
        self.polygon(&corners, inside, look.colour)
    }

    fn legend(&mut self, subject: Subject, legend: &[Entry], (x, mut y): (i32, i32)) -> Drawn {
        let mut last = "";
        for entry in legend {
            if heading(subject, entry) != last {
                last = heading(subject, entry);
                self.text(last, (x, y + 12), SMALL, SOFT, HPos::Left)?;
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
            self.text(&entry.label, (x + 36, y + 4), LABEL, INK, HPos::Left)?;
            if !entry.detail.is_empty() {
                self.text(&entry.detail, (x + 36, y + 19), SMALL, SOFT, HPos::Left)?;
            }
            y += entry_height(entry);
        }
        Ok(())
    }

    /// A line that is solid where it is ours and dashed where it is a baseline's.
    fn stroke(&mut self, path: &[(i32, i32)], look: Look) -> Drawn {
        if look.own { self.line(path, look.colour, 2) } else { self.dashed(path, look.colour, 2) }
    }
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

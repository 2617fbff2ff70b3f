//! The chart of one series: a point a commit, levels, and findings marked.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::prelude::{RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, TextStyle};

use super::report::{Finding, Judged, Kind, State};
use super::series::{Basis, short};
use crate::error::{Error, Result};
use crate::stats::median;

const SIZE: (i32, i32) = (720, 250);
/// Room for what stands left, right, above and below of the plot.
const MARGIN: (i32, i32, i32, i32) = (62, 14, 14, 40);

const INK: (u8, u8, u8) = (30, 30, 30);
const SOFT: (u8, u8, u8) = (110, 110, 110);
const GRID: (u8, u8, u8) = (228, 228, 228);
const POINT: (u8, u8, u8) = (70, 110, 170);
const SLOWER: (u8, u8, u8) = (200, 40, 40);
const FASTER: (u8, u8, u8) = (30, 130, 70);
const SETTLED: (u8, u8, u8) = (130, 130, 130);

type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The colour of a finding: that of its direction while it is open, grey once it is settled.
pub fn colour(finding: &Finding) -> (u8, u8, u8) {
    match (&finding.state, finding.ratio.0 > 1.0) {
        (State::Open, true) => SLOWER,
        (State::Open, false) => FASTER,
        _ => SETTLED,
    }
}

/// A series as SVG, in per cent of its first level; of numbers without noise, as they are. `None` with fewer than two points.
///
/// # Errors
/// Only if the drawing library fails, which it has no reason to when it writes to memory.
pub fn render(series: &Judged) -> Result<Option<String>> {
    let Some(plot) = Plot::of(series) else { return Ok(None) };
    let mut svg = String::new();
    let drawn = (|| -> Drawn {
        let size = (SIZE.0 as u32, SIZE.1 as u32);
        let mut canvas = Canvas(SVGBackend::with_string(&mut svg, size));
        plot.draw(&mut canvas, series)?;
        Ok(canvas.0.present()?)
    })();
    drawn.map_err(|e| Error::Library(format!("failed to draw {}: {e}", series.key())))?;
    Ok(Some(svg))
}

/// Values with their places.
struct Plot {
    values: Vec<f64>,
    /// Ends of the vertical axis.
    range: (f64, f64),
    per_cent: bool,
}

impl Plot {
    fn of(series: &Judged) -> Option<Plot> {
        let levels: Vec<f64> = series.series.points.iter().map(|p| p.level).collect();
        if levels.len() < 2 {
            return None;
        }
        let per_cent = series.series.basis != Some(Basis::Exact);
        let first = series.findings.iter().map(|f| f.at).min().unwrap_or(levels.len());
        let drifts = |f: &&Finding| f.kind == Kind::Drift;
        let zero = match series.findings.iter().find(drifts) {
            // Where its line begins.
            Some(drift) => {
                let slope = drift.ratio.0.ln() / (levels.len() - 1) as f64;
                let start = |(i, level): (usize, &f64)| level - slope * i as f64;
                median(&mut levels.iter().enumerate().map(start).collect::<Vec<_>>())?
            }
            None => median(&mut levels[..first.max(1)].to_vec())?,
        };
        let value = |level: &f64| if per_cent { 100.0 * (level - zero).exp_m1() } else { *level };
        let values: Vec<f64> = levels.iter().map(value).collect();
        // A few far values may not flatten the rest: they are drawn at the edge.
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| crate::stats::quantile(&sorted, q).unwrap_or(0.0);
        let (low, high) = if per_cent { (at(0.01), at(0.99)) } else { (at(0.0), at(1.0)) };
        let pad = (0.15 * (high - low)).max(if per_cent { 0.5 } else { 1.0 });
        Some(Plot { values, range: (low - pad, high + pad), per_cent })
    }

    fn x(&self, index: f64) -> i32 {
        let width = f64::from(SIZE.0 - MARGIN.0 - MARGIN.1 - 12);
        let share = index / (self.values.len() - 1) as f64;
        MARGIN.0 + 6 + (share * width).round() as i32
    }

    fn y(&self, value: f64) -> i32 {
        let height = f64::from(SIZE.1 - MARGIN.2 - MARGIN.3);
        let share = ((value - self.range.0) / (self.range.1 - self.range.0)).clamp(0.0, 1.0);
        MARGIN.2 + ((1.0 - share) * height).round() as i32
    }

    fn draw(&self, canvas: &mut Canvas, series: &Judged) -> Drawn {
        let (left, right) = (MARGIN.0, SIZE.0 - MARGIN.1);
        let (top, bottom) = (MARGIN.2, SIZE.1 - MARGIN.3);
        canvas.fill((0, 0), SIZE, (255, 255, 255), 1.0)?;
        for tick in ticks(self.range) {
            let y = self.y(tick);
            canvas.line(&[(left, y), (right, y)], GRID, 1)?;
            let label =
                if self.per_cent { format!("{:+} %", trim(tick)) } else { trim(tick).to_string() };
            canvas.text(&label, (left - 7, y), SOFT, HPos::Right)?;
        }
        for finding in &series.findings {
            self.mark(canvas, finding, series)?;
        }
        for (i, value) in self.values.iter().enumerate() {
            canvas.dot((self.x(i as f64), self.y(*value)), POINT)?;
        }
        self.levels(canvas, series)?;
        canvas.line(
            &[(left, top), (left, bottom), (right, bottom), (right, top), (left, top)],
            SOFT,
            1,
        )?;
        let points = &series.series.points;
        for (at, align) in [(0, HPos::Left), (points.len() - 1, HPos::Right)] {
            let day = points[at].time.strftime("%Y-%m-%d");
            let x = if at == 0 { left } else { right };
            let label = format!("{} {day}", short(&points[at].commit));
            canvas.text(&label, (x, bottom + 13), SOFT, align)?;
        }
        let basis = series.series.basis.as_ref().map_or("nothing".into(), |basis| basis.name());
        let what = match self.per_cent {
            true => format!("time against {basis}, change since the beginning; a point a commit"),
            false => format!("{}, a point a commit", series.key().metric),
        };
        canvas.text(&what, ((left + right) / 2, bottom + 29), SOFT, HPos::Center)
    }

    /// A step: a line at the first commit of the new level, on a band of all that may be it. A drift: a line along it.
    fn mark(&self, canvas: &mut Canvas, finding: &Finding, series: &Judged) -> Drawn {
        let colour = colour(finding);
        let (top, bottom) = (MARGIN.2, SIZE.1 - MARGIN.3);
        if finding.kind == Kind::Drift {
            let end = 100.0 * (finding.ratio.0 - 1.0);
            let from = (self.x(0.0), self.y(0.0));
            return canvas.line(
                &[from, (self.x((self.values.len() - 1) as f64), self.y(end))],
                colour,
                2,
            );
        }
        let place = |commit: &String| {
            series.series.points.iter().position(|p| p.commit == *commit).unwrap_or(finding.at)
        };
        let (first, last) = match (finding.suspects.first(), finding.suspects.last()) {
            (Some(first), Some(last)) => (place(first), place(last)),
            _ => (finding.at, finding.at),
        };
        // Half a commit before its point: that is where the level changes.
        let (x0, x1) = (self.x(first as f64 - 0.5), self.x(last as f64 + 0.5));
        canvas.fill((x0, top), (x1.max(x0 + 3), bottom), colour, 0.15)?;
        let x = self.x(finding.at as f64 - 0.5);
        canvas.line(&[(x, top), (x, bottom)], colour, 2)?;
        let near_end = x > SIZE.0 - 120;
        let (at, align) = if near_end { (x - 5, HPos::Right) } else { (x + 5, HPos::Left) };
        canvas.text(&finding.size(), (at, top + 9), colour, align)
    }

    /// The median from each step to the next.
    fn levels(&self, canvas: &mut Canvas, series: &Judged) -> Drawn {
        if series.findings.iter().any(|f| f.kind == Kind::Drift) {
            return Ok(());
        }
        let mut from = 0;
        for to in series.findings.iter().map(|f| f.at).chain([self.values.len()]) {
            if let Some(level) = median(&mut self.values[from..to].to_vec()) {
                let (y, end) = (self.y(level), self.x(to as f64 - 0.5).min(SIZE.0 - MARGIN.1));
                canvas.line(&[(self.x(from as f64 - 0.5).max(MARGIN.0), y), (end, y)], INK, 2)?;
            }
            from = to;
        }
        Ok(())
    }
}

/// Round values within a range, at most seven.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|tick| *tick <= high).take(8).collect()
}

/// Without the noise of binary fractions.
fn trim(value: f64) -> f64 {
    (value * 1e6).round() / 1e6 + 0.0
}

struct Canvas<'a>(SVGBackend<'a>);

impl Canvas<'_> {
    fn fill(
        &mut self,
        from: (i32, i32),
        to: (i32, i32),
        colour: (u8, u8, u8),
        opacity: f64,
    ) -> Drawn {
        let color = RGBColor(colour.0, colour.1, colour.2).mix(opacity);
        let style = ShapeStyle { color, filled: true, stroke_width: 0 };
        Ok(self.0.draw_rect(from, to, &style, true)?)
    }

    fn line(&mut self, path: &[(i32, i32)], colour: (u8, u8, u8), width: u32) -> Drawn {
        let color = RGBColor(colour.0, colour.1, colour.2).to_rgba();
        let style = ShapeStyle { color, filled: false, stroke_width: width };
        Ok(self.0.draw_path(path.iter().copied(), &style)?)
    }

    fn dot(&mut self, at: (i32, i32), colour: (u8, u8, u8)) -> Drawn {
        let color = RGBColor(colour.0, colour.1, colour.2).mix(0.75);
        let style = ShapeStyle { color, filled: true, stroke_width: 0 };
        Ok(self.0.draw_circle(at, 3, &style, true)?)
    }

    fn text(&mut self, text: &str, at: (i32, i32), colour: (u8, u8, u8), align: HPos) -> Drawn {
        // The backend divides sizes by 1.24 to come from a line's height to the font size that SVG means.
        let mut style = TextStyle::from(("Helvetica, Arial, sans-serif", 12.0 * 1.24));
        style.color = RGBColor(colour.0, colour.1, colour.2).to_backend_color();
        Ok(self.0.draw_text(text, &style.pos(Pos::new(align, VPos::Center)), at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(ticks((-1.3, 4.2)), [0.0, 2.0, 4.0]);
        assert_eq!(ticks((0.0, 1.0)).len(), 6);
        assert!(ticks((167.0, 171.0)).iter().all(|t| (167.0..=171.0).contains(t)));
        assert_eq!(trim(0.1 + 0.2), 0.3);
    }
}

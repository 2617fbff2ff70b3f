//! Stacked bars: what a whole is made of, each bar on a scale of its own.

use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, Drawn, INK, PAPER, Picture, SOFT};
use super::layout::{LABEL, MARGIN, SMALL, shorten};
use super::palette::COLOURS;
use crate::error::Result;

/// The picture's width, that of the bars, and that of a column of the legend, in pixels.
const WIDTH: i32 = 900;
const BAR: i32 = WIDTH - 2 * MARGIN;
const COLUMN: i32 = BAR / 3;
const HEIGHT: i32 = 34;
const ROW: i32 = 18;

/// A part of a bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// What it is.
    pub name: String,
    /// How much of it, on the bar's scale.
    pub value: f64,
    /// The same for readers: `12.3 ms, 45 %`.
    pub label: String,
    /// Whether it is assumed rather than measured: drawn hollow.
    pub assumed: bool,
}

/// A whole and its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is and how much.
    pub title: String,
    /// Its parts, left to right.
    pub segments: Vec<Segment>,
    /// What it should stay below, and what that is called.
    pub limit: Option<(f64, String)>,
}

/// A picture of bars, one below the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stacked {
    /// The picture's title.
    pub title: String,
    /// A line below the title.
    pub caption: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

impl Stacked {
    /// Draws it; `name` is the stem of its file's name.
    ///
    /// # Errors
    /// Only if the drawing library fails, which it has no reason to when it writes to memory.
    pub fn picture(&self, name: &str) -> Result<Picture> {
        let rows = |bar: &Bar| bar.segments.len().div_ceil(3) as i32;
        let of = |bar: &Bar| 20 + HEIGHT + 24 + ROW * rows(bar) + 24;
        let top = 46 + ROW;
        let height = top + self.bars.iter().map(of).sum::<i32>() + MARGIN;
        let part = |s: &Segment| format!("{} {}", s.name, s.label);
        let told = |bar: &Bar| {
            let parts: Vec<String> = bar.segments.iter().map(part).collect();
            format!("{}: {}.", bar.title, parts.join("; "))
        };
        let alt: Vec<String> = self.bars.iter().map(told).collect();
        Picture::draw((name, &self.title, &alt.join(" ")), (WIDTH, height), |canvas| {
            canvas.bold(&self.title, (MARGIN, 22), 16.0)?;
            canvas.text(&self.caption, (MARGIN, 44), LABEL, SOFT, HPos::Left)?;
            let mut y = top;
            for bar in &self.bars {
                draw(canvas, bar, y)?;
                y += of(bar);
            }
            Ok(())
        })
    }
}

fn draw(canvas: &mut Canvas<'_>, bar: &Bar, top: i32) -> Drawn {
    canvas.text(&bar.title, (MARGIN, top + 8), LABEL + 1.0, INK, HPos::Left)?;
    let y = top + 20;
    let total: f64 = bar.segments.iter().map(|s| s.value).sum();
    let scale = bar.limit.as_ref().map_or(total, |(limit, _)| limit.max(total));
    let place =
        |value: f64| MARGIN + (f64::from(BAR) * value / scale.max(f64::MIN_POSITIVE)) as i32;
    let mut sum = 0.0;
    for (i, segment) in bar.segments.iter().enumerate() {
        let (from, to) = (place(sum), place(sum + segment.value));
        sum += segment.value;
        part(canvas, (from, y), (to, y + HEIGHT), i, segment.assumed)?;
    }
    if let Some((limit, name)) = &bar.limit {
        let x = place(*limit);
        canvas.line(&[(x, y - 6), (x, y + HEIGHT + 6)], INK, 2)?;
        let align = if x > MARGIN + BAR / 2 { HPos::Right } else { HPos::Left };
        canvas.text(name, (x, y + HEIGHT + 13), SMALL, INK, align)?;
    }
    let legend = y + HEIGHT + 28;
    for (i, segment) in bar.segments.iter().enumerate() {
        let (x, y) = (MARGIN + COLUMN * (i as i32 % 3), legend + ROW * (i as i32 / 3));
        part(canvas, (x, y - 5), (x + 11, y + 6), i, segment.assumed)?;
        let fits = ((COLUMN - 22) as f64 / (SMALL * 0.6)) as usize;
        let line = shorten(&format!("{}: {}", segment.name, segment.label), fits);
        canvas.text(&line, (x + 17, y), SMALL, INK, HPos::Left)?;
    }
    Ok(())
}

/// A rectangle in the colour of the `i`th part: full where measured, hollow where assumed.
fn part(
    canvas: &mut Canvas<'_>,
    from: (i32, i32),
    to: (i32, i32),
    i: usize,
    assumed: bool,
) -> Drawn {
    let colour = COLOURS[i % COLOURS.len()];
    if !assumed {
        return canvas.rect(from, to, colour);
    }
    let inner = (to.0.max(from.0 + 1), to.1);
    canvas.rect(from, inner, PAPER)?;
    let corners = [from, (inner.0, from.1), inner, (from.0, inner.1), from];
    canvas.line(&corners, colour, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(limit: f64) -> String {
        let segment = |name: &str, value, assumed| Segment {
            name: name.into(),
            value,
            label: format!("{value} s"),
            assumed,
        };
        let segments = vec![segment("products", 3.0, false), segment("<links>", 1.0, true)];
        let bar = Bar { title: "a step".into(), segments, limit: Some((limit, "capacity".into())) };
        let (title, caption) = ("where time goes".into(), "a line".into());
        Stacked { title, caption, bars: vec![bar] }.picture("plan").unwrap().file()
    }

    #[test]
    fn every_part_is_drawn_and_told_and_names_cannot_become_markup() {
        let svg = bars(8.0);
        assert!(svg.contains("products: 3 s") && svg.contains("&lt;links&gt;: 1 s"), "{svg}");
        assert!(svg.contains("a step: products 3 s; &lt;links&gt; 1 s."), "{svg}");
        assert!(!svg.contains("<links>") && svg.contains("capacity"), "{svg}");
    }

    #[test]
    fn bars_share_the_width_by_their_parts_and_an_overflow_stays_inside() {
        let width = |svg: &str| {
            // The first filled rectangle behind the background is the first part.
            let start = svg.match_indices("<rect").nth(1).unwrap().0;
            let attribute = &svg[start..][svg[start..].find("width=\"").unwrap() + 7..];
            attribute[..attribute.find('"').unwrap()].parse::<i32>().unwrap()
        };
        let half = width(&bars(8.0));
        assert!((half - BAR * 3 / 8).abs() <= 1, "{half}");
        let full = width(&bars(0.5));
        assert!((full - BAR * 3 / 4).abs() <= 1, "{full}");
    }
}

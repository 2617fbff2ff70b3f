//! Stacked bars: what a whole is made of, each bar on a scale of its own.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::prelude::RGBColor;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, ShapeStyle};

use super::draw::{Drawn, SIGNATURE, solid, style};
use super::layout::{LABEL, MARGIN, SMALL, text_width};
use super::palette::COLOURS;
use crate::error::{Error, Result};

const INK: (u8, u8, u8) = (30, 30, 30);
const SOFT: (u8, u8, u8) = (95, 95, 95);
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
    /// Whether it is assumed rather than measured: drawn pale with a frame.
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
pub struct Bars {
    /// The picture's title.
    pub title: String,
    /// Lines below the title.
    pub caption: Vec<String>,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// The picture as the text of an SVG file.
///
/// # Errors
/// Only if the drawing library fails, which it has no reason to when it writes to memory.
pub fn render(bars: &Bars) -> Result<String> {
    let rows = |bar: &Bar| (bar.segments.len() as i32 + 2) / 3;
    let of = |bar: &Bar| 20 + HEIGHT + 24 + ROW * rows(bar) + 24;
    let top = 46 + ROW * bars.caption.len() as i32;
    let height = top + bars.bars.iter().map(of).sum::<i32>() + MARGIN;
    let mut svg = String::new();
    let drawn = (|| -> Drawn {
        let mut canvas = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32));
        canvas.draw_rect((0, 0), (WIDTH, height), &solid((255, 255, 255), 1).filled(), true)?;
        text(&mut canvas, &bars.title, (MARGIN, 22), 16.0, INK, HPos::Left)?;
        for (i, line) in bars.caption.iter().enumerate() {
            text(&mut canvas, line, (MARGIN, 44 + ROW * i as i32), LABEL, SOFT, HPos::Left)?;
        }
        let mut y = top;
        for bar in &bars.bars {
            draw(&mut canvas, bar, y)?;
            y += of(bar);
        }
        Ok(canvas.present()?)
    })();
    drawn.map_err(|e| Error::Library(format!("failed to draw the bars of {}: {e}", bars.title)))?;
    let end_of_tag = svg.find('>').map_or(0, |i| i + 1);
    svg.insert_str(end_of_tag, &format!("\n{SIGNATURE}"));
    Ok(svg)
}

fn draw(canvas: &mut SVGBackend<'_>, bar: &Bar, top: i32) -> Drawn {
    text(canvas, &bar.title, (MARGIN, top + 8), LABEL + 1.0, INK, HPos::Left)?;
    let y = top + 20;
    let total: f64 = bar.segments.iter().map(|s| s.value).sum();
    let scale = bar.limit.as_ref().map_or(total, |(limit, _)| limit.max(total));
    let place =
        |value: f64| MARGIN + (f64::from(BAR) * value / scale.max(f64::MIN_POSITIVE)) as i32;
    let mut sum = 0.0;
    for (i, segment) in bar.segments.iter().enumerate() {
        let (from, to) = (place(sum), place(sum + segment.value));
        sum += segment.value;
        fill(canvas, (from, y), (to, y + HEIGHT), i, segment.assumed)?;
        if to - from > text_width(&segment.name, SMALL) + 8 {
            let colour = if segment.assumed { INK } else { contrast(COLOURS[i % COLOURS.len()]) };
            let at = ((from + to) / 2, y + HEIGHT / 2);
            text(canvas, &segment.name, at, SMALL, colour, HPos::Center)?;
        }
    }
    if let Some((limit, name)) = &bar.limit {
        let x = place(*limit);
        canvas.draw_path([(x, y - 6), (x, y + HEIGHT + 6)], &solid((200, 0, 0), 2))?;
        let align = if x > MARGIN + BAR / 2 { HPos::Right } else { HPos::Left };
        text(canvas, name, (x, y + HEIGHT + 13), SMALL, (200, 0, 0), align)?;
    }
    let legend = y + HEIGHT + 28;
    for (i, segment) in bar.segments.iter().enumerate() {
        let (x, y) = (MARGIN + COLUMN * (i as i32 % 3), legend + ROW * (i as i32 / 3));
        fill(canvas, (x, y - 5), (x + 11, y + 6), i, segment.assumed)?;
        let line = format!("{}: {}", segment.name, segment.label);
        let fits = ((COLUMN - 22) as f64 / (SMALL * 0.6)) as usize;
        let line: String = match line.chars().count() > fits {
            true => line.chars().take(fits - 1).chain(['…']).collect(),
            false => line,
        };
        text(canvas, &line, (x + 17, y), SMALL, INK, HPos::Left)?;
    }
    Ok(())
}

/// A rectangle in the colour of the `i`th part: full where measured, pale with a frame where assumed.
fn fill(
    canvas: &mut SVGBackend<'_>,
    from: (i32, i32),
    to: (i32, i32),
    i: usize,
    assumed: bool,
) -> Drawn {
    let (r, g, b) = COLOURS[i % COLOURS.len()];
    let colour = RGBColor(r, g, b).to_rgba();
    let inside = if assumed { colour.mix(0.25) } else { colour };
    let style = |filled| ShapeStyle { color: inside, filled, stroke_width: 1 };
    canvas.draw_rect(from, to, &style(true), true)?;
    let frame = if assumed { (r, g, b) } else { (255, 255, 255) };
    Ok(canvas.draw_rect(from, to, &solid(frame, 1), false)?)
}

/// White on dark colours, ink on light ones.
fn contrast((r, g, b): (u8, u8, u8)) -> (u8, u8, u8) {
    let light = 0.3 * f64::from(r) + 0.59 * f64::from(g) + 0.11 * f64::from(b);
    if light > 140.0 { INK } else { (255, 255, 255) }
}

fn text(
    canvas: &mut SVGBackend<'_>,
    words: &str,
    at: (i32, i32),
    size: f64,
    colour: (u8, u8, u8),
    align: HPos,
) -> Drawn {
    Ok(canvas.draw_text(words, &style(size, colour, align), at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(limit: f64) -> Bars {
        let segment = |name: &str, value, assumed| Segment {
            name: name.into(),
            value,
            label: format!("{value} s"),
            assumed,
        };
        let segments = vec![segment("products", 3.0, false), segment("<links>", 1.0, true)];
        let bar = Bar { title: "a step".into(), segments, limit: Some((limit, "capacity".into())) };
        Bars { title: "where time goes".into(), caption: vec!["a line".into()], bars: vec![bar] }
    }

    #[test]
    fn every_part_is_drawn_and_names_cannot_become_markup() {
        let svg = render(&bars(8.0)).unwrap();
        assert!(svg.contains("products: 3 s") && svg.contains("&lt;links&gt;: 1 s"), "{svg}");
        assert!(!svg.contains("<links>") && svg.contains(SIGNATURE));
        assert!(svg.contains("capacity"));
    }

    #[test]
    fn bars_share_the_width_by_their_parts_and_an_overflow_stays_inside() {
        let width = |svg: &str| {
            // The first filled rectangle behind the background is the first part.
            let start = svg.match_indices("<rect").nth(1).unwrap().0;
            let attribute = &svg[start..][svg[start..].find("width=\"").unwrap() + 7..];
            attribute[..attribute.find('"').unwrap()].parse::<i32>().unwrap()
        };
        let half = width(&render(&bars(8.0)).unwrap());
        assert!((half - BAR * 3 / 8).abs() <= 1, "{half}");
        let full = width(&render(&bars(0.5)).unwrap());
        assert!((full - BAR * 3 / 4).abs() <= 1, "{full}");
    }
}

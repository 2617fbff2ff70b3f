//! A heat map: names against machines, the colour by the ratio.

use plotters::style::text_anchor::HPos;

use super::axis::three_digits;
use super::canvas::{Drawn, INK, Picture, Rgb, SOFT};
use super::layout::{LABEL, MARGIN, SMALL, shorten, text_width, wrap};
use crate::error::Result;

/// The colours from slow to fast, each with the one that takes its place on dark ground: orange and blue, which colour-blind readers
/// tell apart.
pub const STEPS: [(Rgb, Rgb); 7] = [
    ((240, 150, 100), (158, 72, 30)),
    ((250, 193, 155), (112, 60, 36)),
    ((253, 229, 214), (76, 50, 40)),
    ((238, 238, 238), (46, 46, 46)),
    ((219, 234, 246), (38, 58, 80)),
    ((168, 207, 236), (32, 82, 126)),
    ((106, 170, 222), (24, 104, 172)),
];

/// Where one colour ends and the next begins, from slow to fast.
const EDGES: [f64; 6] = [0.5, 0.8, 0.95, 1.05, 1.25, 2.0];

/// Height of a row.
const ROW: i32 = 20;
/// The longest name of a row or column, in letters.
const NAME: usize = 44;
/// From so many columns on, cells are too narrow for numbers.
const NARROW: usize = 25;

/// A heat map, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// The stem of its file's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    /// The names of columns.
    pub columns: Vec<String>,
    /// The names of rows, each with a ratio a column where there is one.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

/// The step of a ratio: 3 where there is hardly a difference.
fn step(ratio: f64) -> usize {
    EDGES.iter().filter(|edge| ratio >= **edge).count()
}

impl Heat {
    /// Draws it.
    ///
    /// # Errors
    /// As [`Picture::draw`].
    pub fn picture(&self) -> Result<Picture> {
        let short = |name: &String| shorten(name, NAME);
        let rows: Vec<String> = self.rows.iter().map(|(name, _)| short(name)).collect();
        let columns: Vec<String> = self.columns.iter().map(short).collect();
        let widest = |names: &[String]| names.iter().map(|n| text_width(n, SMALL)).max();
        let (left, above) = (widest(&rows).unwrap_or(0), widest(&columns).unwrap_or(0));
        let cell = if columns.len() < NARROW { 46 } else { 15 };
        let x0 = MARGIN + left + 10;
        let right = x0 + cell * columns.len() as i32;
        let key = MARGIN + 7 * 62 + 10;
        let width =
            (right.max(key).max(420) + MARGIN).max(MARGIN * 2 + text_width(&self.title, 18.0));
        let caption = wrap(&self.caption, width - 2 * MARGIN);
        let y0 = 40 + 16 * caption.len() as i32 + 16 + 40 + above;
        let size = (width, y0 + ROW * rows.len() as i32 + MARGIN);
        let alt = format!(
            "{}: {} rows against {} columns; the same numbers stand in the tables",
            self.title,
            rows.len(),
            columns.len()
        );
        Picture::draw((&self.name, &self.title, &alt), size, |canvas| -> Drawn {
            canvas.bold(&self.title, (MARGIN, 24), 16.0)?;
            for (i, line) in caption.iter().enumerate() {
                canvas.text(line, (MARGIN, 46 + 16 * i as i32), LABEL, SOFT, HPos::Left)?;
            }
            let y = 46 + 16 * caption.len() as i32;
            for (i, (colour, _)) in STEPS.into_iter().enumerate() {
                let x = MARGIN + 62 * i as i32;
                canvas.rect((x, y), (x + 60, y + 18), colour)?;
                let text = match i {
                    0 => format!("< {}", EDGES[0]),
                    6 => format!("≥ {}", EDGES[5]),
                    i => format!("{}–{}", EDGES[i - 1], EDGES[i]),
                };
                canvas.text(&text, (x + 30, y + 9), SMALL, INK, HPos::Center)?;
            }
            for (i, column) in columns.iter().enumerate() {
                let x = x0 + cell * i as i32 + cell / 2;
                canvas.turned(column, (x, y0 - 6), SMALL, HPos::Left)?;
            }
            for (i, ((_, ratios), name)) in self.rows.iter().zip(&rows).enumerate() {
                let y = y0 + ROW * i as i32;
                canvas.text(name, (x0 - 8, y + ROW / 2), SMALL, INK, HPos::Right)?;
                for (j, ratio) in ratios.iter().enumerate() {
                    let Some(ratio) = ratio.filter(|r| r.is_finite() && *r > 0.0) else { continue };
                    let x = x0 + cell * j as i32;
                    canvas.rect((x, y), (x + cell - 1, y + ROW - 1), STEPS[step(ratio)].0)?;
                    if cell >= 46 {
                        let at = (x + cell / 2, y + ROW / 2);
                        canvas.text(&three_digits(ratio), at, SMALL, INK, HPos::Center)?;
                    }
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_as_fast_and_twice_as_fast_are_at_the_ends_and_alike_is_in_the_middle() {
        assert_eq!([0.1, 0.6, 0.9, 1.0, 1.1, 1.5, 2.0].map(step), [0, 1, 2, 3, 4, 5, 6]);
    }
}

//! Bars from the longest to the shortest, a name each.

use plotters::style::text_anchor::HPos;

use super::canvas::{Drawn, INK, Picture, REFERENCE, SOFT};
use super::layout::{LABEL, MARGIN, SMALL, shorten, text_width, wrap};
use super::palette::COLOURS;
use crate::error::Result;

/// Height of a bar with what lies between two.
const ROW: i32 = 20;
/// Length of the longest bar.
const LONGEST: i32 = 420;

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// The interval of its length, drawn as a line.
    pub interval: (f64, f64),
    /// What is written behind it.
    pub text: String,
}

/// Bars, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// The stem of its file's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    /// The value that a line stands at, as a base.
    pub mark: f64,
    /// The bars; drawn by falling length.
    pub bars: Vec<Bar>,
}

impl Bars {
    /// Draws it.
    ///
    /// # Errors
    /// As [`Picture::draw`].
    pub fn picture(&self) -> Result<Picture> {
        let mut bars: Vec<&Bar> =
            self.bars.iter().filter(|b| b.value.is_finite() && b.value > 0.0).collect();
        bars.sort_by(|a, b| b.value.total_cmp(&a.value));
        let names: Vec<String> = bars.iter().map(|bar| shorten(&bar.name, 44)).collect();
        let left = names.iter().map(|name| text_width(name, SMALL)).max().unwrap_or(0);
        let behind = bars.iter().map(|bar| text_width(&bar.text, SMALL)).max().unwrap_or(0);
        // Intervals may reach beyond their bar, but not so far that they make bars invisible.
        let longest = bars.iter().map(|b| b.value.max(self.mark)).fold(self.mark, f64::max);
        let most =
            bars.iter().map(|b| b.interval.1).filter(|x| x.is_finite()).fold(longest, f64::max);
        let most = most.min(1.3 * longest);
        let x0 = MARGIN + left + 10;
        let place = |value: f64| x0 + ((value / most).clamp(0.0, 1.0) * f64::from(LONGEST)) as i32;
        let width =
            (x0 + LONGEST + 12 + behind + MARGIN).max(2 * MARGIN + text_width(&self.title, 18.0));
        let caption = wrap(&self.caption, width - 2 * MARGIN);
        let y0 = 40 + 16 * caption.len() as i32 + 14;
        let size = (width, y0 + ROW * bars.len() as i32 + MARGIN);
        let first: Vec<String> =
            bars.iter().take(12).map(|bar| format!("{} {}", bar.name, bar.text)).collect();
        let alt = format!("{}; from the most to the least: {}", self.title, first.join("; "));
        Picture::draw((&self.name, &self.title, &alt), size, |canvas| -> Drawn {
            canvas.bold(&self.title, (MARGIN, 24), 16.0)?;
            for (i, line) in caption.iter().enumerate() {
                canvas.text(line, (MARGIN, 46 + 16 * i as i32), LABEL, SOFT, HPos::Left)?;
            }
            let bottom = y0 + ROW * bars.len() as i32;
            for (i, (bar, name)) in bars.iter().zip(&names).enumerate() {
                let y = y0 + ROW * i as i32;
                let middle = y + ROW / 2 - 1;
                canvas.text(name, (x0 - 8, middle), SMALL, INK, HPos::Right)?;
                canvas.rect(
                    (x0, y + 2),
                    (place(bar.value).max(x0 + 1), y + ROW - 5),
                    COLOURS[6],
                )?;
                let ends = (place(bar.interval.0), place(bar.interval.1));
                canvas.line(&[(ends.0, middle), (ends.1, middle)], INK, 1)?;
                canvas.text(&bar.text, (x0 + LONGEST + 12, middle), SMALL, INK, HPos::Left)?;
            }
            let x = place(self.mark);
            canvas.dashed(&[(x, y0 - 4), (x, bottom)], REFERENCE, 1)
        })
    }
}

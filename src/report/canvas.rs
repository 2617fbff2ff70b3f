//! What every picture is drawn with, and what makes it one SVG for light and dark, for eyes and for screen readers.
//!
//! Everything is placed in pixels by estimated text widths, so that no font is needed to make a picture. Colours are written as those of
//! light paper; a style sheet that finds them by their value turns them for the dark ([`dark`]), within a file of its own and from the
//! page around a picture that stands in it.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::prelude::{RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, TextStyle};

use super::heat::STEPS;
use super::html::escape;
use super::palette::COLOURS;
use crate::error::{Error, Result};

/// What drawing a thing comes to; the backend's own error type has no public name.
pub type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Red, green, blue.
pub type Rgb = (u8, u8, u8);

/// Says in each file who made it, so that only own files are ever removed.
pub const SIGNATURE: &str = "<desc>Made by scalemark report.</desc>";

/// The opacity that stands for a dashed line until the text is finished: the backend cannot write dashes.
const DASHED: f64 = 0.99;

/// Of texts.
pub const INK: Rgb = (30, 30, 30);
/// Of texts that matter less, and of frames.
pub const SOFT: Rgb = (95, 95, 95);
/// Of the lines of a grid.
pub const GRID: Rgb = (228, 228, 228);
/// Of lines that others are held against.
pub const REFERENCE: Rgb = (150, 150, 150);
/// The ground.
pub const PAPER: Rgb = (255, 255, 255);

/// Each colour, and the one that takes its place on dark ground.
fn themes() -> Vec<(Rgb, Rgb)> {
    let plain = [
        (INK, (232, 232, 232)),
        (SOFT, (172, 172, 172)),
        (GRID, (58, 58, 58)),
        (REFERENCE, (128, 128, 128)),
        (PAPER, (22, 22, 22)),
    ];
    let lines: [Rgb; COLOURS.len()] = [
        (70, 155, 225),
        (240, 125, 50),
        (40, 190, 145),
        (222, 145, 187),
        (246, 246, 246),
        (240, 182, 50),
        (150, 212, 248),
        (152, 152, 152),
    ];
    let lines = COLOURS.into_iter().zip(lines);
    plain.into_iter().chain(lines).chain(STEPS).collect()
}

fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// Style rules that turn the colours of pictures for dark ground, for elements within `scope`.
pub fn dark(scope: &str) -> String {
    let rule = |(light, dark): (Rgb, Rgb)| {
        let (light, dark) = (hex(light), hex(dark));
        format!(
            "{scope}[fill=\"{light}\"]{{fill:{dark}}}{scope}[stroke=\"{light}\"]{{stroke:{dark}}}"
        )
    };
    themes().into_iter().map(rule).collect()
}

/// A drawn picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The stem of its file's name: letters, digits and dashes.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// What a reader who cannot see it is told.
    pub alt: String,
    /// The size in pixels.
    pub size: (i32, i32),
    /// What stands between the root's tags.
    inside: String,
}

impl Picture {
    /// Draws a picture.
    ///
    /// # Errors
    /// Only if the drawing library fails, which it has no reason to when it writes to memory.
    pub fn draw(
        (name, title, alt): (&str, &str, &str),
        size: (i32, i32),
        body: impl FnOnce(&mut Canvas) -> Drawn,
    ) -> Result<Picture> {
        let mut svg = String::new();
        let drawn = (|| -> Drawn {
            let pixels = (size.0.max(1) as u32, size.1.max(1) as u32);
            let mut canvas = Canvas(SVGBackend::with_string(&mut svg, pixels));
            canvas.rect((0, 0), size, PAPER)?;
            body(&mut canvas)?;
            Ok(canvas.0.present()?)
        })();
        drawn.map_err(|e| Error::Library(format!("failed to draw the chart {name}: {e}")))?;
        let svg =
            svg.replace(&format!("opacity=\"{DASHED}\""), "opacity=\"1\" stroke-dasharray=\"7 5\"");
        let (from, to) = (svg.find('>').map_or(0, |i| i + 1), svg.rfind("</svg>"));
        let inside = svg[from..to.unwrap_or(svg.len())].trim_start().to_owned();
        let owned = |text: &str| text.to_owned();
        Ok(Picture { name: owned(name), title: owned(title), alt: owned(alt), size, inside })
    }

    /// The text of a file of its own.
    pub fn file(&self) -> String {
        let style =
            format!("<style>@media screen and (prefers-color-scheme:dark){{{}}}</style>", dark(""));
        self.text("", &format!("{SIGNATURE}\n{style}\n"))
    }

    /// An element within a page that has the rules of [`dark`] for class `picture`.
    pub fn inline(&self) -> String {
        self.text(" class=\"picture\"", "")
    }

    fn text(&self, class: &str, head: &str) -> String {
        let (name, (width, height)) = (&self.name, self.size);
        format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\"{class} \
             role=\"img\" aria-labelledby=\"{name}-title {name}-desc\">\n<title id=\"{name}-title\">{}</title>\n<desc \
             id=\"{name}-desc\">{}</desc>\n{head}{}</svg>\n",
            escape(&self.title),
            escape(&self.alt),
            self.inside,
        )
    }
}

/// What is drawn on.
pub struct Canvas<'a>(SVGBackend<'a>);

impl Canvas<'_> {
    /// A filled rectangle.
    pub fn rect(&mut self, from: (i32, i32), to: (i32, i32), colour: Rgb) -> Drawn {
        Ok(self.0.draw_rect(from, to, &solid(colour, 1).filled(), true)?)
    }

    /// A line through points.
    pub fn line(&mut self, path: &[(i32, i32)], colour: Rgb, width: u32) -> Drawn {
        Ok(self.0.draw_path(path.iter().copied(), &solid(colour, width))?)
    }

    /// A dashed line through points.
    pub fn dashed(&mut self, path: &[(i32, i32)], colour: Rgb, width: u32) -> Drawn {
        let mut style = solid(colour, width);
        style.color = style.color.mix(DASHED);
        Ok(self.0.draw_path(path.iter().copied(), &style)?)
    }

    /// A circle, filled with one colour and drawn with another.
    pub fn circle(&mut self, at: (i32, i32), radius: i32, inside: Rgb, outline: Rgb) -> Drawn {
        let radius = radius.max(1) as u32;
        self.0.draw_circle(at, radius, &solid(inside, 1).filled(), true)?;
        Ok(self.0.draw_circle(at, radius, &solid(outline, 2), false)?)
    }

    /// A closed shape, filled with one colour and drawn with another.
    pub fn polygon(&mut self, corners: &[(i32, i32)], inside: Rgb, outline: Rgb) -> Drawn {
        self.0.fill_polygon(corners.iter().copied(), &solid(inside, 1).filled())?;
        let closed: Vec<_> = corners.iter().chain(corners.iter().take(2)).copied().collect();
        self.line(&closed, outline, 2)
    }

    /// A text whose middle lies at the height of `at`.
    pub fn text(
        &mut self,
        text: &str,
        at: (i32, i32),
        size: f64,
        colour: Rgb,
        align: HPos,
    ) -> Drawn {
        Ok(self.0.draw_text(text, &style(size, colour, align), at)?)
    }

    /// A text in bold, from `at` to the right.
    pub fn bold(&mut self, text: &str, at: (i32, i32), size: f64) -> Drawn {
        let mut style = style(size, INK, HPos::Left);
        style.font = style.font.style(plotters::style::FontStyle::Bold);
        Ok(self.0.draw_text(text, &style, at)?)
    }

    /// A text that runs upwards.
    pub fn turned(&mut self, text: &str, at: (i32, i32), size: f64, align: HPos) -> Drawn {
        let style = style(size, INK, align).transform(FontTransform::Rotate270);
        Ok(self.0.draw_text(text, &style, at)?)
    }
}

fn solid((r, g, b): Rgb, stroke_width: u32) -> ShapeStyle {
    ShapeStyle { color: RGBColor(r, g, b).to_rgba(), filled: false, stroke_width }
}

fn style(size: f64, (r, g, b): Rgb, align: HPos) -> TextStyle<'static> {
    // The backend divides sizes by 1.24 to come from a line's height to the font size that SVG means.
    let mut style = TextStyle::from(("Helvetica, Arial, sans-serif", size * 1.24));
    style.color = RGBColor(r, g, b).to_backend_color();
    style.pos(Pos::new(align, VPos::Center))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_has_one_other_for_the_dark_and_no_two_share_it() {
        let themes = themes();
        for (i, (light, dark)) in themes.iter().enumerate() {
            for (other, taken) in &themes[..i] {
                assert!(
                    light != other && dark != taken,
                    "{light:?} is {other:?}, or is turned alike"
                );
            }
        }
    }

    #[test]
    fn a_picture_names_itself_to_those_who_cannot_see_it_and_names_cannot_break_out() {
        let names = ("a-b", "a <b> & \"c\"", "</desc><script>");
        let body = |canvas: &mut Canvas| canvas.text("<i>&", (9, 9), 12.0, INK, HPos::Left);
        let picture = Picture::draw(names, (90, 20), body).unwrap();
        for text in [picture.file(), picture.inline()] {
            assert!(text.contains("role=\"img\" aria-labelledby=\"a-b-title a-b-desc\""), "{text}");
            assert!(
                text.contains("<title id=\"a-b-title\">a &lt;b&gt; &amp; &quot;c&quot;</title>")
            );
            assert!(
                text.contains("&lt;/desc&gt;&lt;script&gt;") && text.contains("&lt;i&gt;&amp;")
            );
            assert!(!text.contains("<script") && !text.contains("<i>"));
        }
        assert!(picture.file().contains(SIGNATURE) && !picture.inline().contains("<style"));
    }
}

//! What a chart is made of, apart from how it is drawn.

use super::axis::Axis;
use super::palette::Look;

/// A measured point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Along the x axis.
    pub x: f64,
    /// Along the y axis.
    pub y: f64,
    /// The interval of `y`, drawn as a bar.
    pub interval: Option<(f64, f64)>,
    /// Drawn small, for it stands for less than the others (the caption says what).
    pub partial: bool,
}

impl Point {
    /// A point without an interval.
    pub fn new(x: f64, y: f64) -> Point {
        Point { x, y, interval: None, partial: false }
    }
}

/// The points of one thing, and the line that belongs to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Colour, marker, and whether it is ours.
    pub look: Look,
    /// What was measured.
    pub points: Vec<Point>,
    /// The line: through the points, or along a fitted law; empty for points alone.
    pub line: Vec<(f64, f64)>,
}

/// One coordinate system; all of a chart share their axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// What it shows, where there are several.
    pub title: String,
    /// Its series.
    pub series: Vec<Series>,
    /// Grey lines behind the series, such as measured limits.
    pub references: Vec<Vec<(f64, f64)>>,
}

/// A line of the legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The look that it explains; `None` for a reference line.
    pub look: Option<Look>,
    /// The name.
    pub label: String,
    /// A second line in small type, or empty.
    pub detail: String,
}

/// What the series of a chart stand for, which its legend says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subject {
    /// Kernels: ours solid and filled, baselines dashed and hollow.
    #[default]
    Kernels,
    /// Machines, of several runs; a dashed line is a limit of one.
    Machines,
}

/// A chart, ready to be drawn with [`super::draw::render`].
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The stem of its file's name.
    pub name: String,
    /// What it shows: op, dtype, threads.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    /// The shared x axis.
    pub x: Axis,
    /// The shared y axis.
    pub y: Axis,
    /// The coordinate systems, row by row.
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub columns: usize,
    /// Names along the top of the first panel, at values of x.
    pub names: Vec<(f64, String)>,
    /// The legend, ours first.
    pub legend: Vec<Entry>,
    /// What series stand for.
    pub subject: Subject,
}

impl Chart {
    /// What a reader who cannot see it is told.
    pub fn alt(&self) -> String {
        let names: Vec<&str> = self.legend.iter().map(|e| e.label.as_str()).collect();
        format!("{}: {} against {}; {}", self.title, self.y.label, self.x.label, names.join(", "))
    }
}

/// The series of one look whose line runs through its points.
pub fn joined(look: Look, points: Vec<Point>) -> Series {
    let line = points.iter().map(|p| (p.x, p.y)).collect();
    Series { look, points, line }
}

/// Every x and y (with intervals) of some panels, for the axes.
pub fn extent(panels: &[Panel]) -> (Vec<f64>, Vec<f64>) {
    let points = panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.points);
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for point in points {
        xs.push(point.x);
        ys.push(point.y);
        if let Some((low, high)) = point.interval {
            ys.extend([low, high]);
        }
    }
    (xs, ys)
}

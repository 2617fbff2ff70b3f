//! Which colour and marker a kernel has: the same in every chart of a report.

use super::group::{is_own, short};
use crate::record::Record;

/// Okabe and Ito's colours that colour-blind readers tell apart (jfly.uni-koeln.de/color), with a grey in the place of
/// their yellow, which is too faint on white.
pub const COLOURS: [(u8, u8, u8); 8] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (120, 120, 120),
];

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Up,
    /// ◆
    Diamond,
    /// ▼
    Down,
}

/// Every marker, in the order in which they are given out.
pub const MARKERS: [Marker; 5] =
    [Marker::Circle, Marker::Square, Marker::Up, Marker::Diamond, Marker::Down];

/// How a series is drawn: ours solid and filled, a baseline dashed and hollow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Red, green, blue.
    pub colour: (u8, u8, u8),
    /// The shape of its points.
    pub marker: Marker,
    /// Whether the kernel is ours.
    pub own: bool,
}

impl Look {
    /// The look of the `index`th of several things.
    pub fn nth(index: usize, own: bool) -> Look {
        let marker = MARKERS[(index + index / COLOURS.len()) % MARKERS.len()];
        Look { colour: COLOURS[index % COLOURS.len()], marker, own }
    }
}

/// The looks of all kernels of a report.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    known: Vec<(String, Look)>,
}

impl Palette {
    /// Gives every kernel a look. Kernels of the same short name (`matmul/simd`, `attention/simd`) share one; within a
    /// family no two do.
    pub fn of(records: &[Record]) -> Palette {
        let mut names: Vec<(&str, &str, bool)> = Vec::new();
        for record in records {
            let family = record.case.problem.family().name();
            let name = short(&record.kernel);
            if !names.iter().any(|n| n.0 == family && n.1 == name) {
                names.push((family, name, is_own(record)));
            }
        }
        let mut given: Vec<(&str, usize, bool)> = Vec::new();
        // Ours first: they keep their looks from run to run, whichever libraries a machine has.
        for own in [true, false] {
            for (family, name, _) in names.iter().filter(|n| n.2 == own) {
                if given.iter().any(|g| g.0 == *name) {
                    continue;
                }
                let in_family = |g: &&(&str, usize, bool)| {
                    names.iter().any(|n| n.0 == *family && n.1 == g.0 && n.2 == g.2)
                };
                let taken: Vec<usize> = given.iter().filter(in_family).map(|g| g.1).collect();
                let free = (0..).find(|i| !taken.contains(i)).unwrap_or_default();
                given.push((name, free, own));
            }
        }
        let look =
            |(name, index, own): (&str, usize, bool)| (name.to_owned(), Look::nth(index, own));
        Palette { known: given.into_iter().map(look).collect() }
    }

    /// The look of a kernel; black circles for one that was not in the records.
    pub fn look(&self, kernel: &str) -> Look {
        let name = short(kernel);
        let known = self.known.iter().find(|(known, _)| known == name);
        known.map_or(Look { colour: (0, 0, 0), marker: Marker::Circle, own: true }, |k| k.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn kernels_of_a_family_look_different_and_the_same_name_looks_the_same_everywhere() {
        let records: Vec<Record> = (0..20)
            .map(|i| {
                let provider = if i % 2 == 0 { "own" } else { "lib" };
                synthetic::square(64, &format!("matmul/k{i}"), provider, 1e-3)
            })
            .collect();
        let palette = Palette::of(&records);
        let looks: Vec<Look> = records.iter().map(|r| palette.look(&r.kernel)).collect();
        for (i, look) in looks.iter().enumerate() {
            assert_eq!(look.own, i % 2 == 0);
            assert!(!looks[..i].contains(look), "kernel {i} looks like an earlier one");
        }
        assert_eq!(palette.look("attention/k3"), palette.look("matmul/k3"));
    }
}

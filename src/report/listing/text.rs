//! A listing for a terminal.

use super::{Listing, columns};

/// Lines about a line that was executed which are shown with it.
const AROUND: u32 = 2;
/// Lines that are named first.
const HOTTEST: usize = 5;

/// What is shown of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Lines that were executed, with those around them.
    Executed,
    /// Every line.
    Everything,
}

/// The hottest lines, then every file; columns that have nothing to say are left out.
pub fn text(listing: &Listing, shown: Shown) -> String {
    let mut out = format!("{}\n", listing.title);
    let total = listing.total;
    for (what, most) in [
        ("most issued", listing.most(|sums| sums.issued, HOTTEST)),
        ("sectors that no byte needs", listing.most(|s| s.sectors.saturating_sub(s.ideal), 3)),
        ("conflicts in shared memory", listing.most(|sums| sums.conflicts, 3)),
        ("lanes apart", listing.most(|sums| sums.apart, 3)),
    ] {
        if most.is_empty() {
            continue;
        }
        out += &format!("\n{what}:\n");
        for (file, line, count) in most {
            let share = match what {
                "most issued" => format!(" ({:.1} %)", 100.0 * count as f64 / total.issued as f64),
                _ => String::new(),
            };
            let code = file.lines.get(line.wrapping_sub(1) as usize).map_or("", |l| l.trim());
            out += &format!("  {count:>12}{share} {}:{line}  {code}\n", file.name);
        }
    }
    let columns = columns(listing);
    let width = |heading: &str| heading.chars().count().max(9);
    for file in &listing.files {
        out += &format!("\n{}\n", file.name);
        let head = columns.iter().map(|(name, ..)| format!("{name:>0$}", width(name)));
        out += &format!("{}   line\n", head.collect::<Vec<_>>().join(" "));
        let executed = |line: u32| file.counted.contains_key(&line);
        let last =
            file.lines.len().max(file.counted.keys().max().map_or(0, |&l| l as usize)) as u32;
        let near = |line: u32| (line.saturating_sub(AROUND)..=line + AROUND).any(executed);
        let (mut gap, first) = (false, u32::from(!executed(0)));
        for line in first..=last {
            let known = file.lines.get(line.wrapping_sub(1) as usize);
            if !(executed(line) || known.is_some() && (shown == Shown::Everything || near(line))) {
                gap = true;
                continue;
            }
            if std::mem::take(&mut gap) && line > first {
                out += "…\n";
            }
            let sums = file.counted.get(&line);
            let cell = |(name, _, value): &super::Column| {
                let text = sums.map_or(String::new(), |sums| value(sums, &total));
                format!("{text:>0$}", width(name))
            };
            let cells = columns.iter().map(cell).collect::<Vec<_>>().join(" ");
            let code = known.copied().unwrap_or(if line == 0 { "(no line)" } else { "" });
            out += format!("{cells} {line:>6}  {code}").trim_end();
            out.push('\n');
        }
    }
    out
}

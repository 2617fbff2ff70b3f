//! Samples of the running program, by phase, file and line.

use std::collections::HashMap;

use pprof::{Report, Symbol};

/// Functions and lines that are named.
const NAMED: usize = 15;

/// Samples by where they were taken.
#[derive(Debug, Default)]
pub struct Samples {
    /// All that were of launches.
    pub all: isize,
    phases: HashMap<&'static str, isize>,
    files: HashMap<String, isize>,
    lines: HashMap<String, isize>,
}

impl Samples {
    /// Takes a report apart.
    pub fn of(report: &Report) -> Samples {
        let mut samples = Samples::default();
        for (frames, &count) in &report.data {
            let stack: Vec<Place> = frames.frames.iter().flatten().map(Place::of).collect();
            let within = |function: &str| stack.iter().any(|place| place.is_here(function));
            // The calling thread also resets operands.
            if within("run") && !within("stretch") {
                continue;
            }
            let (file, line) = whose(&stack);
            samples.all += count;
            *samples.phases.entry(phase(&stack)).or_default() += count;
            *samples.files.entry(file).or_default() += count;
            *samples.lines.entry(line).or_default() += count;
        }
        samples
    }

    /// Shares of all, largest first: by phase, file and line.
    pub fn text(&self) -> String {
        let mut text = format!("{} samples by phase:\n", self.all);
        let files = self.files.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        let lines = self.lines.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        let phases = self.phases.iter().map(|(name, n)| (*name, *n)).collect();
        for (heading, rows) in [("", phases), ("\nby file:\n", files), ("\nby line:\n", lines)] {
            let mut rows: Vec<(&str, isize)> = rows;
            rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            text += heading;
            for (name, count) in rows.into_iter().take(NAMED) {
                text += &format!("  {:>5.1} %  {name}\n", 100.0 * count as f64 / self.all as f64);
            }
        }
        text
    }
}

/// What a kernel was at, by the innermost function on the stack that tells: names that our kernels have in common.
fn phase(stack: &[Place]) -> &'static str {
    let of = |place: &Place| {
        let (file, _) = place.own.as_ref()?;
        let within = |folder: &str| file.starts_with(folder);
        let file_name = file.rsplit('/').next().unwrap_or_default();
        match place.short().as_str() {
            name if name.starts_with("pack") => Some("packing"),
            _ if within("kernels/") && file_name.starts_with("pack") => Some("packing"),
            "edge" => Some("edges"),
            "softmax" | "exp2" if within("kernels/attention") => Some("softmax"),
            "finish" | "combine" if within("kernels/attention") => Some("combining and writing"),
            "round" if within("kernels/matmul") => Some("rounding of results"),
            _ => None,
        }
    };
    let innermost = stack.iter().find_map(|place| place.own.as_ref());
    if innermost.is_some_and(|(file, _)| file == "device/pool.rs") {
        return "threads: handing out and waiting";
    }
    stack.iter().find_map(of).unwrap_or("kernel")
}

/// A function on the stack, inlined or not.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    /// Its name; that of an inlined one without its modules.
    function: String,
    /// Its file below `src`, if it is one of ours, and the line there.
    own: Option<(String, u32)>,
}

impl Place {
    fn of(symbol: &Symbol) -> Place {
        const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        let file = symbol.filename.as_ref().and_then(|path| path.to_str());
        let file = file.and_then(|path| path.strip_prefix(SOURCES));
        Place {
            function: symbol.name(),
            own: file.map(|file| (file.to_owned(), symbol.lineno.unwrap_or(0))),
        }
    }

    /// Its name without modules and generics; of a closure that of the function which it is in.
    fn short(&self) -> String {
        let (mut plain, mut depth, mut before) = (String::new(), 0usize, ' ');
        for c in self.function.chars() {
            match c {
                '<' => depth += 1,
                // Not the arrow of a function's type.
                '>' if before != '-' => depth = depth.saturating_sub(1),
                c if depth == 0 => plain.push(c),
                _ => {}
            }
            before = c;
        }
        let mut parts = plain.rsplit("::").filter(|part| !part.is_empty());
        parts.find(|part| !part.starts_with('{')).unwrap_or_default().to_owned()
    }

    /// Whether it is a function of the file that launches.
    fn is_here(&self, function: &str) -> bool {
        self.own.as_ref().is_some_and(|(file, _)| file == "cmd/profile/cpu.rs")
            && self.short() == function
    }
}

/// The innermost file of ours that a sample was in, whatever it called, and the line with its function; what is in none is told by
/// its own name.
fn whose(stack: &[Place]) -> (String, String) {
    let own = stack.iter().find_map(|place| Some((place, place.own.as_ref()?)));
    match own {
        Some((place, (file, line))) => (file.clone(), format!("{file}:{line} {}", place.short())),
        None => {
            let name = stack.first().map_or("unknown", |place| place.function.as_str());
            ("elsewhere".to_owned(), name.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_the_innermost_file_of_ours() {
        let place = |function: &str, own: Option<(&str, u32)>| Place {
            function: function.into(),
            own: own.map(|(file, line)| (file.to_owned(), line)),
        };
        let stack = [
            place("eq", None),
            place("step", Some(("kernels/matmul/simd/tile.rs", 40))),
            place(
                "scalemark::kernels::matmul::simd::drive::run",
                Some(("kernels/matmul/simd/drive.rs", 9)),
            ),
            place("scalemark::cmd::profile::cpu::stretch", Some(("cmd/profile/cpu.rs", 99))),
        ];
        let (file, line) = whose(&stack);
        assert_eq!(file, "kernels/matmul/simd/tile.rs");
        assert_eq!(line, "kernels/matmul/simd/tile.rs:40 step");
        assert_eq!(whose(&stack[..1]), ("elsewhere".into(), "eq".into()));
        assert!(stack[3].is_here("stretch") && !stack[2].is_here("run"));
    }

    #[test]
    fn a_phase_is_told_by_the_innermost_function_that_has_a_name_for_one() {
        let place = |function: &str, file: &str| Place {
            function: function.into(),
            own: Some((file.to_owned(), 1)),
        };
        let drive = place(
            "scalemark::kernels::matmul::simd::drive::rectangle",
            "kernels/matmul/simd/drive.rs",
        );
        let tile = place("run", "kernels/matmul/simd/tile.rs");
        let edge = place(
            "scalemark::kernels::matmul::simd::drive::edge::<E>",
            "kernels/matmul/simd/drive.rs",
        );
        let lanes = place("{{closure}}", "kernels/matmul/simd/pack512.rs");
        let wait = place("scalemark::device::pool::Pool::run::{{closure}}", "device/pool.rs");
        assert_eq!(phase(&[tile.clone(), edge, drive.clone()]), "edges");
        assert_eq!(phase(&[tile, drive.clone(), wait.clone()]), "kernel");
        assert_eq!(phase(std::slice::from_ref(&wait)), "threads: handing out and waiting");
        assert_eq!(phase(&[lanes, drive.clone()]), "packing");
        assert_eq!(phase(&[drive]), "kernel");
        assert_eq!(wait.short(), "run");
        for (name, short) in [
            ("tile<scalemark::F32x16, 12, 2, true>", "tile"),
            ("<scalemark::A as scalemark::Engine>::tile::run::<12, 2>", "run"),
            ("drive::edge::<E, fn(u8) -> X<Y>>::{closure#0}", "edge"),
        ] {
            assert_eq!(place(name, "").short(), short);
        }
    }
}

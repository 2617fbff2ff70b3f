//! Memory of a kernel: by buffer, and over time.

use crate::device::memory::AllocatorReading;
use crate::ops::{Case, TensorSpec};
use crate::units::Bytes;

/// Live bytes of this process at the end of a stage, and the most within it.
#[derive(Debug, Clone)]
struct Stage {
    name: String,
    live: i64,
    peak: i64,
    allocations: u64,
}

/// What was live, stage by stage, above what was before the first.
#[derive(Debug)]
pub struct Stages {
    before: i64,
    calls: u64,
    done: Vec<Stage>,
}

impl Stages {
    /// The first stage begins.
    pub fn start() -> Stages {
        AllocatorReading::reset_peak();
        let now = AllocatorReading::now();
        Stages { before: now.live.0 as i64, calls: now.calls, done: Vec::new() }
    }

    /// A stage has ended, and the next begins.
    pub fn end(&mut self, name: impl Into<String>) {
        let now = AllocatorReading::now();
        self.done.push(Stage {
            name: name.into(),
            live: now.live.0 as i64 - self.before,
            peak: now.peak.0 as i64 - self.before,
            allocations: now.calls - self.calls,
        });
        AllocatorReading::reset_peak();
        self.calls = AllocatorReading::now().calls;
    }

    /// What was allocated since the last stage ended is somebody else's.
    pub fn forget(&mut self) {
        let now = AllocatorReading::now();
        let left = self.done.last().map_or(0, |stage| stage.live);
        self.before = now.live.0 as i64 - left;
        AllocatorReading::reset_peak();
        self.calls = now.calls;
    }

    /// A line a stage, with a bar of what was live at most.
    pub fn text(&self) -> String {
        const WIDTH: f64 = 24.0;
        let most = self.done.iter().map(|stage| stage.peak).max().unwrap_or(0).max(1);
        let bytes = |n: i64| Bytes(n.max(0) as u64).to_string();
        let mut text =
            format!("  {:<28} {:>9} {:>9} {:>12}\n", "over time", "live", "at most", "allocations");
        for stage in &self.done {
            let bar = "█".repeat((WIDTH * stage.peak.max(0) as f64 / most as f64).round() as usize);
            let line = format!(
                "  {:<28} {:>9} {:>9} {:>12}  {bar}",
                stage.name,
                bytes(stage.live),
                bytes(stage.peak),
                stage.allocations
            );
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// A line a buffer of one launch, largest first; `workspace` is what a kernel has besides operands and results, by name.
pub fn buffers(case: &Case, workspace: &[(&str, u64)]) -> String {
    let name = |spec: &TensorSpec| {
        let role = serde_json::to_value(spec.role).ok();
        role.and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let described = |spec: &TensorSpec, what: &str| {
        let shape: Vec<String> = spec.shape.iter().map(usize::to_string).collect();
        let kind = if spec.in_out { "updated" } else { what };
        (name(spec), spec.bytes().0, format!("{} [{}], {kind}", spec.dtype, shape.join(", ")))
    };
    let mut rows: Vec<(String, u64, String)> = Vec::new();
    rows.extend(case.operands().iter().map(|spec| described(spec, "read")));
    rows.extend(case.results().iter().map(|spec| described(spec, "written")));
    rows.extend(
        workspace.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes, "workspace".to_owned())),
    );
    rows.retain(|(_, bytes, _)| *bytes > 0);
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let all = Bytes(rows.iter().map(|row| row.1).sum());
    let mut text = format!("memory: {all} in {} buffers\n", rows.len());
    for (name, bytes, what) in rows {
        text += &format!("  {name:<28} {:>9}  {what}\n", Bytes(bytes).to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{DType, Matmul, Precision, Problem, Rule, Update};

    #[test]
    fn buffers_are_named_with_their_bytes_and_add_up() {
        let case = Case::new(Problem::Matmul(Matmul::new(64, 64, 64)), Precision::F32);
        let text = buffers(&case, &[("packed", 100_000), ("nothing", 0)]);
        assert!(text.starts_with("memory: 146 KiB in 4 buffers\n  packed"), "{text}");
        assert!(
            text.contains("a                             16.0 KiB  f32 [1, 64, 64], read"),
            "{text}"
        );
        assert!(
            text.contains("c                             16.0 KiB  f32 [1, 64, 64], written"),
            "{text}"
        );
        let update = Update { rule: Rule::Sgd, params: 10 };
        let text = buffers(
            &Case::new(Problem::Update(update), Precision::F32.with_state(DType::F32)),
            &[],
        );
        assert!(text.contains("params") && text.contains(", updated"), "{text}");
    }

    #[test]
    fn stages_tell_what_they_left_and_what_they_had_at_most() {
        let mut stages = Stages::start();
        stages.end("nothing");
        stages.done.push(Stage {
            name: "a block".into(),
            live: 1 << 20,
            peak: 2 << 20,
            allocations: 3,
        });
        stages.forget();
        let text = stages.text();
        let line = text.lines().find(|line| line.contains("a block")).unwrap();
        let bar = "█".repeat(24);
        assert!(line.ends_with(&format!("1.00 MiB  2.00 MiB            3  {bar}")), "{text}");
        assert_eq!(stages.before, AllocatorReading::now().live.0 as i64 - (1 << 20));
    }
}

//! What activities come to: each kernel's time and sizes, transfers with their rates, what lies between, and what a launch costs.

use std::fmt::Write;

use crate::device::cuda::cupti::{Activities, Call, KernelRun, Span};
use crate::stats::order;
use crate::units::{ByteRate, Bytes, Nanos};

/// Least, median and most of some times.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// `None` of no times.
    fn of(times: &[f64]) -> Option<Spread> {
        let mut sorted = times.to_vec();
        let median = order::median(&mut sorted)?;
        let fold = |start, with: fn(f64, f64) -> f64| times.iter().copied().fold(start, with);
        let (least, most) = (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max));
        Some(Spread { least, median, most })
    }

    fn cells(&self) -> String {
        let cell = |ns| Nanos(ns).to_string();
        format!("{:>9} {:>9} {:>9}", cell(self.least), cell(self.median), cell(self.most))
    }
}

fn len(span: &Span) -> f64 {
    span.len_ns() as f64
}

/// The median time that the kernels of a launch take together, of so many launches; `None` where records are missing.
pub fn launch_ns(activities: &Activities, launches: usize) -> Option<f64> {
    let kernels = &activities.kernels;
    let each = kernels.len() / launches.max(1);
    if activities.lost > 0 || each == 0 || each * launches != kernels.len() {
        return None;
    }
    let sums = kernels.chunks(each).map(|launch| launch.iter().map(|k| len(&k.span)).sum());
    order::median(&mut sums.collect::<Vec<f64>>())
}

/// The tables: of launches in a row, and of launches that each found the GPU idle.
pub fn text(row: &Activities, single: &Activities) -> String {
    let mut text = kernels(&row.kernels);
    text += &transfers(row);
    text += &gaps(row);
    text += &launching(single);
    let lost = row.lost + single.lost;
    if lost > 0 {
        let _ =
            writeln!(text, "\n{lost} records are missing: fewer launches have room (--launches)");
    }
    text
}

/// Times by what they are of, in the order of the first of each.
fn groups<K: PartialEq>(all: impl Iterator<Item = (K, f64)>) -> Vec<(K, Vec<f64>)> {
    let mut groups: Vec<(K, Vec<f64>)> = Vec::new();
    for (key, time) in all {
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, times)) => times.push(time),
            None => groups.push((key, vec![time])),
        }
    }
    groups
}

/// A line of a table: how many times, and their spread, with `more` behind it; `none` where there are no times.
fn line(what: &str, times: &[f64], more: &str, none: &str) -> String {
    match Spread::of(times) {
        Some(spread) => format!("  {what:<30} {:>6} {}{more}\n", times.len(), spread.cells()),
        None => format!("  {what:<30}   {none}\n"),
    }
}

/// A kernel and the size that it was launched in.
struct Launched<'a>(&'a KernelRun);

impl PartialEq for Launched<'_> {
    fn eq(&self, other: &Self) -> bool {
        let key = |run: &KernelRun| (run.grid, run.block, run.shared_dynamic);
        self.0.name == other.0.name && key(self.0) == key(other.0)
    }
}

/// A line for each kernel and size.
fn kernels(runs: &[KernelRun]) -> String {
    let groups = groups(runs.iter().map(|run| (Launched(run), len(&run.span))));
    let mut text = format!(
        "{:<32} {:>6} {:>9} {:>9} {:>9}  what a launch is\n",
        "kernels", "runs", "least", "median", "most"
    );
    if groups.is_empty() {
        text += "  none\n";
    }
    for (Launched(first), times) in groups {
        let by = |sizes: [u32; 3]| sizes.map(|size| size.to_string()).join("×");
        let mut what = format!("{} blocks of {} threads", by(first.grid), by(first.block));
        if first.registers > 0 {
            let _ = write!(what, ", {} registers", first.registers);
        }
        let shared = u64::from(first.shared_static) + u64::from(first.shared_dynamic);
        if shared > 0 {
            let dynamic = first.shared_dynamic;
            let _ = write!(what, ", {} shared ({dynamic} B dynamic)", Bytes(shared));
        }
        if first.local > 0 {
            let _ = write!(what, ", {} B local a thread", first.local);
        }
        text += &line(&first.name, &times, &format!("  {what}"), "");
    }
    text
}

/// A line for each kind and length of transfer.
fn transfers(activities: &Activities) -> String {
    let groups = groups(activities.transfers.iter().map(|t| ((t.what, t.bytes), len(&t.span))));
    let mut text = "\ncopies and fills\n".to_owned();
    if groups.is_empty() {
        text += "  none in these launches\n";
    }
    for ((what, bytes), times) in groups {
        let median = Spread::of(&times).map_or(0.0, |spread| spread.median);
        let rate: ByteRate = Bytes(bytes) / Nanos(median);
        let rate = if median > 0.0 { format!(", {rate}") } else { String::new() };
        text += &line(&format!("{what}, {}", Bytes(bytes)), &times, &rate, "");
    }
    text
}

/// Everything on the GPU, in order, with the call that it came of.
fn on_gpu(activities: &Activities) -> Vec<(Span, Option<&Call>)> {
    let kernels = activities.kernels.iter().map(|kernel| (kernel.span, kernel.correlation));
    let transfers = activities.transfers.iter().map(|t| (t.span, t.correlation));
    let mut all: Vec<(Span, u32)> = kernels.chain(transfers).collect();
    all.sort_by_key(|(span, _)| span.start_ns);
    let calls = activities.by_correlation();
    all.into_iter().map(|(span, of)| (span, calls.get(&of).copied())).collect()
}

/// Between the end of one and the start of the next on the GPU: the GPU's own, where the next had been enqueued by then, and
/// otherwise the host's pace.
fn gaps(activities: &Activities) -> String {
    let all = on_gpu(activities);
    let (mut own, mut host) = (Vec::new(), Vec::new());
    for pair in all.windows(2) {
        let [(before, _), (after, call)] = pair else { continue };
        let gap = after.start_ns.saturating_sub(before.end_ns) as f64;
        match call {
            Some(call) if call.span.end_ns > before.end_ns => host.push(gap),
            _ => own.push(gap),
        }
    }
    let mut text = "\nfrom the end of one to the start of the next\n".to_owned();
    for (what, times) in [("enqueued by then", own), ("waited for the host", host)] {
        text += &line(what, &times, "", "none");
    }
    text
}

/// What a launch costs the host, and how long it takes to start on a GPU that is idle.
fn launching(activities: &Activities) -> String {
    let mut text = "\nlaunches on an idle GPU\n".to_owned();
    let all = on_gpu(activities);
    let calls = all.iter().filter_map(|(_, call)| *call);
    for (what, times) in groups(calls.map(|call| (&call.name, len(&call.span)))) {
        text += &line(what, &times, "", "");
    }
    let (mut to_start, mut idle_since) = (Vec::new(), 0);
    for (span, call) in &all {
        // Only what found nothing before it: the rest waits for its turn.
        if let Some(call) = call.filter(|call| call.span.start_ns >= idle_since) {
            to_start.push(span.start_ns.saturating_sub(call.span.start_ns) as f64);
        }
        idle_since = span.end_ns;
    }
    text + &line("from the call to the start", &to_start, "", "not known")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::cupti::Transfer;

    fn span(start_ns: u64, end_ns: u64) -> Span {
        Span { start_ns, end_ns }
    }

    fn kernel(name: &str, start: u64, end: u64, correlation: u32) -> KernelRun {
        KernelRun {
            name: name.into(),
            span: span(start, end),
            correlation,
            grid: [8, 2, 1],
            block: [128, 1, 1],
            registers: 96,
            shared_static: 1024,
            shared_dynamic: 2048,
            local: 8,
        }
    }

    fn call(start: u64, end: u64, correlation: u32) -> Call {
        Call { name: "cuLaunchKernelEx".into(), span: span(start, end), correlation }
    }

    /// Two launches of two kernels with a fill before them.
    fn sample() -> Activities {
        Activities {
            kernels: vec![
                kernel("first", 2_000, 4_000, 2),
                kernel("second", 4_500, 5_500, 3),
                kernel("first", 9_000, 12_000, 4),
                kernel("second", 12_600, 13_000, 5),
            ],
            transfers: vec![Transfer {
                what: "fill",
                span: span(1_000, 1_500),
                correlation: 1,
                bytes: 5_000,
            }],
            calls: vec![
                call(100, 200, 1),
                call(200, 300, 2),
                call(300, 400, 3),
                call(6_000, 6_100, 4),
                call(6_100, 6_200, 5),
            ],
            lost: 0,
        }
    }

    fn has(text: &str, words: &[&str]) {
        let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
        assert!(line.is_some(), "{words:?}: {text}");
    }

    #[test]
    fn kernels_transfers_and_gaps_are_summed_up_by_what_they_are() {
        let text = text(&sample(), &Activities::default());
        has(
            &text,
            &[
                "first",
                " 2 ",
                "2.00 µs   2.50 µs   3.00 µs",
                "8×2×1 blocks of 128×1×1 threads, 96 registers",
                "3.00 KiB shared (2048 B dynamic), 8 B local a thread",
            ],
        );
        has(&text, &["second", "400 ns    700 ns   1.00 µs"]);
        has(&text, &["fill, 4.88 KiB", "500 ns    500 ns    500 ns, 10.0 GB/s"]);
        // 500 behind the fill, 500 and 600 between kernels; 3500 for the host, whose call came 500 after the end.
        has(&text, &["enqueued by then", " 3 ", "500 ns    500 ns    600 ns"]);
        has(&text, &["waited for the host", " 1 ", "3.50 µs"]);
        has(&text, &["from the call to the start", "not known"]);
        assert!(!text.contains("missing"), "{text}");
    }

    #[test]
    fn only_what_found_the_gpu_idle_tells_how_long_a_launch_takes_to_start() {
        let text = launching(&sample());
        has(&text, &["cuLaunchKernelEx", " 5 ", "100 ns    100 ns    100 ns"]);
        // The fill, and the first kernel of the second launch.
        has(&text, &["from the call to the start", " 2 ", "900 ns   1.95 µs   3.00 µs"]);
    }

    #[test]
    fn the_time_of_a_launch_is_that_of_its_kernels_where_none_is_missing() {
        let all = sample();
        assert_eq!(launch_ns(&all, 2), Some(3_200.0));
        assert_eq!(launch_ns(&all, 3), None);
        assert_eq!(launch_ns(&Activities::default(), 2), None);
        assert_eq!(launch_ns(&Activities { lost: 1, ..all }, 2), None);
        let text = text(&Activities::default(), &Activities { lost: 7, ..Activities::default() });
        has(&text, &["7 records are missing"]);
    }
}

//! `scalemark machine`: the fingerprint, and what on this machine disturbs measurements.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::gpus::Gpu;
use crate::device::machine::{
    CacheLevel, Condition, DetectOptions, Hardware, Machine, Readings, Root, Severity, Software,
    conditions,
};
use crate::device::placement::{self, Placement, Reading};
use crate::device::pool::affinity;

/// Show this machine's fingerprint and what will make its numbers noisy
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  scalemark machine                    what this machine is, what disturbs it, what to do
  scalemark machine --peaks            also what it reaches: multiply-adds and memory
  scalemark machine --json | jq .conditions

Host, user and folder names are left out; --identify keeps them.")]
pub struct Args {
    /// Print one JSON object: machine (as in machine.json), hardware_class, readings, placement, gpus, conditions, peaks
    #[arg(long)]
    pub json: bool,
    /// Also measure what the machine reaches
    #[arg(long)]
    pub peaks: bool,
    /// Keep the names of host, user and folder
    #[arg(long)]
    pub identify: bool,
}

/// How long steal and frequencies are watched.
const WINDOW: Duration = Duration::from_millis(300);
/// The width that findings and advice are wrapped to.
const WIDTH: usize = 80;

/// What the command shows.
struct Page<'a> {
    machine: &'a Machine,
    readings: &'a Readings,
    placement: Reading,
    conditions: &'a [Condition],
    gpus: Vec<Gpu>,
    peaks: &'a [(String, String)],
}

/// Looks at the machine and prints what it finds. `peaks` holds what was measured, by name, in the order to show it;
/// empty when nothing was asked for.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args, peaks: &[(String, String)]) -> anyhow::Result<ExitCode> {
    let options = DetectOptions { identify: args.identify, ..DetectOptions::default() };
    // The readings come first: what the probe does would count as load.
    let readings = Readings::take(&Root::default(), WINDOW);
    let machine = Machine::detect(&options);
    let page = Page {
        machine: &machine,
        placement: placement::probe(&affinity::allowed()),
        conditions: &conditions(&machine, &readings),
        readings: &readings,
        gpus: super::gpus::listed(),
        peaks,
    };
    let text = if args.json { page.json() } else { page.text() };
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    match written {
        // A reader like `head` that has seen enough is no error.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        other => other.context("failed to write to standard output").map(|()| ExitCode::SUCCESS),
    }
}

impl Page<'_> {
    fn json(&self) -> String {
        let peaks: serde_json::Map<String, serde_json::Value> =
            self.peaks.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let page = json!({
            "machine": self.machine,
            "id": self.machine.hardware.id(),
            "hardware_class": self.machine.hardware.hardware_class_hash(),
            "readings": self.readings,
            "placement": self.placement,
            "gpus": self.gpus,
            "conditions": self.conditions,
            "peaks": peaks,
        });
        format!("{page:#}\n")
    }

    fn text(&self) -> String {
        let mut groups = vec![
            ("Hardware", hardware_rows(&self.machine.hardware)),
            ("Software", software_rows(&self.machine.software)),
        ];
        if let Some(identity) = &self.machine.identity {
            let rows =
                [("host", &identity.host), ("user", &identity.user), ("folder", &identity.folder)];
            groups.push(("Identity", known(rows.map(|(name, value)| (name, value.clone())))));
        }
        groups.push(("GPUs", super::gpus::rows(&self.gpus)));
        groups.push(("Now", now_rows(self.readings, &self.placement)));
        if !self.peaks.is_empty() {
            groups.push(("Measured peaks", self.peaks.to_vec()));
        }
        let widest = groups.iter().flat_map(|(_, rows)| rows).map(|(name, _)| width(name)).max();
        let indent = widest.unwrap_or(0) + 4;
        let mut out = String::new();
        for (title, rows) in groups.iter().filter(|(_, rows)| !rows.is_empty()) {
            let _ = writeln!(out, "{title}");
            for (name, value) in rows {
                let pad = " ".repeat(indent - 2 - width(name));
                let _ = writeln!(out, "  {name}{pad}{}", wrapped(value, indent));
            }
            out.push('\n');
        }
        out + &conditions_text(self.conditions)
    }
}

/// The conditions with their advice, and a summary in one line.
fn conditions_text(conditions: &[Condition]) -> String {
    let count = |severity| conditions.iter().filter(|c| c.severity == severity).count();
    let verdict = match (count(Severity::Unfit), count(Severity::Noisy)) {
        (0, 0) => "Nothing here disturbs measurements",
        (0, _) => "Fit to measure, but noisy: intervals will be wider",
        _ => "Not fit for numbers to keep: mend what is marked unfit first",
    };
    let mut out = format!("{verdict}\n");
    for condition in conditions {
        let head = format!("  {:<6} ", condition.severity.name());
        let finding = format!("{}: {}", condition.name, condition.finding);
        let _ = writeln!(out, "{head}{}", wrapped(&finding, width(&head)));
        let _ = writeln!(out, "         → {}", wrapped(&condition.advice, 11));
    }
    out
}

/// Rows with a value; the others do not apply or were not told.
fn known<const N: usize>(rows: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    rows.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn hardware_rows(hardware: &Hardware) -> Vec<(String, String)> {
    let cpu = match (&hardware.model_name, &hardware.microarchitecture) {
        (Some(name), Some(design)) => Some(format!("{name} ({design})")),
        (name, design) => name.clone().or_else(|| design.clone()),
    };
    let model = hardware.family.zip(hardware.model).map(|(family, model)| {
        let stepping = hardware.stepping.map_or(String::new(), |s| format!(" stepping {s}"));
        let microcode =
            hardware.microcode.as_ref().map_or(String::new(), |m| format!(", microcode {m}"));
        format!("family {family} model {model}{stepping}{microcode}")
    });
    let cores = hardware.physical_cores.or(hardware.logical_cpus).map(|cores| {
        let mut text = plural(cores, "core");
        if let Some(threads) = hardware.threads_per_core {
            let _ = write!(text, " × {}", plural(threads, "thread"));
        }
        match hardware.sockets {
            Some(sockets) if sockets > 1 => text + &format!(" in {sockets} sockets"),
            _ => text,
        }
    });
    let frequency = match (hardware.base_mhz, hardware.max_mhz) {
        (Some(base), Some(max)) => Some(format!("{base} MHz base, {max} MHz at most")),
        (Some(base), None) => Some(format!("{base} MHz base")),
        (None, max) => max.map(|max| format!("{max} MHz at most")),
    };
    let joined = |words: Vec<String>, by| Some(words.join(by)).filter(|text| !text.is_empty());
    let memory = hardware.memory.map(|memory| match hardware.numa_nodes {
        Some(nodes) if nodes > 1 => format!("{memory} on {nodes} nodes"),
        _ => memory.to_string(),
    });
    known([
        ("name", Some(hardware.id())),
        ("CPU", cpu),
        ("model", model),
        ("cores", cores),
        ("frequency", frequency),
        ("caches", joined(hardware.caches.iter().map(cache_text).collect(), ", ")),
        ("vector units", joined(hardware.instruction_sets.clone(), " ")),
        ("memory", memory),
        ("product", hardware.product.clone()),
        ("hypervisor", hardware.hypervisor.clone()),
        ("class", Some(hardware.hardware_class_hash())),
    ])
}

/// `L2 2 × 1.00 MiB`, `L3 32.0 MiB (shared by 2 CPUs)`.
fn cache_text(cache: &CacheLevel) -> String {
    let times = match cache.instances {
        1 => String::new(),
        n => format!("{n} × "),
    };
    let shared = match cache.shared_by {
        1 => String::new(),
        n => format!(" (shared by {n} CPUs)"),
    };
    format!("{} {times}{}{shared}", cache.name, cache.size).replace(' ', "\u{a0}")
}

fn software_rows(software: &Software) -> Vec<(String, String)> {
    let governor = software.governor.clone().map(|governor| {
        let driver = software.scaling_driver.as_ref().map_or(String::new(), |d| format!(", {d}"));
        let wish =
            software.energy_preference.as_ref().map_or(String::new(), |p| format!(", prefers {p}"));
        format!("{governor}{driver}{wish}")
    });
    let aslr = software.aslr.map(|level| if level == 0 { "off" } else { "on" }.to_owned());
    let commit = software.git_commit.as_ref().map(|commit| match software.git_dirty {
        Some(true) => format!(" at {commit} with changes"),
        _ => format!(" at {commit}"),
    });
    let scalemark = software
        .scalemark
        .as_ref()
        .map(|version| version.clone() + commit.as_deref().unwrap_or_default());
    let mut rows = known([
        ("system", software.os.clone()),
        ("kernel", software.kernel.clone()),
        ("container", software.container.clone()),
        ("C library", software.libc.clone()),
        ("governor", governor),
        ("turbo", software.boost.map(|on| if on { "on" } else { "off" }.to_owned())),
        ("huge pages", software.hugepages.clone()),
        ("random layout", aslr),
        ("scalemark", scalemark),
        ("compiler", software.rustc.clone()),
        ("target", software.target.clone()),
    ]);
    rows.extend(software.libraries.clone());
    rows
}

fn now_rows(readings: &Readings, placement: &Reading) -> Vec<(String, String)> {
    let load = readings.load.map(|load| match readings.runnable {
        Some(n) if n > 0 => format!("{load:.2}, {} running beside", plural(n as usize, "task")),
        _ => format!("{load:.2}"),
    });
    let where_threads_are = match placement.placement {
        Placement::OneThread => "one CPU".to_owned(),
        Placement::SameChiplet => "on two cores of one chiplet".to_owned(),
        Placement::TwoChiplets => "on two chiplets".to_owned(),
        Placement::SharedCore => "on one core".to_owned(),
        Placement::Unknown => "could not be told, try again on a quieter machine".to_owned(),
    };
    let placed = match (placement.round_trip_ns, placement.scaling) {
        (Some(trip), Some(scaling)) => {
            format!(
                "{where_threads_are}: round trip {trip:.0} ns, together {scaling:.2}× as fast as one"
            )
        }
        _ => where_threads_are,
    };
    known([
        ("free memory", readings.available.map(|bytes| bytes.to_string())),
        ("load", load),
        ("two threads", Some(placed)),
    ])
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Columns that a text takes; none of ours has wide or combining characters.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// Breaks a text between words, so that no line is wider than [`WIDTH`]; lines after the first start at `indent`. Where a
/// no-break space stands it is not broken, and a plain space comes out.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if column > indent && column + 1 + width(word) > WIDTH {
            let _ = write!(out, "\n{}", " ".repeat(indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(&word.replace('\u{a0}', " "));
        column += width(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(peaks: &[(String, String)], identify: bool) -> (String, String) {
        let machine = Machine::detect(&DetectOptions { identify, ..DetectOptions::default() });
        let readings = Readings { load: Some(0.5), runnable: Some(1), ..Readings::default() };
        let conditions = conditions(&machine, &readings);
        let placement = Reading {
            round_trip_ns: Some(50.0),
            scaling: Some(1.98),
            placement: Placement::SameChiplet,
        };
        let page = Page {
            gpus: Vec::new(),
            machine: &machine,
            readings: &readings,
            placement,
            conditions: &conditions,
            peaks,
        };
        (page.text(), page.json())
    }

    #[test]
    fn the_page_is_aligned_and_fits_a_terminal_of_80_columns() {
        let peaks = [("copy, 1 thread".to_owned(), "44.0 GB/s".to_owned())];
        let (text, _) = page_of(&peaks, false);
        assert!(text.contains("\nMeasured peaks\n  copy, 1 thread  44.0 GB/s\n"), "{text}");
        let column = |name: &str| {
            let line = text.lines().find(|l| l.trim_start().starts_with(name)).unwrap();
            line.len() - line[2..].split_once("  ").unwrap().1.trim_start().len()
        };
        assert_eq!(column("memory "), column("compiler "), "{text}");
        for line in text.lines() {
            assert!(width(line) <= WIDTH, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn peaks_and_identity_are_shown_only_when_asked_for() {
        let (text, json) = page_of(&[], false);
        assert!(!text.contains("Measured peaks") && !text.contains("Identity"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["peaks"], json!({}));
        assert_eq!(json["placement"]["placement"], "same-chiplet");
        assert_eq!(json["machine"]["schema"], 1);
        assert!(page_of(&[], true).0.contains("Identity\n"));
    }

    #[test]
    fn the_verdict_follows_the_gravest_condition() {
        let condition = |severity| Condition {
            name: "x",
            severity,
            finding: "is so".into(),
            advice: "change it".into(),
        };
        assert!(conditions_text(&[]).starts_with("Nothing here"));
        assert!(conditions_text(&[condition(Severity::Info)]).starts_with("Nothing here"));
        assert!(conditions_text(&[condition(Severity::Noisy)]).starts_with("Fit to measure, but"));
        let unfit = [condition(Severity::Unfit), condition(Severity::Noisy)];
        let text = conditions_text(&unfit);
        assert!(text.starts_with("Not fit") && text.contains("→ change it"));
    }

    #[test]
    fn long_texts_break_between_words_under_their_beginning() {
        let text = wrapped(&"word ".repeat(40), 10);
        assert!(text.lines().count() > 1);
        assert!(text.lines().skip(1).all(|l| l.starts_with("          word")));
        assert_eq!(wrapped("", 5), "");
        let kept = wrapped(&"1\u{a0}MiB ".repeat(30), 3);
        assert!(kept.lines().all(|line| line.trim_start().starts_with("1 MiB")));
    }
}

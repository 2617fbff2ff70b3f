//! CUDA sources with what each of their lines came to on the simulator.
//!
//! A line stands for all instructions that the compiler made of it, wherever they were inlined. What has no line of a known text
//! is counted by file and line number alone, so that the lines add up to the launch.

mod page;
mod text;

use std::collections::BTreeMap;
use std::ops::AddAssign;

use ptxsim::{Counted, Counters};

pub use page::page;
pub use text::{Shown, text};

/// A text that lines are of: its name, as the compiler was told it, and what it says.
pub type Source<'a> = (&'a str, &'a str);

/// What of the counters is shown of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Instructions issued, by groups of lanes.
    pub issued: u64,
    /// Lanes that executed them.
    pub lanes: u64,
    /// Times that lanes came apart.
    pub apart: u64,
    /// Sectors of global memory that lanes asked for, by loads, stores, atomics and `cp.async`.
    pub sectors: u64,
    /// As many as the same bytes would fill.
    pub ideal: u64,
    /// Passes of shared memory.
    pub wavefronts: u64,
    /// Of these, for conflicts of banks.
    pub conflicts: u64,
    /// Bytes that bulk copies, by tensor map or without one, move from or to global memory.
    pub bulk: u64,
    /// Operations of tensor cores.
    pub tensor: u64,
}

impl Sums {
    fn of(counters: &Counters) -> Sums {
        let all = |names: &[&str]| names.iter().map(|name| counters.get(name)).sum();
        Sums {
            issued: counters.warp_instructions,
            lanes: counters.thread_instructions,
            apart: counters.get("divergences"),
            sectors: all(&[
                "global_load_sectors",
                "global_store_sectors",
                "global_atomic_sectors",
                "cp_async_sectors",
            ]),
            ideal: all(&[
                "global_load_ideal_sectors",
                "global_store_ideal_sectors",
                "global_atomic_ideal_sectors",
                "cp_async_ideal_sectors",
            ]),
            wavefronts: all(&[
                "shared_load_wavefronts",
                "shared_store_wavefronts",
                "shared_atomic_wavefronts",
                "cp_async_wavefronts",
            ]),
            conflicts: all(&[
                "shared_load_conflicts",
                "shared_store_conflicts",
                "shared_atomic_conflicts",
                "cp_async_conflicts",
            ]),
            bulk: all(&[
                "tma_load_bytes",
                "tma_store_bytes",
                "tma_reduce_bytes",
                "bulk_load_bytes",
                "bulk_store_bytes",
                "bulk_reduce_bytes",
            ]),
            tensor: counters.get("tensor_flops"),
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.issued += other.issued;
        self.lanes += other.lanes;
        self.apart += other.apart;
        self.sectors += other.sectors;
        self.ideal += other.ideal;
        self.wavefronts += other.wavefronts;
        self.conflicts += other.conflicts;
        self.bulk += other.bulk;
        self.tensor += other.tensor;
    }
}

/// A file with the lines that were executed.
#[derive(Debug, Clone, PartialEq)]
pub struct File<'a> {
    /// Its name.
    pub name: String,
    /// Its lines; none where its text is not known.
    pub lines: Vec<&'a str>,
    /// By line number, from 1; 0 is what has no line.
    pub counted: BTreeMap<u32, Sums>,
}

impl File<'_> {
    fn issued(&self) -> u64 {
        self.counted.values().map(|sums| sums.issued).sum()
    }
}

/// Files with what their lines came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<'a> {
    /// What was executed: a kernel on a case, or an entry.
    pub title: String,
    /// Those with lines that were executed, most first.
    pub files: Vec<File<'a>>,
    /// Of all lines.
    pub total: Sums,
}

impl<'a> Listing<'a> {
    /// Of instructions and the texts that they may come from. Instructions whose text says nothing of CUDA are of `ptx`.
    pub fn new(title: &str, counted: &[Counted], sources: &[Source<'a>], ptx: Source<'a>) -> Self {
        let mut files: Vec<File> = Vec::new();
        let mut total = Sums::default();
        for one in counted {
            let (name, line) = match one.source_line {
                0 => (ptx.0, one.ptx_line),
                line => (one.file.as_str(), line),
            };
            // The compiler puts folders before names.
            let known = sources.iter().chain([&ptx]).find(|source| is_of(name, source.0));
            let name = known.map_or(name, |source| source.0);
            let at = files.iter().position(|file| file.name == name).unwrap_or_else(|| {
                let lines = known.map_or_else(Vec::new, |source| source.1.lines().collect());
                files.push(File { name: name.to_owned(), lines, counted: BTreeMap::new() });
                files.len() - 1
            });
            let sums = Sums::of(&one.counters);
            *files[at].counted.entry(line).or_default() += sums;
            total += sums;
        }
        files.sort_by_key(|file| std::cmp::Reverse(file.issued()));
        Listing { title: title.to_owned(), files, total }
    }

    /// The lines with the most of something, which is above 0: file, line and how much.
    fn most(&self, of: impl Fn(&Sums) -> u64, count: usize) -> Vec<(&File<'a>, u32, u64)> {
        let all = self
            .files
            .iter()
            .flat_map(|file| file.counted.iter().map(move |(&line, sums)| (file, line, sums)));
        let mut all: Vec<_> = all.map(|(file, line, sums)| (file, line, of(sums))).collect();
        all.retain(|one| one.2 > 0);
        all.sort_by_key(|one| std::cmp::Reverse(one.2));
        all.truncate(count);
        all
    }
}

/// Whether a compiler's path is of a file by this name.
fn is_of(path: &str, name: &str) -> bool {
    path == name || path.strip_suffix(name).is_some_and(|rest| rest.ends_with(['/', '\\']))
}

/// A column: its heading, what it says, and its value; empty where there is nothing to say.
type Column = (&'static str, &'static str, fn(&Sums, &Sums) -> String);

const COLUMNS: [Column; 9] = [
    ("issued", "instructions of warps", |sums, _| counted(sums.issued)),
    ("%", "of all that were issued", |sums, total| share(sums.issued, total.issued)),
    ("lanes", "that executed each, of 32", |sums, _| ratio(sums.lanes, sums.issued)),
    ("apart", "times that lanes came apart", |sums, _| counted(sums.apart)),
    ("sectors", "of 32 bytes of global memory", |sums, _| counted(sums.sectors)),
    ("×ideal", "sectors over those that the bytes would fill", |sums, _| {
        ratio(sums.sectors, sums.ideal)
    }),
    ("conflicts", "passes of shared memory beyond those needed", |sums, _| counted(sums.conflicts)),
    ("bulk B", "bytes of bulk and tensor copies", |sums, _| counted(sums.bulk)),
    ("tensor %", "of the operations of tensor cores", |sums, total| {
        share(sums.tensor, total.tensor)
    }),
];

/// Those that have something to say of a listing.
fn columns(listing: &Listing) -> Vec<Column> {
    let told = |column: &Column| !(column.2)(&listing.total, &listing.total).is_empty();
    COLUMNS.into_iter().filter(told).collect()
}

fn counted(n: u64) -> String {
    match n {
        0 => String::new(),
        1..1_000_000 => n.to_string(),
        _ => format!("{:.4} M", n as f64 / 1e6),
    }
}

fn share(part: u64, whole: u64) -> String {
    match part {
        0 => String::new(),
        _ => format!("{:.1}", 100.0 * part as f64 / whole as f64),
    }
}

fn ratio(a: u64, b: u64) -> String {
    if a == 0 || b == 0 { String::new() } else { format!("{:.1}", a as f64 / b as f64) }
}

#[cfg(test)]
mod tests;

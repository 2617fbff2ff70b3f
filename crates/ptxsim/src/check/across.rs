//! Global memory of clusters that run by themselves: what each read and wrote, and where that overlaps.
//!
//! A footprint knows bytes and, page by page, instructions. Where two overlap, both clusters run once more from the memory
//! that the launch began with, and tell which of their accesses touch the byte.

use std::collections::HashMap;
use std::ops::Range;

use super::Outcome;
use crate::error::{Finding, Kind};
use crate::memory::Memory;
use crate::program::Program;

/// Bytes of a page.
const PAGE: u64 = 4096;
type Bits = [u64; PAGE as usize / 64];

/// What one cluster did to a page.
#[derive(Debug)]
struct Page {
    read: Bits,
    written: Bits,
    /// Instructions that did it; whether they wrote.
    by: Vec<(u32, bool)>,
}

/// What one cluster did to global memory, by allocation and page.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    allocations: Vec<Vec<Option<Box<Page>>>>,
}

impl Footprint {
    /// Notes bytes of an allocation.
    #[inline]
    pub fn note(&mut self, allocation: usize, bytes: Range<u64>, pc: u32, writes: bool) {
        let Range { start: mut at, end } = bytes;
        while at < end {
            let next = (at / PAGE * PAGE + PAGE).min(end);
            let page = self.page(allocation, (at / PAGE) as usize);
            let bits = if writes { &mut page.written } else { &mut page.read };
            crate::exec::mark(bits, (at % PAGE) as usize, (next - at) as usize);
            if !page.by.contains(&(pc, writes)) {
                page.by.push((pc, writes));
            }
            at = next;
        }
    }

    /// A page, by number in its allocation.
    #[inline]
    fn page(&mut self, allocation: usize, number: usize) -> &mut Page {
        if self.allocations.len() <= allocation {
            self.allocations.resize_with(allocation + 1, Vec::new);
        }
        let pages = &mut self.allocations[allocation];
        if pages.len() <= number {
            pages.resize_with(number + 1, || None);
        }
        pages[number].get_or_insert_with(|| {
            Box::new(Page { read: [0; 64], written: [0; 64], by: Vec::new() })
        })
    }

    /// Those that were accessed, in order.
    fn pages(&self) -> impl Iterator<Item = ((usize, u64), &Page)> {
        self.allocations.iter().enumerate().flat_map(|(allocation, pages)| {
            let numbered = pages.iter().zip(0..);
            numbered.filter_map(move |(page, k)| Some(((allocation, k), page.as_deref()?)))
        })
    }

    /// A page that was accessed.
    fn get(&self, (allocation, number): (usize, u64)) -> Option<&Page> {
        self.allocations.get(allocation)?.get(number as usize)?.as_deref()
    }
}

/// An access of a cluster to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The byte: allocation and offset.
    pub byte: (usize, u64),
    /// `%ctaid`, once it is known; the rank of the block before.
    pub block: [u32; 3],
    /// Its warp, and the lanes.
    pub warp: u32,
    pub lanes: u32,
    /// The instruction, and whether it writes.
    pub pc: u32,
    pub writes: bool,
}

/// A byte that two clusters access, one of them to write.
#[derive(Debug)]
pub(crate) struct Clash {
    /// The byte: allocation and offset.
    pub byte: (usize, u64),
    /// The later cluster by number, then the earlier one: index of its outcome, whether it writes, and an instruction that
    /// touches the page in this way.
    pub sides: [(usize, bool, u32); 2],
    /// On how many pages the same instructions clash.
    pub count: u64,
}

/// Everything of the clusters before.
struct Sum {
    read: Bits,
    written: Bits,
}

/// Overlaps, one for each pair of instructions.
pub(crate) fn clashes(outcomes: &[Outcome]) -> Vec<Clash> {
    let mut sums: HashMap<(usize, u64), Sum> = HashMap::new();
    let mut found: Vec<Clash> = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        for (key, page) in outcome.footprint.pages() {
            let sum = sums.entry(key).or_insert(Sum { read: [0; 64], written: [0; 64] });
            let clash = (0..64).find_map(|k| {
                let both = page.written[k] & (sum.read[k] | sum.written[k])
                    | page.read[k] & sum.written[k];
                (both != 0).then(|| 64 * k + both.trailing_zeros() as usize)
            });
            if let Some(byte) = clash {
                let bit = |bits: &Bits| bits[byte / 64] >> (byte % 64) & 1 == 1;
                let writes = bit(&page.written);
                let wrote = bit(&sum.written) && (!writes || !bit(&sum.read));
                let first = |page: &Page, writes: bool| {
                    page.by.iter().find(|(_, w)| *w == writes).map_or(0, |by| by.0)
                };
                // Of the clusters before, the first whose own page has the byte.
                let theirs = outcomes[..index].iter().enumerate().find_map(|(k, before)| {
                    let page = before.footprint.get(key)?;
                    let has = bit(if wrote { &page.written } else { &page.read });
                    has.then(|| (k, wrote, first(page, wrote)))
                });
                let theirs = theirs.expect("the sum is of the clusters before");
                let sides = [(index, writes, first(page, writes)), theirs];
                let instructions = |sides: &[(usize, bool, u32); 2]| sides.map(|side| side.2);
                match found.iter_mut().find(|c| instructions(&c.sides) == instructions(&sides)) {
                    Some(known) => known.count += 1,
                    None => {
                        let byte = (key.0, key.1 * PAGE + byte as u64);
                        found.push(Clash { byte, sides, count: 1 });
                    }
                }
            }
            for k in 0..64 {
                sum.read[k] |= page.read[k];
                sum.written[k] |= page.written[k];
            }
        }
    }
    found
}

impl Clash {
    /// The finding; `traces` are the accesses of both clusters to the byte, where they could be found again.
    pub fn finding(
        &self,
        traces: [Option<Trace>; 2],
        outcomes: &[Outcome],
        program: &Program,
        memory: &Memory,
    ) -> Finding {
        let side = |k: usize| {
            let (index, writes, pc) = self.sides[k];
            let (byte, block) = (self.byte, outcomes[index].block);
            traces[k].unwrap_or(Trace { byte, block, warp: 0, lanes: 0, pc, writes })
        };
        let (mine, other) = (side(0), side(1));
        let verb = if mine.writes { "writes" } else { "reads" };
        let done = if other.writes { "written" } else { "read" };
        let words = program.words(other.pc, other.block, other.warp, other.lanes);
        let name = &memory.allocation(self.byte.0).name;
        let message = format!(
            "it {verb} byte {} of {name}, {done} by {words}, and nothing orders blocks of one launch",
            self.byte.1
        );
        let finding = program.finding(mine.pc, Kind::Race, message);
        let Trace { block, warp, lanes, .. } = mine;
        Finding { block, warp, lanes, count: self.count, ..finding }
    }
}

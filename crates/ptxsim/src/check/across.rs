//! Global memory of clusters that run by themselves: what each read and wrote, and where that overlaps.

use std::collections::HashMap;

use super::Outcome;
use crate::error::{Finding, Kind};
use crate::memory::Memory;
use crate::program::Program;

/// Bytes of a page.
const PAGE: u64 = 4096;
type Bits = [u64; PAGE as usize / 64];

/// What one cluster did to a page.
#[derive(Debug)]
pub(super) struct Page {
    read: Bits,
    written: Bits,
    /// Instructions that did it; whether they wrote.
    by: Vec<(u32, bool)>,
}

/// What one cluster did to global memory, by allocation and page.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    pages: HashMap<(usize, u64), Box<Page>>,
}

impl Footprint {
    /// Notes `len` bytes at `offset` of an allocation.
    #[inline]
    pub fn note(&mut self, allocation: usize, offset: u64, len: u32, pc: u32, writes: bool) {
        let (mut at, end) = (offset, offset + len as u64);
        while at < end {
            let next = (at / PAGE * PAGE + PAGE).min(end);
            let page = self.pages.entry((allocation, at / PAGE)).or_insert_with(|| {
                Box::new(Page { read: [0; 64], written: [0; 64], by: Vec::new() })
            });
            let bits = if writes { &mut page.written } else { &mut page.read };
            crate::exec::mark(bits, (at % PAGE) as usize, (next - at) as usize);
            if !page.by.contains(&(pc, writes)) {
                page.by.push((pc, writes));
            }
            at = next;
        }
    }
}

/// Everything of the clusters before.
struct Sum {
    read: Bits,
    written: Bits,
    /// Cluster (index of its outcome) and what it did.
    by: Vec<(usize, u32, bool)>,
}

/// Findings of overlaps, one for each pair of instructions.
pub(super) fn overlaps(outcomes: &[Outcome], program: &Program, memory: &Memory) -> Vec<Finding> {
    let mut sums: HashMap<(usize, u64), Sum> = HashMap::new();
    let mut found: Vec<(u32, u32, Finding)> = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let mut pages: Vec<_> = outcome.footprint.pages.iter().collect();
        pages.sort_by_key(|(key, _)| **key);
        for (key, page) in pages {
            let sum = sums.entry(*key).or_insert_with(|| Sum {
                read: [0; 64],
                written: [0; 64],
                by: Vec::new(),
            });
            let clash = (0..64).find_map(|k| {
                let both = page.written[k] & (sum.read[k] | sum.written[k])
                    | page.read[k] & sum.written[k];
                (both != 0).then(|| 64 * k + both.trailing_zeros() as usize)
            });
            if let Some(byte) = clash {
                let bit = |bits: &Bits| bits[byte / 64] >> (byte % 64) & 1 == 1;
                let writes = bit(&page.written);
                let other_wrote = bit(&sum.written) && (!writes || !bit(&sum.read));
                let mine = page.by.iter().find(|(_, w)| *w == writes).map_or(0, |by| by.0);
                let other = sum.by.iter().rev().find(|(_, _, w)| *w == other_wrote);
                let (theirs, pc) = other.map_or((0, 0), |by| (by.0, by.1));
                let info = &program.info[mine as usize];
                let there = &program.info[pc as usize];
                let verb = |w: bool| if w { "writes" } else { "reads" };
                let block = outcomes[theirs].block;
                let message = format!(
                    "this block {} byte {} of {}, which block ({}, {}, {}) {} at PTX line {} (CUDA line {}), \
                     and nothing orders blocks of one launch",
                    verb(writes),
                    key.1 * PAGE + byte as u64,
                    memory.allocation(key.0).name,
                    block[0],
                    block[1],
                    block[2],
                    verb(other_wrote),
                    there.line,
                    there.location.line,
                );
                match found.iter_mut().find(|(a, b, _)| (*a, *b) == (mine, pc)) {
                    Some((_, _, finding)) => finding.count += 1,
                    None => found.push((
                        mine,
                        pc,
                        Finding {
                            kind: Kind::Race,
                            message,
                            kernel: program.entry.clone(),
                            instruction: info.text.clone(),
                            line: info.line,
                            file: program
                                .files
                                .iter()
                                .find(|(n, _)| *n == info.location.file)
                                .map(|(_, name)| name.clone())
                                .unwrap_or_default(),
                            source_line: info.location.line,
                            block: outcome.block,
                            warp: 0,
                            lanes: 0,
                            count: 1,
                        },
                    )),
                }
            }
            for k in 0..64 {
                sum.read[k] |= page.read[k];
                sum.written[k] |= page.written[k];
            }
            for (pc, writes) in &page.by {
                if !sum.by.iter().any(|(_, p, w)| (p, w) == (pc, writes)) {
                    sum.by.push((index, *pc, *writes));
                }
            }
        }
    }
    found.into_iter().map(|(_, _, finding)| finding).collect()
}

//! Who last wrote and who has read each byte since, kept by words of four bytes where all four have one history.

use std::collections::HashMap;

use super::clock::Party;

/// An access by some lanes of one warp, at the warp's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    /// The warp.
    pub warp: u32,
    /// Its time, or its party's, from 1; 0 stands for no access.
    pub time: u32,
    /// Which lanes.
    pub lanes: u32,
    /// The instruction.
    pub pc: u32,
    /// Number of the access in its machine: lanes of one instruction have the same.
    pub serial: u32,
    /// The mbarrier that tells of it, for [`Party::Phases`].
    pub mbarrier: u32,
    /// Who of the warp: its threads, or work that they started.
    pub party: Party,
    /// How strong.
    pub strength: Strength,
    /// Whether the warp acted as one, so that each of its lanes speaks for all.
    pub collective: bool,
    /// Whether it went through the asynchronous proxy.
    pub asynchronous: bool,
}

/// Which accesses may meet another without an order between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Strength {
    /// None.
    #[default]
    Weak,
    /// Strong ones of the same block.
    Block,
    /// Strong ones of the device.
    Device,
}

/// Readers of a word that are remembered; of more the oldest is forgotten.
const READERS: usize = 64;

/// History of a byte, or of a word whose bytes have one history.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    /// The last write.
    pub write: Epoch,
    /// A read since.
    pub read: Epoch,
    /// More of them, in [`Shadow::readers`]: index plus 1.
    more: u32,
    split: bool,
}

impl Cell {
    /// Whether nothing tells it from another, of cells that have no further readers.
    fn alike(&self, other: &Cell) -> bool {
        self.write == other.write && self.read == other.read
    }
}

/// Words of a page.
const PAGE: usize = 256;
/// Words of a unit, which has one history as long as it is accessed as a whole: that of its first word.
const UNIT: usize = 4;

/// Histories of a page.
#[derive(Debug)]
struct Page {
    cells: Box<[Cell]>,
    /// Units whose words have histories of their own, one bit each.
    apart: u64,
}

impl Default for Page {
    fn default() -> Page {
        Page { cells: vec![Cell::default(); PAGE].into(), apart: 0 }
    }
}

/// Histories of one region of memory.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pages: Vec<Option<Page>>,
    split: HashMap<u32, [Cell; 4]>,
    readers: Vec<Vec<Epoch>>,
    free: Vec<u32>,
}

impl Shadow {
    /// Calls `visit` for the histories of `len` bytes from `offset` on, which it may change.
    #[inline]
    pub fn each(
        &mut self,
        offset: u64,
        len: u32,
        mut visit: impl FnMut(&mut Readers, &mut Cell, u64),
    ) {
        let (mut at, end) = (offset, offset + len as u64);
        let mut readers = Readers { lists: &mut self.readers, free: &mut self.free };
        while at < end {
            let word = (at / 4) as usize;
            let page = word / PAGE;
            if self.pages.len() <= page {
                self.pages.resize_with(page + 1, || None);
            }
            let Page { cells, apart } = self.pages[page].get_or_insert_default();
            let unit = word % PAGE / UNIT;
            let cells = &mut cells[unit * UNIT..][..UNIT];
            if *apart >> unit & 1 == 0 {
                if at.is_multiple_of(4 * UNIT as u64) && end - at >= 4 * UNIT as u64 {
                    visit(&mut readers, &mut cells[0], at);
                    at += 4 * UNIT as u64;
                    continue;
                }
                *apart |= 1 << unit;
                for k in 1..UNIT {
                    cells[k] = Cell { more: readers.copy(cells[0].more), ..cells[0].clone() };
                }
            } else if at.is_multiple_of(4 * UNIT as u64)
                && end - at >= 4 * UNIT as u64
                && cells.iter().all(|cell| !cell.split)
            {
                for (k, cell) in cells.iter_mut().enumerate() {
                    visit(&mut readers, cell, at + 4 * k as u64);
                }
                if cells.iter().all(|cell| cell.more == 0 && cell.alike(&cells[0])) {
                    *apart &= !(1 << unit);
                }
                at += 4 * UNIT as u64;
                continue;
            }
            let cell = &mut cells[word % UNIT];
            let next = (at / 4 * 4 + 4).min(end);
            if next - at == 4 && !cell.split {
                visit(&mut readers, cell, at);
            } else {
                let bytes = self.split.entry(word as u32).or_insert_with(|| {
                    cell.split = true;
                    let copy = |readers: &mut Readers, cell: &Cell| Cell {
                        more: readers.copy(cell.more),
                        split: false,
                        ..cell.clone()
                    };
                    std::array::from_fn(|_| copy(&mut readers, cell))
                });
                (at..next).for_each(|k| visit(&mut readers, &mut bytes[k as usize % 4], k));
            }
            at = next;
        }
    }
}

/// Lists of readers of words that more than one warp has read.
pub(super) struct Readers<'a> {
    lists: &'a mut Vec<Vec<Epoch>>,
    free: &'a mut Vec<u32>,
}

impl Readers<'_> {
    fn copy(&mut self, more: u32) -> u32 {
        if more == 0 {
            return 0;
        }
        let list = self.lists[more as usize - 1].clone();
        self.keep(list)
    }

    /// A new list with nothing in it.
    fn open(&mut self) -> u32 {
        match self.free.pop() {
            // Lists are given back empty.
            Some(index) => index + 1,
            None => self.keep(Vec::new()),
        }
    }

    fn keep(&mut self, list: Vec<Epoch>) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.lists[index as usize] = list;
                index + 1
            }
            None => {
                self.lists.push(list);
                self.lists.len() as u32
            }
        }
    }

    /// The first read since the last write that is not `ordered`.
    #[inline]
    pub fn conflict(&self, cell: &Cell, ordered: impl Fn(&Epoch) -> bool) -> Option<Epoch> {
        if cell.read.time == 0 {
            return None;
        }
        if !ordered(&cell.read) {
            return Some(cell.read);
        }
        match cell.more {
            0 => None,
            more => self.lists[more as usize - 1].iter().find(|e| !ordered(e)).copied(),
        }
    }

    /// Notes a write, before which all reads are.
    #[inline]
    pub fn wrote(&mut self, cell: &mut Cell, epoch: Epoch) {
        cell.write = epoch;
        cell.read = Epoch::default();
        if cell.more != 0 {
            self.lists[cell.more as usize - 1].clear();
            self.free.push(cell.more - 1);
            cell.more = 0;
        }
    }

    /// Notes a read; one that is `ordered` before it need not be remembered.
    #[inline]
    pub fn read(&mut self, cell: &mut Cell, epoch: Epoch, ordered: impl Fn(&Epoch) -> bool) {
        if cell.read.time == 0 || cell.more == 0 && ordered(&cell.read) {
            cell.read = epoch;
            return;
        }
        if absorb(&mut cell.read, &epoch) {
            return;
        }
        if cell.more == 0 {
            cell.more = self.open();
        }
        let list = &mut self.lists[cell.more as usize - 1];
        if list.iter_mut().any(|e| absorb(e, &epoch)) {
            return;
        }
        if list.len() == READERS {
            list.remove(0);
        }
        list.push(epoch);
    }
}

/// Whether `new` needs no place of its own beside `old`.
#[inline]
fn absorb(old: &mut Epoch, new: &Epoch) -> bool {
    let alike = (old.warp, old.party, old.mbarrier) == (new.warp, new.party, new.mbarrier)
        && old.strength == new.strength
        && old.collective == new.collective
        && old.asynchronous == new.asynchronous;
    if !alike {
        return false;
    }
    if old.time == new.time && (old.pc == new.pc || new.lanes & !old.lanes == 0) {
        old.lanes |= new.lanes;
        return true;
    }
    if old.lanes & !new.lanes == 0 {
        *old = *new;
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(warp: u32, lanes: u32, time: u32) -> Epoch {
        Epoch { warp, lanes, time, ..Epoch::default() }
    }

    #[test]
    fn bytes_of_a_word_get_histories_of_their_own_where_they_differ() {
        let mut shadow = Shadow::default();
        shadow.each(8, 4, |readers, cell, _| readers.wrote(cell, epoch(1, 1, 1)));
        shadow.each(9, 2, |readers, cell, _| readers.wrote(cell, epoch(2, 2, 2)));
        let mut seen = Vec::new();
        shadow.each(8, 4, |_, cell, at| seen.push((at, cell.write.warp)));
        assert_eq!(seen, [(8, 1), (9, 2), (10, 2), (11, 1)]);
    }

    #[test]
    fn all_readers_since_the_last_write_are_remembered() {
        let mut shadow = Shadow::default();
        for warp in 0..5 {
            shadow.each(0, 4, |readers, cell, _| readers.read(cell, epoch(warp, !0, 7), |_| false));
        }
        let unordered = |wanted: u32| move |e: &Epoch| e.warp != wanted;
        for warp in 0..5 {
            shadow.each(0, 4, |readers, cell, _| {
                assert_eq!(readers.conflict(cell, unordered(warp)).unwrap().warp, warp);
            });
        }
        shadow.each(0, 4, |readers, cell, _| readers.wrote(cell, epoch(0, 1, 8)));
        shadow.each(0, 4, |readers, cell, _| assert!(readers.conflict(cell, |_| false).is_none()));
    }

    #[test]
    fn a_unit_of_16_bytes_has_one_history_until_a_part_of_it_is_accessed() {
        let mut shadow = Shadow::default();
        let visits = |shadow: &mut Shadow, offset: u64, len: u32| {
            let mut seen = Vec::new();
            shadow.each(offset, len, |_, cell, at| seen.push((at, cell.write.warp)));
            seen
        };
        let write = |shadow: &mut Shadow, offset: u64, len: u32, warp: u32| {
            shadow.each(offset, len, |readers, cell, _| readers.wrote(cell, epoch(warp, 1, 5)));
        };
        write(&mut shadow, 16, 32, 1);
        assert_eq!(visits(&mut shadow, 16, 32), [(16, 1), (32, 1)]);
        shadow.each(16, 16, |readers, cell, _| {
            readers.read(cell, epoch(2, 1, 5), |_| false);
            readers.read(cell, epoch(3, 1, 5), |_| false);
        });
        write(&mut shadow, 20, 4, 7);
        assert_eq!(visits(&mut shadow, 16, 32), [(16, 1), (20, 7), (24, 1), (28, 1), (32, 1)]);
        shadow.each(24, 4, |readers, cell, _| {
            let late = |e: &Epoch| e.warp != 3;
            assert_eq!(readers.conflict(cell, late).map(|e| e.warp), Some(3), "readers stay");
        });
        shadow.each(20, 4, |readers, cell, _| assert!(readers.conflict(cell, |_| false).is_none()));
        assert_eq!(visits(&mut shadow, 18, 3), [(18, 1), (19, 1), (20, 7)], "bytes of two words");
        write(&mut shadow, 16, 16, 9);
        shadow.each(16, 16, |_, cell, _| assert_eq!(cell.write.warp, 9));
        let mut words = Shadow::default();
        write(&mut words, 4, 4, 1);
        write(&mut words, 0, 16, 2);
        assert_eq!(visits(&mut words, 0, 16), [(0, 2)], "what a write makes alike is whole again");
    }
}

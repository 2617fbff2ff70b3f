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

/// Words of a page.
const PAGE: usize = 256;

/// Histories of one region of memory.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pages: Vec<Option<Box<[Cell]>>>,
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
                self.pages.resize(page + 1, None);
            }
            let cells = self.pages[page].get_or_insert_with(|| vec![Cell::default(); PAGE].into());
            let cell = &mut cells[word % PAGE];
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
            cell.more = self.keep(Vec::new());
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
}

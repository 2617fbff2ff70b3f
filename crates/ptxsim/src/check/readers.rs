//! Reads since the last write, where there are more than one.

use super::epoch::Epoch;
use super::shadow::Cell;

/// Readers of a piece of memory that are remembered; of more the oldest is forgotten.
const READERS: usize = 64;

/// Lists of further reads.
#[derive(Debug, Default)]
pub(super) struct Readers {
    lists: Vec<Vec<Epoch>>,
    /// Lists that nobody has, all of them empty.
    free: Vec<u32>,
}

impl Readers {
    /// A copy of the list `more`, each entry as `part` makes it.
    pub fn copy(&mut self, more: u32, part: impl Fn(&Epoch) -> Epoch) -> u32 {
        if more == 0 {
            return 0;
        }
        let to = self.open();
        let list = &self.lists[more as usize - 1];
        self.lists[to as usize - 1] = list.iter().map(part).filter(|e| e.time != 0).collect();
        to
    }

    /// A list with nothing in it.
    fn open(&mut self) -> u32 {
        self.free.pop().map_or_else(
            || {
                self.lists.push(Vec::new());
                self.lists.len() as u32
            },
            |index| index + 1,
        )
    }

    /// Nobody has the list `more` any longer.
    pub fn give_back(&mut self, more: u32) {
        if more != 0 {
            self.lists[more as usize - 1].clear();
            self.free.push(more - 1);
        }
    }

    /// The most parts, as a power of two, of a read in the list `more`.
    pub fn parts(&self, more: u32) -> u32 {
        match more {
            0 => 0,
            more => self.lists[more as usize - 1].iter().map(Epoch::parts).max().unwrap_or(0),
        }
    }

    /// The reads since the last write.
    #[inline]
    pub fn of<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = &'a Epoch> {
        let more = match cell.more {
            0 => &[][..],
            more => &self.lists[more as usize - 1],
        };
        (cell.read.time != 0).then_some(&cell.read).into_iter().chain(more)
    }

    /// Notes a write, before which all reads are.
    #[inline]
    pub fn wrote(&mut self, cell: &mut Cell, epoch: Epoch) {
        cell.write = epoch;
        cell.read = Epoch::default();
        if cell.more != 0 {
            self.give_back(cell.more);
            cell.more = 0;
        }
    }

    /// Notes a read; one that is `ordered` before it need not be remembered.
    #[inline]
    pub fn read(&mut self, cell: &mut Cell, epoch: Epoch, ordered: impl FnOnce() -> bool) {
        if cell.read.time == 0 || cell.more == 0 && ordered() {
            cell.read = epoch;
            return;
        }
        if cell.read.absorb(&epoch) {
            return;
        }
        if cell.more == 0 {
            cell.more = self.open();
        }
        let list = &mut self.lists[cell.more as usize - 1];
        if list.iter_mut().any(|e| e.absorb(&epoch)) {
            return;
        }
        if list.len() == READERS {
            list.remove(0);
        }
        list.push(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_readers_since_the_last_write_are_remembered() {
        let (mut readers, mut cell) = (Readers::default(), Cell::default());
        let epoch = |warp: u32| Epoch { warp, lanes: !0, time: 7, ..Epoch::default() };
        (0..5).for_each(|warp| readers.read(&mut cell, epoch(warp), || false));
        let of =
            |readers: &Readers, cell: &Cell| readers.of(cell).map(|e| e.warp).collect::<Vec<_>>();
        assert_eq!(of(&readers, &cell), [0, 1, 2, 3, 4]);
        let copy = Cell { more: readers.copy(cell.more, |e| *e), ..cell.clone() };
        readers.wrote(&mut cell, epoch(9));
        assert_eq!(of(&readers, &cell), [0; 0]);
        assert_eq!(of(&readers, &copy), [0, 1, 2, 3, 4], "a copy has a list of its own");
        readers.read(&mut cell, epoch(1), || false);
        readers.read(&mut cell, epoch(2), || true);
        assert_eq!(of(&readers, &cell), [2], "one that is ordered before is forgotten");
    }
}

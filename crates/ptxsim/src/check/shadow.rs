//! Who last wrote and who has read each byte since, kept by lines of 32 bytes as long as each is accessed as a whole.
//!
//! Lanes that lie side by side share one history of a line, as in FastTrack (Flanagan and Freund, 2009) threads share an
//! epoch: the history remembers how the lanes divide the line. A line that is accessed in parts, or whose lanes must be told
//! apart, has a history for each piece of 16, 8, 4, 2 or 1 bytes, until something writes all of it again.

use super::epoch::{Epoch, Span};
use super::readers::Readers;

/// History of a line, or of a piece of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    /// The last write.
    pub write: Epoch,
    /// A read since.
    pub read: Epoch,
    /// More of them, in [`Readers`]: index plus 1.
    pub more: u32,
}

/// What a visit of a history came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// It is done.
    Done,
    /// Nothing was changed: the lanes must be told apart first.
    Finer,
}

/// Bytes of a line, as a power of two.
const LINE: u32 = 5;
/// Lines of a page.
const PAGE: usize = 64;

/// Histories of a line.
#[derive(Debug, Clone, Default)]
struct Line {
    /// The one of a line that is whole.
    cell: Cell,
    /// Otherwise where its pieces are in [`Pieces::cells`], and above that the bytes of one as a power of two; 0 for a whole line.
    pieces: u32,
}

/// Histories of pieces of lines.
#[derive(Debug, Default)]
struct Pieces {
    cells: Vec<Cell>,
    /// Places that are free again, by the bytes of a piece as a power of two.
    free: [Vec<u32>; LINE as usize],
}

/// Histories of one region of memory.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pages: Vec<Option<Box<[Line]>>>,
    pieces: Pieces,
    readers: Readers,
}

impl Shadow {
    /// Calls `visit` for the histories of the bytes of `span`, which it may change: with the access as far as it is one to
    /// the bytes of that history, and the first of them.
    #[inline]
    pub fn each(
        &mut self,
        span: &Span,
        mut visit: impl FnMut(&mut Readers, &mut Cell, &Epoch, u64) -> Visit,
    ) {
        let mut at = span.begin;
        while at < span.end {
            let number = (at >> LINE) as usize;
            if self.pages.len() <= number / PAGE {
                self.pages.resize_with(number / PAGE + 1, || None);
            }
            let page = self.pages[number / PAGE]
                .get_or_insert_with(|| vec![Line::default(); PAGE].into_boxed_slice());
            let line = &mut page[number % PAGE];
            let (begin, next) = ((at >> LINE) << LINE, ((at >> LINE) + 1) << LINE);
            let whole = at == begin && span.end >= next;
            let end = next.min(span.end);
            // As large as a piece can be that lies within or without.
            let mut size = (at | end | 1 << LINE).trailing_zeros();
            while at < end {
                let (index, piece) = line.place();
                if piece > size {
                    self.pieces.refine(line, &mut self.readers, size);
                    continue;
                }
                let cell = match piece {
                    LINE => &mut line.cell,
                    _ => &mut self.pieces.cells[index + ((at as usize % (1 << LINE)) >> piece)],
                };
                let part = span.part(at, piece);
                match visit(&mut self.readers, cell, &part, at) {
                    Visit::Done => at += 1 << piece,
                    Visit::Finer => {
                        let finest = part.parts().max(cell.write.parts()).max(cell.read.parts());
                        size = piece - finest.max(self.readers.parts(cell.more));
                    }
                }
            }
            if whole && span.writes && line.pieces != 0 {
                self.pieces.unite(line, begin, span);
            }
        }
    }
}

impl Pieces {
    /// Makes the pieces of a line, which are larger, `1 << size` bytes.
    fn refine(&mut self, line: &mut Line, readers: &mut Readers, size: u32) {
        let (from, before) = line.place();
        let to = self.take(size);
        let split = before - size;
        for k in 0..1usize << (LINE - before) {
            let old = if before == LINE {
                std::mem::take(&mut line.cell)
            } else {
                std::mem::take(&mut self.cells[from + k])
            };
            for part in 0..1u32 << split {
                self.cells[to + (k << split) + part as usize] = Cell {
                    write: old.write.piece(split, part),
                    read: old.read.piece(split, part),
                    more: readers.copy(old.more, |epoch| epoch.piece(split, part)),
                };
            }
            readers.give_back(old.more);
        }
        if before < LINE {
            self.free[before as usize].push(from as u32);
        }
        line.pieces = (size + 1) << 28 | to as u32;
    }

    /// Makes one whole of a line at `begin`, where all of its pieces know of `span` alone.
    fn unite(&mut self, line: &mut Line, begin: u64, span: &Span) {
        let (index, size) = line.place();
        // Two halves are as fast as a whole that is halved again.
        if size + 1 >= LINE {
            return;
        }
        let count = 1usize << (LINE - size);
        let alone = |(k, cell): (usize, &Cell)| {
            cell.read.time == 0
                && cell.more == 0
                && cell.write == span.part(begin + ((k as u64) << size), size)
        };
        if self.cells[index..index + count].iter().enumerate().all(alone) {
            line.cell = Cell { write: span.part(begin, LINE), ..Cell::default() };
            line.pieces = 0;
            self.free[size as usize].push(index as u32);
        }
    }

    /// Room for the pieces of a line.
    fn take(&mut self, size: u32) -> usize {
        if let Some(index) = self.free[size as usize].pop() {
            return index as usize;
        }
        let index = self.cells.len();
        assert!(index < 1 << 28, "histories of more than 2^28 pieces of memory");
        self.cells.resize_with(index + (1 << (LINE - size)), Cell::default);
        index
    }
}

impl Line {
    /// Where its pieces are, and the bytes of one as a power of two.
    #[inline]
    fn place(&self) -> (usize, u32) {
        match self.pieces {
            0 => (0, LINE),
            pieces => ((pieces & ((1 << 28) - 1)) as usize, (pieces >> 28) - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(warp: u32, lanes: u32, time: u32) -> Epoch {
        Epoch { warp, lanes, time, ..Epoch::default() }
    }

    fn write(shadow: &mut Shadow, span: &Span) {
        shadow.each(&span.writing(true), |readers, cell, part, _| {
            readers.wrote(cell, *part);
            Visit::Done
        });
    }

    fn read(shadow: &mut Shadow, span: &Span) {
        shadow.each(span, |readers, cell, part, _| {
            readers.read(cell, *part, || false);
            Visit::Done
        });
    }

    /// Begin of each history, and warp and lanes of its last write.
    fn writes(shadow: &mut Shadow, begin: u64, len: u64) -> Vec<(u64, u32, u32)> {
        let mut seen = Vec::new();
        shadow.each(&Span::all(begin, len, epoch(0, 1, 1)), |_, cell, _, at| {
            seen.push((at, cell.write.warp, cell.write.lanes));
            Visit::Done
        });
        seen
    }

    #[test]
    fn a_line_has_one_history_until_a_part_of_it_is_accessed() {
        let mut shadow = Shadow::default();
        write(&mut shadow, &Span::all(32, 64, epoch(1, 1, 5)));
        assert_eq!(writes(&mut shadow, 32, 64), [(32, 1, 1), (64, 1, 1)]);
        read(&mut shadow, &Span::all(32, 32, epoch(2, 1, 5)));
        read(&mut shadow, &Span::all(32, 32, epoch(3, 1, 5)));
        write(&mut shadow, &Span::all(40, 8, epoch(7, 1, 6)));
        let pieces = [(32, 1, 1), (40, 7, 1), (48, 1, 1), (56, 1, 1), (64, 1, 1)];
        assert_eq!(writes(&mut shadow, 32, 64), pieces);
        let readers = |shadow: &mut Shadow, at: u64| {
            let mut found = Vec::new();
            shadow.each(&Span::all(at, 8, epoch(0, 1, 1)), |readers, cell, _, _| {
                found.extend(readers.of(cell).map(|e| e.warp));
                Visit::Done
            });
            found
        };
        assert_eq!((readers(&mut shadow, 48), readers(&mut shadow, 40)), (vec![2, 3], vec![]));
        write(&mut shadow, &Span::all(35, 1, epoch(9, 1, 7)));
        assert_eq!(writes(&mut shadow, 34, 3), [(34, 1, 1), (35, 9, 1), (36, 1, 1)]);
        write(&mut shadow, &Span::all(32, 32, epoch(4, 2, 8)));
        assert_eq!(writes(&mut shadow, 32, 32), [(32, 4, 2)], "what is written is whole again");
    }

    #[test]
    fn lanes_side_by_side_share_a_history_and_keep_their_bytes() {
        for (bytes, lanes) in [(1u64, 32u32), (2, 16), (4, 8), (8, 4), (16, 2)] {
            let mut shadow = Shadow::default();
            // From lane 3 on, a line further: the line has the lanes from 3 + `lanes` on.
            let count = 3 + lanes.min(14);
            let span = Span::row(96 - bytes * 3, bytes as u32, (0, count), 1, epoch(1, 0, 2));
            write(&mut shadow, &span);
            let mut seen = Vec::new();
            let one = Span::all(96, bytes, epoch(0, 1, 1));
            shadow.each(&one, |_, cell, _, at| {
                seen.push((at, cell.write.lanes, cell.write.parts()));
                Visit::Done
            });
            assert_eq!(seen, [(96, 8, 0)], "{bytes} bytes a lane: lane 3 is the first of the line");
        }
    }

    #[test]
    fn lanes_that_must_be_told_apart_are() {
        let mut shadow = Shadow::default();
        write(&mut shadow, &Span::row(64, 4, (8, 8), 1, epoch(1, 0, 2)));
        assert_eq!(writes(&mut shadow, 64, 32), [(64, 1, 0xff00)]);
        let mut seen = Vec::new();
        shadow.each(&Span::row(64, 4, (0, 8), 1, epoch(2, 0, 3)), |_, cell, part, at| {
            if part.parts() > 0 {
                return Visit::Finer;
            }
            seen.push((at, cell.write.lanes, part.lanes));
            Visit::Done
        });
        let wanted: Vec<_> = (0..8).map(|k| (64 + 4 * k, 0x100 << k, 1 << k)).collect();
        assert_eq!(seen, wanted);
    }
}

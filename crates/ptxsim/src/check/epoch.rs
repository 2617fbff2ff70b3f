//! An access in the history of a piece of memory: by whom, when, and how its lanes divide the bytes among them.

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
    /// By which way.
    pub way: Way,
    /// Which lane made it to which part of the bytes.
    pub spread: Spread,
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

/// How an access reaches memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// By ordinary instructions.
    #[default]
    Generic,
    /// Through the asynchronous proxy.
    Async,
    /// Through it by a warp that acts as one, so that each of its lanes speaks for all.
    Together,
}

/// How lanes divide bytes: of `1 << parts` equal parts, lane `l` has part `(l - phase) % (1 << parts)`; with no parts each lane
/// has all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spread {
    parts: u8,
    phase: u8,
}

impl Epoch {
    /// Whether it went through the asynchronous proxy.
    #[inline(always)]
    pub fn asynchronous(&self) -> bool {
        self.way != Way::Generic
    }

    /// Whether the warp acted as one.
    #[inline(always)]
    pub fn collective(&self) -> bool {
        self.way == Way::Together
    }

    /// Number of parts, as a power of two, that its lanes divide the bytes into.
    #[inline(always)]
    pub fn parts(&self) -> u32 {
        self.spread.parts as u32
    }

    /// Whether the same lanes have the same parts in both, one lane each.
    #[inline(always)]
    pub fn pairs(&self, other: &Epoch) -> bool {
        (self.spread, self.lanes) == (other.spread, other.lanes)
            && self.lanes.count_ones() == 1 << self.spread.parts
    }

    /// The same access as far as it concerns one of `1 << split` equal pieces of the bytes.
    pub fn piece(&self, split: u32, piece: u32) -> Epoch {
        let Spread { parts, phase } = self.spread;
        let parts = parts as u32;
        if self.time == 0 {
            return Epoch::default();
        }
        if parts == 0 {
            return *self;
        }
        // The parts that lie in the piece, or the one that the piece lies in.
        let left = parts.saturating_sub(split);
        let first = if parts >= split { piece << left } else { piece >> (split - parts) };
        let mut lanes = 0;
        for lane in crate::exec::lanes(self.lanes) {
            let part = (lane as u32).wrapping_sub(phase as u32) & ((1 << parts) - 1);
            lanes |= ((part >> left == first >> left) as u32) << lane;
        }
        if lanes == 0 {
            return Epoch::default();
        }
        let phase = phase & ((1 << left) - 1) as u8;
        Epoch { lanes, spread: Spread { parts: left as u8, phase }, ..*self }
    }

    /// Whether `new` needs no place of its own beside this one, which then may stand for both.
    #[inline]
    pub fn absorb(&mut self, new: &Epoch) -> bool {
        let alike = (self.warp, self.party, self.mbarrier) == (new.warp, new.party, new.mbarrier)
            && (self.strength, self.way) == (new.strength, new.way);
        if !alike {
            return false;
        }
        let same = self.spread == new.spread;
        let whole = |of: &Epoch| of.parts() == 0;
        if self.time == new.time {
            if (same || whole(self)) && new.lanes & !self.lanes == 0 {
                return true;
            }
            if same && self.pc == new.pc {
                self.lanes |= new.lanes;
                return true;
            }
        }
        if (same || whole(new)) && self.lanes & !new.lanes == 0 {
            *self = *new;
            return true;
        }
        false
    }
}

/// Bytes that lanes of one instruction access: all of them the same, or each its own, side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The first byte.
    pub begin: u64,
    /// The first byte behind.
    pub end: u64,
    /// Whether it is written.
    pub writes: bool,
    /// Who accesses them: `lanes` are all lanes.
    pub epoch: Epoch,
    /// Bytes a lane as a power of two, where each has its own.
    each: Option<u32>,
    /// The lane of the first byte, where each has its own.
    first: u32,
    /// A lane times this is all lanes that access the same bytes as it does.
    copies: u32,
}

impl Span {
    /// All lanes of `epoch` access all of `len` bytes.
    #[inline(always)]
    pub fn all(begin: u64, len: u64, epoch: Epoch) -> Span {
        Span { begin, end: begin + len, writes: false, epoch, each: None, first: 0, copies: 1 }
    }

    /// Each of `count` lanes from `first` on accesses `bytes` of its own: a power of two that divides `begin`. With each go the
    /// lanes that it gives times `copies`.
    #[inline(always)]
    pub fn row(
        begin: u64,
        bytes: u32,
        (first, count): (u32, u32),
        copies: u32,
        epoch: Epoch,
    ) -> Span {
        let end = begin + (bytes * count) as u64;
        Span { begin, end, writes: false, epoch, each: Some(bytes.trailing_zeros()), first, copies }
    }

    /// The same, and the bytes are written or not.
    #[inline(always)]
    pub fn writing(self, writes: bool) -> Span {
        Span { writes, ..self }
    }

    /// The access as far as it is one to `1 << size` bytes at `at`, all of which it accesses.
    #[inline(always)]
    pub fn part(&self, at: u64, size: u32) -> Epoch {
        let Some(each) = self.each else { return self.epoch };
        let lane = self.first + ((at - self.begin) >> each) as u32;
        let parts = size.saturating_sub(each);
        let lanes = ((1u64 << (1 << parts)) - 1) << lane;
        let phase = (lane & ((1 << parts) - 1)) as u8;
        Epoch {
            lanes: lanes as u32 * self.copies,
            spread: Spread { parts: parts as u8, phase },
            ..self.epoch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_row_has_the_lanes_of_its_bytes() {
        let row = Span::row(8, 2, (4, 28), 1, Epoch { time: 1, ..Epoch::default() });
        let line = row.part(32, 5);
        assert_eq!((line.lanes, line.parts()), (0xffff_0000, 4));
        for size in 0..5 {
            for piece in 0..32u32 >> size {
                let wanted = row.part(32 + ((piece as u64) << size), size);
                assert_eq!(line.piece(5 - size, piece), wanted, "piece {piece} of {size}");
                // Also in two steps.
                let half = line.piece(1, piece >> (4 - size));
                assert_eq!(half.piece(4 - size, piece & ((1 << (4 - size)) - 1)), wanted);
            }
        }
    }

    #[test]
    fn lanes_that_access_the_same_bytes_go_together() {
        let epoch = Epoch { time: 1, ..Epoch::default() };
        let row = Span::row(0, 4, (0, 16), 0x0001_0001, epoch);
        assert_eq!(row.part(32, 5).lanes, 0xff00_ff00);
        assert_eq!(row.part(32, 5).piece(3, 1), row.part(36, 2));
        assert_eq!(row.part(36, 2).lanes, 0x0200_0200);
        assert!(!row.part(32, 5).pairs(&row.part(32, 5)), "two lanes have each part");
    }

    #[test]
    fn of_two_reads_one_stands_for_both_only_where_it_has_all_lanes_of_each_byte() {
        let row = |first: u32| {
            let epoch = Epoch { time: 3, ..Epoch::default() };
            Span::row(0, 4, (first, 8), 1, epoch).part(0, 5)
        };
        let all = |lanes: u32, time: u32| Epoch { time, lanes, ..Epoch::default() };
        let (mut a, b) = (row(0), row(8));
        assert!(a.absorb(&b));
        assert_eq!(a.lanes, 0xffff, "lanes of one instruction");
        let mut shifted = row(1);
        assert!(!shifted.absorb(&row(0)), "byte 0 is of lane 1 and of lane 0");
        assert!(all(0xff, 3).absorb(&row(0)));
        assert!(!all(0xff, 2).absorb(&row(0)), "the later one has not all lanes at each byte");
        let mut earlier = row(0);
        assert!(earlier.absorb(&all(0xff, 4)));
        assert_eq!((earlier.time, earlier.parts()), (4, 0));
    }
}

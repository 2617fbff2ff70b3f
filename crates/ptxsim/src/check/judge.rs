//! One access against the histories of its bytes: whether those before it are ordered before it, and what it leaves behind.

use super::epoch::{Epoch, Strength};
use super::readers::Readers;
use super::shadow::{Cell, Visit};
use super::threads::Threads;
use super::work::{Acting, Sight};
use crate::error::Kind;

/// An access that is being judged, lanes that go together at a time.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub threads: &'a Threads,
    /// The work that makes it, where threads do not.
    pub acting: Option<&'a Acting>,
    /// What is seen of others by who makes it.
    pub sight: Sight<'a>,
    /// Its warp.
    pub warp: u32,
    /// Number of the access in its machine.
    pub serial: u32,
    /// How strong it is.
    pub strength: Strength,
    /// Whether it writes.
    pub writes: bool,
    /// Whether it goes through the asynchronous proxy, and whether its warp acts as one.
    pub asynchronous: bool,
    pub collective: bool,
    /// What is looked for.
    pub races: bool,
    pub proxies: bool,
    /// Warps of a block.
    pub per_block: u32,
}

impl Judge<'_> {
    /// Whether `old` happened before, or with `proxied` is seen by the asynchronous proxy; nothing where that must be asked for
    /// lanes one by one.
    #[inline(always)]
    fn ordered(&self, old: &Epoch, part: &Epoch, proxied: bool) -> Option<bool> {
        if old.time == 0 {
            return Some(true);
        }
        self.sight.standing(old, proxied).or_else(|| self.by_lanes(old, part, proxied))
    }

    fn by_lanes(&self, old: &Epoch, part: &Epoch, proxied: bool) -> Option<bool> {
        if old.parts() == 0 && part.parts() == 0 {
            let sees = if self.collective { 1 } else { part.lanes };
            return Some(match self.acting {
                Some(acting) => acting.issued.ordered(sees, old, proxied),
                None => self.threads.ordered(self.warp, sees, old, proxied),
            });
        }
        let own = if proxied { 0 } else { self.sight.own.lanes(old) };
        let itself = part.lanes & !own == 0 && part.pairs(old);
        (itself || own != 0 && old.collective()).then_some(true)
    }

    /// Whether both are strong enough to meet without an order.
    #[inline(always)]
    fn meet(&self, old: &Epoch) -> bool {
        let near = || old.warp / self.per_block == self.warp / self.per_block;
        let device = Strength::Device;
        self.strength != Strength::Weak
            && old.strength != Strength::Weak
            && ((old.strength, self.strength) == (device, device) || near())
    }

    /// Whether nothing is wrong between `old` and the access. Lanes of one instruction are compared by value, elsewhere.
    #[inline(always)]
    fn before(&self, old: &Epoch, part: &Epoch) -> Option<bool> {
        if old.serial == self.serial || self.meet(old) {
            return Some(true);
        }
        self.ordered(old, part, false)
    }

    /// The first read since the last write that is not before the access; nothing where lanes must be told apart.
    #[inline(always)]
    fn reader(&self, readers: &Readers, cell: &Cell, part: &Epoch) -> Option<Option<Epoch>> {
        for old in readers.of(cell) {
            match self.before(old, part) {
                Some(true) => {}
                Some(false) => return Some(Some(*old)),
                None => return None,
            }
        }
        Some(None)
    }

    /// Compares the access, as far as it is `part`, with the history of its bytes, and notes it there; `found` gets what is wrong
    /// with it.
    #[inline(always)]
    pub fn look(
        &self,
        readers: &mut Readers,
        cell: &mut Cell,
        part: &Epoch,
        hidden: impl Fn(&Epoch) -> bool,
        found: impl FnOnce(Kind, &Epoch, bool),
    ) -> Visit {
        let write = &cell.write;
        let after = if self.races { self.before(write, part) } else { Some(true) };
        let asked = self.proxies && self.asynchronous && !write.asynchronous();
        let seen = if asked { self.ordered(write, part, true) } else { Some(true) };
        let (Some(after), Some(seen)) = (after, seen) else { return Visit::Finer };
        let again = self.writes && write.serial == self.serial;
        if again && write.spread != part.spread {
            return Visit::Finer;
        }
        if !(after && seen) {
            match after {
                true => found(Kind::MissingProxyFence, write, true),
                false if hidden(write) => found(Kind::MissingInitFence, write, true),
                false => found(Kind::Race, write, true),
            }
        } else if self.races && self.writes {
            match self.reader(readers, cell, part) {
                None => return Visit::Finer,
                Some(None) => {}
                Some(Some(reader)) => found(Kind::Race, &reader, false),
            }
        }
        if self.writes {
            let lanes = if again { write.lanes | part.lanes } else { part.lanes };
            readers.wrote(cell, Epoch { lanes, ..*part });
        } else {
            let old = cell.read;
            // Where only some lanes know it, a read before stays remembered, which does no harm.
            readers.read(cell, *part, || {
                old.strength == Strength::Weak && self.ordered(&old, part, false) == Some(true)
            });
        }
        Visit::Done
    }
}

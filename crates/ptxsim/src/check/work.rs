//! What asynchronous work knows: all that was before the instruction that started it, and nothing that came after.

use std::rc::Rc;

use super::clock::{Clock, OF_WARPS, Party, Times};
use super::epoch::Epoch;
use crate::exec::lanes;

/// Numbers of the latest work of each kind (from [`Party::Copies`] on) that each lane has waited for.
pub(super) type Waited = [Times; OF_WARPS - 1];

/// What the lanes of a warp did themselves, up to now.
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// The warp.
    pub warp: u32,
    /// Its time, and that at which its block began.
    pub time: u32,
    pub start: u32,
    /// Number of the last work that was started before its block began.
    pub began: u32,
    /// What they have waited for; nothing before the first.
    pub waited: Option<Rc<Waited>>,
}

impl Own {
    /// The lanes that have made an access themselves, or waited for it.
    #[inline]
    pub fn lanes(&self, earlier: &Epoch) -> u32 {
        if earlier.warp != self.warp {
            return 0;
        }
        match (earlier.party, &self.waited) {
            (Party::Threads, _) if (self.start..=self.time).contains(&earlier.time) => !0,
            (Party::Threads | Party::Phases, _) | (_, None) => 0,
            _ if earlier.time <= self.began => 0,
            (party, Some(waited)) => {
                let times = &waited[party as usize - 1];
                (0..32).fold(0, |m, lane| m | ((times[lane] >= earlier.time) as u32) << lane)
            }
        }
    }

    /// Tells `clock` of what `lanes` did.
    pub fn tell(&self, lanes: u32, clock: &mut Clock) {
        clock.learn(self.warp, lanes, self.time);
        let Some(waited) = &self.waited else { return };
        for (party, times) in
            [Party::Copies, Party::Reads, Party::Writes, Party::Products].into_iter().zip(&**waited)
        {
            clock.learn_each(party, self.warp, lanes, times);
        }
    }
}

/// Whether `earlier` happened before what the lanes in `mask` do: each knows it by its clock, or has done it itself.
#[inline]
pub(super) fn ordered<'c>(
    own: &Own,
    uniform: bool,
    mask: u32,
    earlier: &Epoch,
    proxied: bool,
    clock: impl Fn(usize) -> &'c Clock,
) -> bool {
    if earlier.time == 0 {
        return true;
    }
    let own = if proxied { 0 } else { own.lanes(earlier) };
    if own != 0 && (earlier.collective() || earlier.lanes == mask & own && mask.is_power_of_two()) {
        return true;
    }
    let missing = |lane: usize| {
        let missing = clock(lane).missing(earlier);
        if earlier.collective() && missing != earlier.lanes { 0 } else { missing }
    };
    if uniform {
        let missing = missing(mask.trailing_zeros() as usize);
        return missing == 0 || lanes(mask).all(|lane| missing & !(own & 1 << lane) == 0);
    }
    lanes(mask).all(|lane| missing(lane) & !(own & 1 << lane) == 0)
}

/// What lanes of one warp see of others, as far as all of them see the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    /// What they did themselves.
    pub own: &'a Own,
    /// What they know, and what of it the asynchronous proxy sees.
    pub clocks: [Option<&'a Clock>; 2],
}

impl Sight<'_> {
    /// What holds of an access whichever lanes made it: that it happened before, that it did not, or nothing.
    #[inline(always)]
    pub fn standing(&self, earlier: &Epoch, proxied: bool) -> Option<bool> {
        let known = self.clocks[proxied as usize]?.knows(earlier);
        known.filter(|known| *known || proxied || self.own.lanes(earlier) == 0)
    }
}

/// What lanes knew, and what the asynchronous proxy saw, when they started work.
#[derive(Debug)]
pub(super) enum Known {
    /// All the same.
    Same(Rc<Clock>, Rc<Clock>),
    /// Each its own.
    Each(Box<[(Rc<Clock>, Rc<Clock>); 32]>),
}

/// Work that was started.
#[derive(Debug)]
pub(crate) struct Issued {
    /// Its number.
    pub(super) number: u32,
    /// What the lanes of its warp had done.
    pub(super) own: Own,
    pub(super) known: Known,
}

impl Issued {
    /// What a lane knew.
    #[inline]
    pub(super) fn known(&self, lane: usize) -> &Rc<Clock> {
        match &self.known {
            Known::Same(known, _) => known,
            Known::Each(each) => &each[lane].0,
        }
    }

    /// What the asynchronous proxy saw of it.
    #[inline]
    pub(super) fn proxied(&self, lane: usize) -> &Rc<Clock> {
        match &self.known {
            Known::Same(_, proxied) => proxied,
            Known::Each(each) => &each[lane].1,
        }
    }

    /// What the work sees of others.
    pub(super) fn sight(&self) -> Sight<'_> {
        let clocks = match &self.known {
            Known::Same(known, proxied) => [Some(&**known), Some(&**proxied)],
            Known::Each(_) => [None; 2],
        };
        Sight { own: &self.own, clocks }
    }

    /// Whether `earlier` happened before the work of `mask`; with `proxied`, and the asynchronous proxy sees it.
    #[inline]
    pub(super) fn ordered(&self, mask: u32, earlier: &Epoch, proxied: bool) -> bool {
        let same = matches!(self.known, Known::Same(..));
        ordered(&self.own, same, mask, earlier, proxied, |lane| {
            if proxied { self.proxied(lane) } else { self.known(lane) }
        })
    }
}

/// In whose name work makes its accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// `cp.async`
    Copy,
    /// A store of a bulk group.
    Store,
    /// A product of a warpgroup, from its issue on.
    Product,
    /// A copy that the mbarrier with this number counts, in a phase that ends at this time.
    Delivery(u32, u32),
}

/// Work that ends just now.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(super) issued: Box<Issued>,
    pub(super) deed: Deed,
}

impl Acting {
    /// Party, mbarrier and time of its accesses.
    pub(super) fn party(&self, writes: bool) -> (Party, u32, u32) {
        let number = self.issued.number;
        match self.deed {
            Deed::Copy => (Party::Copies, 0, number),
            Deed::Store if writes => (Party::Writes, 0, number),
            Deed::Store => (Party::Reads, 0, number),
            Deed::Product => (Party::Products, 0, number),
            Deed::Delivery(mbarrier, time) => (Party::Phases, mbarrier, time),
        }
    }
}

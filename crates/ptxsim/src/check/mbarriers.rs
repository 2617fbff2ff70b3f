//! Initializations of mbarriers, and the fences that show them to other blocks and to the asynchronous proxy.

use std::collections::HashMap;

use super::clock::Party;
use super::epoch::Epoch;
use crate::exec::Place;

/// Where an mbarrier lies: slot of the cluster, rank of the block, offset.
type Key = (usize, usize, u32);

/// A living mbarrier.
#[derive(Debug)]
struct Mbarrier {
    number: u32,
    /// Its initialization; phases end at later times.
    init: Epoch,
    /// The latest of those times that was asked for.
    last: u32,
    /// Whether a fence has shown it.
    fenced: bool,
    /// Whether its thread has since arrived at a barrier in a way that shows only what was fenced.
    relaxed: bool,
    /// The latest phase that work has told of itself, and which work of which lanes.
    told: Option<(u64, Place, u32)>,
    /// Phases from 0 on whose end somebody has seen.
    seen: u64,
}

/// Those of a machine.
#[derive(Debug, Default)]
pub(super) struct Mbarriers {
    living: HashMap<Key, Mbarrier>,
    /// Numbers that are free again, with the last time of each.
    free: Vec<(u32, u32)>,
    /// Numbers given so far.
    count: u32,
}

impl Mbarriers {
    /// One is initialized: the number and the time of that. `epoch` says who does it.
    pub fn init(&mut self, key: Key, epoch: Epoch) -> (u32, u32) {
        self.remove(key);
        let (number, last) = self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            (self.count - 1, 0)
        });
        let time = last + 1;
        let init = Epoch { party: Party::Phases, mbarrier: number, time, ..epoch };
        self.living.insert(
            key,
            Mbarrier {
                number,
                init,
                last: time,
                fenced: false,
                relaxed: false,
                told: None,
                seen: 0,
            },
        );
        (number, time)
    }

    fn remove(&mut self, key: Key) {
        if let Some(old) = self.living.remove(&key) {
            self.free.push((old.number, old.last));
        }
    }

    /// A cluster's shared memory is gone.
    pub fn end(&mut self, cluster: usize) {
        let gone: Vec<Key> = self.living.keys().filter(|key| key.0 == cluster).copied().collect();
        gone.into_iter().for_each(|key| self.remove(key));
    }

    /// The number of one, and the time at which `phase` ends.
    pub fn phase(&mut self, key: Key, phase: u64) -> Option<(u32, u32)> {
        let mbarrier = self.living.get_mut(&key)?;
        let time = mbarrier.init.time + 1 + phase as u32;
        mbarrier.last = mbarrier.last.max(time);
        Some((mbarrier.number, time))
    }

    /// Work of `lanes` at `place` has told the mbarrier in `phase` that it has ended.
    pub fn tell(&mut self, key: Key, phase: u64, place: Place, lanes: u32) {
        if let Some(mbarrier) = self.living.get_mut(&key) {
            mbarrier.told = Some((phase, place, lanes));
        }
    }

    /// Somebody has seen the end of `phase`.
    pub fn see(&mut self, key: Key, phase: u64) {
        if let Some(mbarrier) = self.living.get_mut(&key) {
            mbarrier.seen = mbarrier.seen.max(phase.wrapping_add(1));
        }
    }

    /// Work in a cluster whose end nobody has seen, with its lanes.
    pub fn unseen(&self, cluster: usize) -> Vec<(Place, u32)> {
        let here = self.living.iter().filter(|(key, _)| key.0 == cluster);
        let told = here.filter_map(|(key, mbarrier)| Some((key, mbarrier.seen, mbarrier.told?)));
        let late = told.filter(|(_, seen, (phase, ..))| seen <= phase);
        let mut late: Vec<_> =
            late.map(|(key, _, (_, place, lanes))| (key, place, lanes)).collect();
        late.sort_by_key(|(key, ..)| **key);
        late.into_iter().map(|(_, place, lanes)| (place, lanes)).collect()
    }

    /// A fence shows all whose initialization happened before it.
    pub fn fence(&mut self, cluster: usize, before: impl Fn(&Epoch) -> bool) {
        for (key, mbarrier) in &mut self.living {
            if key.0 == cluster && !mbarrier.fenced {
                mbarrier.fenced = before(&mbarrier.init);
            }
        }
    }

    /// Lanes of a warp arrive at the cluster's barrier and show only what was fenced.
    pub fn relaxed(&mut self, warp: u32, lanes: u32) {
        for mbarrier in self.living.values_mut() {
            let own = mbarrier.init.warp == warp && mbarrier.init.lanes & lanes != 0;
            mbarrier.relaxed |= own && !mbarrier.fenced;
        }
    }

    /// The initialization of one that no fence has shown yet.
    pub fn hidden(&self, key: Key) -> Option<&Epoch> {
        let mbarrier = self.living.get(&key)?;
        (!mbarrier.fenced).then_some(&mbarrier.init)
    }

    /// Whether `epoch` is the initialization of the one at `key`, and a barrier has not shown it for want of a fence.
    pub fn is_hidden(&self, key: Key, epoch: &Epoch) -> bool {
        self.living.get(&key).is_some_and(|mbarrier| {
            let init = &mbarrier.init;
            mbarrier.relaxed && (init.mbarrier, init.time) == (epoch.mbarrier, epoch.time)
        })
    }
}

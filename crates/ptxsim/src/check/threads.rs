//! What each thread knows of the others, and how it learns it.
//!
//! A warp has one time, which grows when any of its lanes lets others know what it did; a lane has a clock of its own, and
//! lanes that learned the same share one. Barriers of a block, of the cluster, `bar.warp.sync` and mbarriers order memory.
//! Shuffles, votes, `match`, `redux` and `elect` do not: the PTX ISA promises order of memory only for the barriers.

use std::collections::HashMap;
use std::rc::Rc;

use super::clock::{Clock, joined};
use super::shadow::Epoch;
use super::{Event, Object};
use crate::exec::{Order, lanes};

/// What a lane knows.
#[derive(Debug, Clone, Default)]
struct Lane {
    /// Of all threads.
    known: Rc<Clock>,
    /// Of what generic accesses the asynchronous proxy sees.
    proxied: Rc<Clock>,
    /// What it knew and the time at its last fence: strong writes after it pass that on.
    fenced: Option<(Rc<Clock>, u32)>,
    /// What strong reads brought that count from the next fence or barrier on.
    pending: Option<Rc<Clock>>,
}

/// A warp.
#[derive(Debug, Clone)]
struct Thirty2 {
    lanes: [Lane; 32],
    time: u32,
    /// Time at which the block that now lives here began.
    start: u32,
    /// Whether all lanes share [`Lane::known`].
    uniform: bool,
}

/// What arrivals at a barrier brought.
#[derive(Debug, Default)]
struct Gathered {
    known: Rc<Clock>,
    proxied: Rc<Clock>,
}

/// A place at which threads order themselves, cluster and block included.
type Key = (usize, usize, Object);

/// All threads of a machine.
#[derive(Debug, Default)]
pub(super) struct Threads {
    warps: Vec<Thirty2>,
    objects: HashMap<Key, Gathered>,
    /// What strong writes left at words of memory, by region and word.
    words: HashMap<(u64, u64), Rc<Clock>>,
}

impl Threads {
    /// A block's warp begins.
    pub fn start(&mut self, warp: u32) {
        let fresh = || Thirty2 { lanes: Default::default(), time: 1, start: 1, uniform: true };
        if self.warps.len() <= warp as usize {
            self.warps.resize_with(warp as usize + 1, fresh);
        }
        let state = &mut self.warps[warp as usize];
        let time = state.time + 1;
        *state = Thirty2 { time, start: time, ..fresh() };
    }

    /// A cluster has ended: its barriers are gone.
    pub fn end(&mut self, cluster: usize) {
        self.objects.retain(|key, _| key.0 != cluster);
    }

    /// The warp's time.
    pub fn time(&self, warp: u32) -> u32 {
        self.warps[warp as usize].time
    }

    /// Whether `earlier` happened before what `mask` of `warp` does now; with `proxied`, and the asynchronous proxy sees it.
    #[inline]
    pub fn ordered(&self, warp: u32, mask: u32, earlier: &Epoch, proxied: bool) -> bool {
        if earlier.time == 0 {
            return true;
        }
        let state = &self.warps[warp as usize];
        let own = earlier.warp == warp && earlier.time >= state.start && !proxied;
        if own && (earlier.lanes == mask && mask.is_power_of_two() || earlier.collective) {
            return true;
        }
        let unknown = |lane: usize| {
            let lane = &state.lanes[lane];
            let clock = if proxied { &lane.proxied } else { &lane.known };
            let missing = match clock.warp(earlier.warp) {
                None => earlier.lanes,
                Some(times) => {
                    let late = |l: &usize| times[*l] < earlier.time;
                    lanes(earlier.lanes).filter(late).fold(0, |m, l| m | 1 << l)
                }
            };
            if earlier.collective && missing != earlier.lanes { 0 } else { missing }
        };
        if state.uniform {
            let missing = unknown(mask.trailing_zeros() as usize);
            return missing == 0 || own && lanes(mask).all(|lane| missing & !(1 << lane) == 0);
        }
        lanes(mask).all(|lane| unknown(lane) & !(own as u32 * (1 << lane)) == 0)
    }

    /// The lanes in `mask` of `warp` order themselves with others.
    pub fn event(&mut self, place: (usize, usize), warp: u32, mask: u32, event: Event) {
        match event {
            Event::Meet(Object::Warp) => {
                let key = (usize::MAX, 0, Object::Warp);
                self.arrive(key, warp, mask);
                self.wait(key, warp, mask);
                self.objects.remove(&key);
            }
            Event::Meet(object) => {
                self.arrive(key(place, object), warp, mask);
                self.wait(key(place, object), warp, mask);
            }
            Event::Arrive(object) => {
                self.forget(place, object);
                self.arrive(key(place, object), warp, mask);
            }
            Event::Wait(object) => self.wait(key(place, object), warp, mask),
            Event::Fence(_) => {
                self.acquire(warp, mask);
                let state = &mut self.warps[warp as usize];
                for lane in lanes(mask) {
                    let lane = &mut state.lanes[lane];
                    lane.fenced = Some((lane.known.clone(), state.time));
                }
                state.time += 1;
            }
            Event::ProxyFence => {
                let state = &mut self.warps[warp as usize];
                let mut last: Option<(Rc<Clock>, Rc<Clock>)> = None;
                for at in lanes(mask) {
                    let lane = &mut state.lanes[at];
                    let base = match &last {
                        Some((from, to)) if Rc::ptr_eq(from, &lane.known) => to.clone(),
                        _ => joined(&lane.known, &lane.proxied),
                    };
                    last = Some((lane.known.clone(), base.clone()));
                    lane.proxied = base;
                }
                // Each lane's own accesses, too; that lanes that fence together see each other's is lenient.
                let mut shared: Vec<(Rc<Clock>, Rc<Clock>)> = Vec::new();
                for at in lanes(mask) {
                    let lane = &mut state.lanes[at];
                    let known = shared.iter().find(|(from, _)| Rc::ptr_eq(from, &lane.proxied));
                    let to = known.map(|(_, to)| to.clone()).unwrap_or_else(|| {
                        let mut clock = Clock::clone(&lane.proxied);
                        clock.learn(warp, mask, state.time);
                        let to = Rc::new(clock);
                        shared.push((lane.proxied.clone(), to.clone()));
                        to
                    });
                    lane.proxied = to;
                }
                state.time += 1;
            }
            Event::InitFence => {}
        }
    }

    /// Barriers passed four generations ago have nobody left to tell.
    fn forget(&mut self, place: (usize, usize), object: Object) {
        let old = match object {
            Object::Barrier(number, generation) => {
                generation.checked_sub(4).map(|g| Object::Barrier(number, g))
            }
            Object::Cluster(generation) => generation.checked_sub(4).map(Object::Cluster),
            Object::Mbarrier(rank, offset, phase) => {
                phase.checked_sub(4).map(|p| Object::Mbarrier(rank, offset, p))
            }
            Object::Warp => None,
        };
        if let Some(old) = old {
            self.objects.remove(&key(place, old));
        }
    }

    fn arrive(&mut self, key: Key, warp: u32, mask: u32) {
        self.acquire(warp, mask);
        let state = &mut self.warps[warp as usize];
        let gathered = self.objects.entry(key).or_default();
        let known = Rc::make_mut(&mut gathered.known);
        let mut last: Option<&Rc<Clock>> = None;
        for at in lanes(mask) {
            let lane = &state.lanes[at];
            if last.is_none_or(|last| !Rc::ptr_eq(last, &lane.known)) {
                known.join(&lane.known);
            }
            last = Some(&lane.known);
        }
        known.learn(warp, mask, state.time);
        let mut last: Option<&Rc<Clock>> = None;
        for at in lanes(mask) {
            let lane = &state.lanes[at];
            if last.is_none_or(|last| !Rc::ptr_eq(last, &lane.proxied)) {
                Rc::make_mut(&mut gathered.proxied).join(&lane.proxied);
            }
            last = Some(&lane.proxied);
        }
        state.time += 1;
    }

    fn wait(&mut self, key: Key, warp: u32, mask: u32) {
        let Some(gathered) = self.objects.get(&key) else { return };
        let state = &mut self.warps[warp as usize];
        // Who meets or waits at a barrier of its block has arrived there: it knows nothing that the barrier does not.
        let whole = matches!(key.2, Object::Barrier(..) | Object::Warp);
        for at in lanes(mask) {
            let lane = &mut state.lanes[at];
            lane.pending = None;
            if whole {
                lane.known = gathered.known.clone();
                lane.proxied = gathered.proxied.clone();
            } else {
                lane.known = joined(&lane.known, &gathered.known);
                lane.proxied = joined(&lane.proxied, &gathered.proxied);
            }
        }
        state.uniform = mask == !0 && whole || same(&state.lanes);
    }

    /// What strong reads brought counts from here on.
    fn acquire(&mut self, warp: u32, mask: u32) {
        let state = &mut self.warps[warp as usize];
        let mut changed = false;
        for at in lanes(mask) {
            let lane = &mut state.lanes[at];
            if let Some(pending) = lane.pending.take() {
                lane.known = joined(&lane.known, &pending);
                changed = true;
            }
        }
        if changed {
            state.uniform = same(&state.lanes);
        }
    }

    /// A strong access of one lane to a word: what fences before it covered goes along, what others left there comes in.
    pub fn strong(
        &mut self,
        warp: u32,
        lane: usize,
        word: (u64, u64),
        order: Order,
        reads: bool,
        writes: bool,
    ) {
        if reads && let Some(left) = self.words.get(&word) {
            let left = left.clone();
            let state = &mut self.warps[warp as usize].lanes[lane];
            state.pending = Some(match &state.pending {
                Some(pending) => joined(pending, &left),
                None => left,
            });
            if matches!(order, Order::Acquire | Order::AcquireRelease) {
                self.acquire(warp, 1 << lane);
            }
        }
        let state = &mut self.warps[warp as usize];
        let release = matches!(order, Order::Release | Order::AcquireRelease);
        let passed = match &state.lanes[lane].fenced {
            _ if release => Some((state.lanes[lane].known.clone(), state.time)),
            fenced => fenced.clone(),
        };
        if writes && let Some((known, time)) = passed {
            let left = self.words.entry(word).or_default();
            let left = Rc::make_mut(left);
            left.join(&known);
            left.learn(warp, 1 << lane, time);
            state.time += release as u32;
        }
    }
}

fn key(place: (usize, usize), object: Object) -> Key {
    match object {
        Object::Barrier(..) => (place.0, place.1, object),
        _ => (place.0, 0, object),
    }
}

fn same(lanes: &[Lane; 32]) -> bool {
    lanes.iter().all(|lane| {
        Rc::ptr_eq(&lane.known, &lanes[0].known) && Rc::ptr_eq(&lane.proxied, &lanes[0].proxied)
    })
}

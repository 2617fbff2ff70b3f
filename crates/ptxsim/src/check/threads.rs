//! What each thread knows of the others, and how it learns it.
//!
//! A warp has one time, which grows when any of its lanes lets others know what it did; a lane has a clock of its own, and
//! lanes that learned the same share one. Barriers of a block, of the cluster, `bar.warp.sync` and mbarriers order memory.
//! Shuffles, votes, `match`, `redux` and `elect` do not: the PTX ISA promises order of memory only for the barriers.

use std::collections::HashMap;
use std::rc::Rc;

use super::clock::{Clock, Party, Times, joined};
use super::epoch::Epoch;
use super::work::{Acting, Deed, Issued, Known, Own, Sight, ordered};
use super::{Event, Object};
use crate::exec::{AccessKind, Order, Request, Scope, lanes};

/// What a lane knows.
#[derive(Debug, Clone, Default)]
struct Lane {
    /// Of all threads.
    known: Rc<Clock>,
    /// Of what generic accesses the asynchronous proxy sees.
    proxied: Rc<Clock>,
    /// What it knew and had done at its last fence, and at its last fence that reaches other blocks: strong writes after it
    /// pass that on.
    fenced: [Option<(Rc<Clock>, Own)>; 2],
    /// What it knew at its last `fence.mbarrier_init`: arrivals after it pass on what that says of mbarriers.
    shown: Option<Rc<Clock>>,
    /// What strong reads brought that count from the next fence or barrier on.
    pending: Option<Rc<Clock>>,
}

/// A warp.
#[derive(Debug, Clone)]
struct Thirty2 {
    lanes: [Lane; 32],
    own: Own,
    /// Whether all lanes share [`Lane::known`], and [`Lane::proxied`].
    uniform: [bool; 2],
}

impl Thirty2 {
    fn compare(&mut self) {
        let [first, rest @ ..] = &self.lanes;
        self.uniform = [
            rest.iter().all(|lane| Rc::ptr_eq(&lane.known, &first.known)),
            rest.iter().all(|lane| Rc::ptr_eq(&lane.proxied, &first.proxied)),
        ];
    }
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
    /// What strong writes left at words of memory, by region and word, and for whom: a block by number, or all.
    words: HashMap<(u64, u64, Option<u32>), Rc<Clock>>,
    /// Number of the latest work that was started.
    latest: u32,
}

impl Threads {
    /// A block's warp begins.
    pub fn start(&mut self, warp: u32) {
        // All lanes share one clock, of nobody.
        let nobody = Rc::<Clock>::default();
        let lane = Lane { known: nobody.clone(), proxied: nobody, ..Lane::default() };
        let fresh = |time: u32| Thirty2 {
            lanes: std::array::from_fn(|_| lane.clone()),
            own: Own { warp, time, start: time, began: self.latest, waited: None },
            uniform: [true; 2],
        };
        for _ in self.warps.len()..=warp as usize {
            self.warps.push(fresh(0));
        }
        let time = self.warps[warp as usize].own.time + 1;
        self.warps[warp as usize] = fresh(time);
    }

    /// A cluster has ended: its barriers are gone.
    pub fn end(&mut self, cluster: usize) {
        self.objects.retain(|key, _| key.0 != cluster);
    }

    /// An mbarrier begins a new life.
    pub fn renew(&mut self, cluster: usize, rank: usize, offset: u32) {
        let old =
            |o: &Object| matches!(o, Object::Mbarrier(r, at, _) if (*r, *at) == (rank, offset));
        self.objects.retain(|key, _| key.0 != cluster || !old(&key.2));
    }

    /// The warp's time.
    pub fn time(&self, warp: u32) -> u32 {
        self.warps[warp as usize].own.time
    }

    /// Whether `earlier` happened before what `mask` of `warp` does now; with `proxied`, and the asynchronous proxy sees it.
    #[inline]
    pub fn ordered(&self, warp: u32, mask: u32, earlier: &Epoch, proxied: bool) -> bool {
        let state = &self.warps[warp as usize];
        ordered(&state.own, state.uniform[proxied as usize], mask, earlier, proxied, |lane| {
            let lane = &state.lanes[lane];
            if proxied { &lane.proxied } else { &lane.known }
        })
    }

    /// What the lanes of `warp` see of others.
    pub fn sight(&self, warp: u32) -> Sight<'_> {
        let Thirty2 { lanes: [lane, ..], own, uniform } = &self.warps[warp as usize];
        let clocks = [uniform[0].then_some(&*lane.known), uniform[1].then_some(&*lane.proxied)];
        Sight { own, clocks }
    }

    /// The lanes in `mask` start the work with this number.
    pub fn issue(&mut self, warp: u32, mask: u32, number: u32) -> Box<Issued> {
        self.latest = number;
        self.acquire(warp, mask);
        let state = &mut self.warps[warp as usize];
        let both = |lane: &Lane| (lane.known.clone(), lane.proxied.clone());
        let known = if state.uniform == [true; 2] || mask.is_power_of_two() {
            let (known, proxied) = both(&state.lanes[mask.trailing_zeros() as usize]);
            Known::Same(known, proxied)
        } else {
            Known::Each(Box::new(std::array::from_fn(|lane| both(&state.lanes[lane]))))
        };
        let issued = Issued { number, own: state.own.clone(), known };
        state.own.time += 1;
        Box::new(issued)
    }

    /// The lanes in `mask` have waited for work of theirs, each for that with this number and all of the party before.
    pub fn waited(&mut self, warp: u32, party: Party, mask: u32, until: &Times) {
        let waited = self.warps[warp as usize].own.waited.get_or_insert_default();
        let times = &mut Rc::make_mut(waited)[party as usize - 1];
        lanes(mask).for_each(|lane| times[lane] = times[lane].max(until[lane]));
    }

    /// Lanes in `mask` have initialized an mbarrier.
    pub fn initialized(&mut self, warp: u32, mask: u32, mbarrier: u32, time: u32) {
        let state = &mut self.warps[warp as usize];
        for lane in lanes(mask) {
            Rc::make_mut(&mut state.lanes[lane].known).learn_phase(mbarrier, time);
        }
        state.compare();
    }

    /// What all threads of some warps know and have done.
    pub fn all(&self, warps: std::ops::Range<u32>) -> Clock {
        let mut clock = Clock::default();
        for state in &self.warps[warps.start as usize..warps.end as usize] {
            for (at, lane) in state.lanes.iter().enumerate() {
                if at == 0 || !Rc::ptr_eq(&lane.known, &state.lanes[0].known) {
                    clock.join(&lane.known);
                }
            }
            state.own.tell(!0, &mut clock);
        }
        clock
    }

    /// Work that ends tells `object`.
    pub fn complete(&mut self, place: (usize, usize), acting: &Acting, mask: u32, object: Object) {
        self.forget(place, object);
        let issued = &acting.issued;
        let gathered = self.objects.entry(key(place, object)).or_default();
        let (known, proxied) =
            (Rc::make_mut(&mut gathered.known), Rc::make_mut(&mut gathered.proxied));
        let first = mask.trailing_zeros() as usize;
        for lane in lanes(mask) {
            if lane == first || matches!(issued.known, Known::Each(_)) {
                known.join(issued.known(lane));
                proxied.join(issued.proxied(lane));
            }
        }
        issued.own.tell(mask, known);
        match acting.deed {
            Deed::Copy => {
                known.learn_each(Party::Copies, issued.own.warp, mask, &[issued.number; 32])
            }
            Deed::Store | Deed::Product => {}
            Deed::Delivery(mbarrier, time) => known.learn_phase(mbarrier, time),
        }
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
            Event::Fence(scope) => {
                self.acquire(warp, mask);
                let state = &mut self.warps[warp as usize];
                for lane in lanes(mask) {
                    let lane = &mut state.lanes[lane];
                    lane.fenced[0] = Some((lane.known.clone(), state.own.clone()));
                    if scope != Scope::Block {
                        lane.fenced[1] = lane.fenced[0].clone();
                    }
                }
                state.own.time += 1;
            }
            Event::See(_) => {}
            Event::ProxyFence => self.proxy_fence(warp, mask),
            Event::InitFence => {
                for lane in lanes(mask) {
                    let lane = &mut self.warps[warp as usize].lanes[lane];
                    lane.shown = Some(lane.known.clone());
                }
            }
            Event::ArriveRelaxed(object) => {
                self.forget(place, object);
                let state = &self.warps[warp as usize];
                let gathered = self.objects.entry(key(place, object)).or_default();
                for shown in lanes(mask).filter_map(|lane| state.lanes[lane].shown.as_ref()) {
                    Rc::make_mut(&mut gathered.known).join_phases(shown);
                }
            }
        }
    }

    fn proxy_fence(&mut self, warp: u32, mask: u32) {
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
                state.own.tell(mask, &mut clock);
                let to = Rc::new(clock);
                shared.push((lane.proxied.clone(), to.clone()));
                to
            });
            lane.proxied = to;
        }
        state.own.time += 1;
        state.compare();
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
        state.own.tell(mask, known);
        let mut last: Option<&Rc<Clock>> = None;
        for at in lanes(mask) {
            let lane = &state.lanes[at];
            if last.is_none_or(|last| !Rc::ptr_eq(last, &lane.proxied)) {
                Rc::make_mut(&mut gathered.proxied).join(&lane.proxied);
            }
            last = Some(&lane.proxied);
        }
        state.own.time += 1;
    }

    fn wait(&mut self, key: Key, warp: u32, mask: u32) {
        let Some(gathered) = self.objects.get(&key) else { return };
        let state = &mut self.warps[warp as usize];
        lanes(mask).for_each(|lane| state.lanes[lane].pending = None);
        // Who meets or waits at a barrier of its block has arrived there: it knows nothing that the barrier does not.
        if matches!(key.2, Object::Barrier(..) | Object::Warp) {
            for lane in lanes(mask) {
                let lane = &mut state.lanes[lane];
                lane.known = gathered.known.clone();
                lane.proxied = gathered.proxied.clone();
            }
        } else {
            learn(&mut state.lanes, mask, |lane| &mut lane.known, &gathered.known);
            learn(&mut state.lanes, mask, |lane| &mut lane.proxied, &gathered.proxied);
        }
        state.compare();
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
            state.compare();
        }
    }

    /// A strong access of one lane to a word: what fences before it covered goes along, what others left there comes in.
    /// `block` is the number of its block.
    pub fn strong(
        &mut self,
        (warp, lane, block): (u32, usize, u32),
        (region, word): (u64, u64),
        request: &Request,
    ) {
        let (order, kind) = (request.order, request.kind);
        let acquire = matches!(order, Order::Acquire | Order::AcquireRelease);
        for reach in [None, Some(block)] {
            if kind == AccessKind::Write {
                break;
            }
            let Some(left) = self.words.get(&(region, word, reach)) else { continue };
            let pending = &mut self.warps[warp as usize].lanes[lane].pending;
            *pending = Some(match &pending {
                Some(pending) => joined(pending, left),
                None => left.clone(),
            });
        }
        if acquire {
            self.acquire(warp, 1 << lane);
        }
        if !kind.writes() {
            return;
        }
        let state = &mut self.warps[warp as usize];
        let release = matches!(order, Order::Release | Order::AcquireRelease);
        let now = release.then(|| (state.lanes[lane].known.clone(), state.own.clone()));
        let far = now.clone().filter(|_| request.scope != Scope::Block);
        let fenced = &state.lanes[lane].fenced;
        for (reach, passed) in [
            (Some(block), now.or_else(|| fenced[0].clone())),
            (None, far.or_else(|| fenced[1].clone())),
        ] {
            let Some((known, own)) = passed else { continue };
            let left = Rc::make_mut(self.words.entry((region, word, reach)).or_default());
            left.join(&known);
            own.tell(1 << lane, left);
        }
        state.own.time += release as u32;
    }
}

fn key(place: (usize, usize), object: Object) -> Key {
    match object {
        Object::Barrier(..) => (place.0, place.1, object),
        _ => (place.0, 0, object),
    }
}

/// The lanes in `mask` learn what `from` knows; those that knew the same go on to share one clock.
fn learn(
    all: &mut [Lane; 32],
    mask: u32,
    part: impl Fn(&mut Lane) -> &mut Rc<Clock>,
    from: &Rc<Clock>,
) {
    let mut last: Option<(Rc<Clock>, Rc<Clock>)> = None;
    for lane in lanes(mask) {
        let clock = part(&mut all[lane]);
        let to = match &last {
            Some((before, after)) if Rc::ptr_eq(before, clock) => after.clone(),
            _ => joined(clock, from),
        };
        last = Some((std::mem::replace(clock, to.clone()), to));
    }
}

//! The scheduler: which warp runs, which of its groups, for how long; when asynchronous work ends.
//!
//! Within a warp the group in the deepest call, and of those the one at the lowest program counter, runs first: that
//! is where others will come by, so groups reconverge. So that none starves, as independent thread scheduling
//! promises, now and then another group that can go on runs for a while, each in turn. What a warp does by itself does
//! not depend on the seed, so that counters do not either.

use super::{Cluster, Context, Flow, Group, Machine, Pending, Place, Wait, Warp};
use crate::error::{Fault, Finding, Kind};
use crate::family;
use crate::program::PSource;

/// Instructions that a warp executes before others run, where no seed says otherwise.
const QUANTUM: u32 = 4000;
/// Instructions that a divergent warp executes before another group gets a burst.
const PATIENCE: u32 = 1000;
/// Instructions of such a burst.
const BURST: u32 = 256;

/// What running a warp for a while came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// Nothing could go on.
    Nothing,
    /// It went on, and then had to wait, or ended.
    Some,
    /// It used all its time, or gave it up: it may be spinning.
    All,
}

impl Machine<'_> {
    /// Runs the resident clusters to their end; `next` gives the clusters that take their places.
    pub(super) fn run(
        &mut self,
        mut next: impl FnMut() -> Option<u64>,
    ) -> Result<(), Box<Finding>> {
        let mut order = self.order();
        loop {
            if self.options.seed != 0 {
                for k in (1..order.len()).rev() {
                    order.swap(k, self.random.below(k as u64 + 1) as usize);
                }
            }
            let (mut did, mut spins, mut ended) = (false, false, false);
            for place in &order {
                let Cluster { running: 1.., .. } = &self.clusters[place.cluster] else { continue };
                let before = self.clusters[place.cluster].running;
                let ran = self.run_warp(*place)?;
                did |= ran != Ran::Nothing;
                spins |= ran == Ran::All;
                if !self.options.late {
                    did |= self.complete_some()?;
                }
                if before > 0 && self.clusters[place.cluster].running == 0 {
                    ended = true;
                    self.end(place.cluster)?;
                }
            }
            if ended {
                while self.clusters.iter().any(|c| c.running == 0)
                    && let Some(index) = next()
                {
                    self.start(index);
                }
                order = self.order();
                if order.is_empty() {
                    return Ok(());
                }
            }
            if self.executed > self.options.budget.saturating_mul(self.clusters.len() as u64) {
                let message =
                    format!("{} warp instructions executed: an endless loop?", self.executed);
                let (place, lanes) = self.somebody(&order).unwrap_or((order[0], 0));
                return Err(self.blame(place, Fault::new(Kind::Budget, message).lanes(lanes)));
            }
            if (!did || spins) && !self.pending.is_empty() {
                let at = self.random.below(self.pending.len() as u64) as usize;
                self.complete_pending(at)?;
            } else if !did {
                return Err(self.deadlock(&order));
            }
        }
    }

    fn order(&self) -> Vec<Place> {
        let mut order = Vec::new();
        for (cluster, c) in self.clusters.iter().enumerate().filter(|(_, c)| c.running > 0) {
            for (block, b) in c.blocks.iter().enumerate() {
                order.extend((0..b.warps.len()).map(|warp| Place { cluster, block, warp, pc: 0 }));
            }
        }
        order
    }

    /// Ends posted work by chance; whether it did, for somebody may have waited for it.
    fn complete_some(&mut self) -> Result<bool, Box<Finding>> {
        let before = self.pending.len();
        while !self.pending.is_empty() && self.random.below(4) == 0 {
            let at = self.random.below(self.pending.len() as u64) as usize;
            self.complete_pending(at)?;
        }
        Ok(self.pending.len() < before)
    }

    fn complete_pending(&mut self, at: usize) -> Result<(), Box<Finding>> {
        let place = self.pending[at].place;
        self.complete_at(at).map_err(|fault| self.blame(place, fault))
    }

    fn end(&mut self, cluster: usize) -> Result<(), Box<Finding>> {
        for (place, lanes) in self.check.unseen(cluster) {
            let message = "this has told its mbarrier of its end, and nobody waited for that";
            self.report(place, Kind::Abandoned, lanes, message.into());
        }
        while let Some(at) = self.pending.iter().position(|p| p.place.cluster == cluster) {
            let Pending { place, lanes, work, .. } = &self.pending[at];
            if work.is_counted() {
                let message =
                    "the block ended while this was in flight: nobody waited for its mbarrier";
                self.report(*place, Kind::Abandoned, *lanes, message.into());
            }
            self.complete_pending(at)?;
        }
        family::end(self, cluster).map_err(|(place, fault)| self.blame(place, fault))?;
        self.check.end(cluster, &self.clusters[cluster]);
        Ok(())
    }

    pub(super) fn blame(&self, place: Place, fault: Fault) -> Box<Finding> {
        Box::new(self.finding(place, fault))
    }

    fn run_warp(&mut self, mut place: Place) -> Result<Ran, Box<Finding>> {
        let Place { cluster, block, warp, .. } = place;
        let slot = &mut self.clusters[cluster].blocks[block].warps[warp];
        if slot.as_ref().is_none_or(|w| w.groups.is_empty()) {
            return Ok(Ran::Nothing);
        }
        let mut taken = slot.take().expect("it is there: checked above");
        let quantum =
            if self.options.seed == 0 { QUANTUM } else { 1 + self.random.below(2000) as u32 };
        let ran = self.drive(&mut taken, &mut place, quantum);
        let ended = taken.groups.is_empty();
        self.clusters[cluster].blocks[block].warps[warp] = Some(taken);
        if ended {
            self.clusters[cluster].running -= 1;
            self.clusters[cluster].blocks[block].running -= 1;
            if self.clusters[cluster].blocks[block].running == 0 {
                self.leave(place);
            }
        }
        ran.map_err(|(lanes, fault)| {
            let lanes = if fault.lanes == 0 { lanes } else { fault.lanes };
            self.blame(place, Fault { lanes, ..fault })
        })
    }

    /// Runs the groups of a warp for at most `left` instructions; a fault comes with the lanes that executed. Compiled for the
    /// vector units that the host has.
    fn drive(
        &mut self,
        warp: &mut Warp,
        place: &mut Place,
        left: u32,
    ) -> Result<Ran, (u32, Fault)> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: it needs AVX2 and FMA, which the host has: asked for in the line above.
            return unsafe { self.drive_wide(warp, place, left) };
        }
        self.drive_any(warp, place, left)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn drive_wide(
        &mut self,
        warp: &mut Warp,
        place: &mut Place,
        left: u32,
    ) -> Result<Ran, (u32, Fault)> {
        self.drive_any(warp, place, left)
    }

    #[inline(always)]
    fn drive_any(
        &mut self,
        warp: &mut Warp,
        place: &mut Place,
        mut left: u32,
    ) -> Result<Ran, (u32, Fault)> {
        let program = self.program;
        let checked = self.check.is_on();
        let mut ran = Ran::Nothing;
        'pick: while left > 0 {
            if warp.groups.len() > 1 {
                merge(warp);
            }
            let Some((at, burst)) = self.choose(warp, *place) else { return Ok(ran) };
            let mut group = warp.groups.remove(at);
            if group.wait.take().is_some() && group.then {
                group.pc += 1;
            }
            group.then = false;
            let before = warp.groups.len();
            let others = before > 0;
            let limit = warp
                .groups
                .iter()
                .map(|g| g.pc)
                .filter(|pc| *pc > group.pc)
                .min()
                .unwrap_or(u32::MAX);
            let mut burst = if burst { BURST } else { 0 };
            warp.frame = group.frame;
            ran = Ran::Some;
            loop {
                let instruction = &program.code[group.pc as usize];
                place.pc = group.pc;
                let mask = match instruction.guard {
                    None => group.lanes,
                    Some(guard) => guarded(warp, guard, group.lanes),
                };
                left = left.saturating_sub(1);
                self.executed += 1;
                self.count.instruction(group.pc, mask);
                if checked {
                    let guard = instruction.guard;
                    let undefined = self.check.instruction(*place, guard, group.lanes, mask);
                    if undefined != 0 {
                        let message = "it uses a register that was never written";
                        self.report(*place, Kind::UninitializedRegister, undefined, message.into());
                    }
                }
                let flow = if mask == 0 {
                    Flow::Next
                } else {
                    let mut context =
                        Context { warp: &mut *warp, machine: &mut *self, place: *place };
                    if instruction.watched {
                        family::wgmma::touch(&mut context, mask).map_err(|f| (mask, f))?;
                    }
                    family::execute(&instruction.op, &mut context, mask).map_err(|f| (mask, f))?
                };
                let mut again = false;
                if flow == Flow::Next {
                    group.pc += 1;
                    again = group.pc == limit;
                } else {
                    let rest = Group { pc: group.pc + 1, lanes: group.lanes & !mask, ..group };
                    if rest.lanes != 0 {
                        warp.groups.push(rest);
                        again = true;
                    }
                    if apart(&warp.groups[before..], flow) {
                        self.count.diverged(group.pc);
                    }
                    group.lanes = mask;
                    match flow {
                        Flow::Next => {}
                        Flow::Jump(target) => {
                            group.pc = target;
                            again |= others
                                && (burst == 0 || warp.groups.iter().any(|g| g.pc == target));
                        }
                        Flow::Yield => {
                            group.pc += 1;
                            warp.groups.push(group);
                            return Ok(Ran::All);
                        }
                        Flow::Wait(wait) | Flow::WaitThen(wait) => {
                            let then = matches!(flow, Flow::WaitThen(_));
                            if !then {
                                self.count.again(group.pc, mask);
                            }
                            warp.groups.push(Group { wait: Some(wait), then, ..group });
                            continue 'pick;
                        }
                        Flow::Exit => {
                            warp.alive &= !mask;
                            self.progress += 1;
                            let mut context =
                                Context { warp: &mut *warp, machine: &mut *self, place: *place };
                            family::exited(&mut context, mask).map_err(|f| (mask, f))?;
                            continue 'pick;
                        }
                        Flow::Regrouped => continue 'pick,
                    }
                }
                if others {
                    warp.divergent += 1;
                    if burst > 0 {
                        burst -= 1;
                        again |= burst == 0;
                    } else {
                        again |= warp.divergent > PATIENCE;
                    }
                }
                // Where the turn ends is a matter of the seed, where a burst ends must not be.
                if again || left == 0 && burst == 0 {
                    warp.groups.push(group);
                    continue 'pick;
                }
            }
        }
        Ok(Ran::All)
    }

    /// The group of a warp that runs next, and whether it is one that would starve otherwise.
    fn choose(&mut self, warp: &mut Warp, place: Place) -> Option<(usize, bool)> {
        if warp.groups.len() == 1 {
            let group = warp.groups[0];
            let ready = group.wait.is_none_or(|wait| self.ready(warp, place, &group, wait));
            return ready.then_some((0, false));
        }
        let mut first = None;
        let mut ready = Vec::new();
        for at in 0..warp.groups.len() {
            let group = warp.groups[at];
            if group.wait.is_none_or(|wait| self.ready(warp, place, &group, wait)) {
                first = first.or(Some(at));
                if warp.divergent <= PATIENCE {
                    break;
                }
                ready.push(at);
            }
        }
        let starving = warp.divergent > PATIENCE && ready.len() > 1;
        if starving {
            first = Some(ready[warp.turns as usize % ready.len()]);
            warp.turns = warp.turns.wrapping_add(1);
        }
        if warp.divergent > PATIENCE {
            warp.divergent = 0;
        }
        first.map(|at| (at, starving))
    }

    fn ready(&mut self, warp: &mut Warp, place: Place, group: &Group, wait: Wait) -> bool {
        match wait {
            Wait::Converge(lanes) => lanes & warp.alive & !group.lanes == 0,
            Wait::Meet(mask) => self.meet(warp, place, group, mask),
            wait => {
                let place = Place { pc: group.pc, ..place };
                let mut context = Context { warp, machine: self, place };
                family::ready(&wait, &mut context, group.lanes)
            }
        }
    }

    /// Whether all lanes of `mask` wait to meet as `group` does; those that came to other instructions than its own then do
    /// together what they came for, and all of them go on.
    fn meet(&mut self, warp: &mut Warp, place: Place, group: &Group, mask: u32) -> bool {
        let program = self.program;
        let text = &program.info[group.pc as usize].text;
        let alike = |g: &Group| {
            g.wait == Some(Wait::Meet(mask)) && program.info[g.pc as usize].text == *text
        };
        let come = warp.groups.iter().filter(|g| alike(g)).fold(0, |m, g| m | g.lanes);
        if mask & warp.alive & !come != 0 {
            return false;
        }
        if come == group.lanes {
            // It executes its instruction once more, with all of them.
            return true;
        }
        let sites = warp.groups.iter().filter(|g| alike(g)).map(|g| (g.pc, g.lanes));
        let sites: Vec<(u32, u32)> = sites.collect();
        let place = Place { pc: group.pc, ..place };
        family::meet(&mut Context { warp, machine: self, place }, &sites);
        for group in warp.groups.iter_mut().filter(|g| alike(g)) {
            self.executed += 1;
            self.count.instruction(group.pc, group.lanes);
            (group.wait, group.pc) = (None, group.pc + 1);
        }
        self.progress += 1;
        true
    }
}

#[inline(always)]
fn guarded(warp: &Warp, guard: PSource, lanes: u32) -> u32 {
    warp.registers.predicate(guard) & lanes
}

/// Whether a group came apart: `left` are the groups that its instruction made of it, beside the one that goes on.
fn apart(left: &[Group], flow: Flow) -> bool {
    match (flow, left) {
        (Flow::Regrouped, [first, rest @ ..]) => {
            rest.iter().any(|g| (g.pc, g.frame) != (first.pc, first.frame))
        }
        (Flow::Regrouped, []) => false,
        _ => !left.is_empty(),
    }
}

/// Sorts groups by depth of call, deepest first, then by program counter, and joins those that are at the same place
/// and wait for the same.
fn merge(warp: &mut Warp) {
    let frames = &warp.frames;
    warp.groups.sort_by_key(|g| (u32::MAX - frames[g.frame as usize].depth, g.pc, g.frame));
    warp.groups.dedup_by(|later, earlier| {
        let same = later.pc == earlier.pc
            && later.frame == earlier.frame
            && later.wait == earlier.wait
            && later.then == earlier.then;
        if same {
            earlier.lanes |= later.lanes;
        }
        same
    });
}

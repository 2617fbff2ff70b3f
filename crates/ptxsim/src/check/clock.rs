//! Vector clocks of threads and of what works for them, kept warp by warp so that copies share what did not change.

use std::rc::Rc;

use super::epoch::Epoch;

/// Times of the 32 lanes of a warp.
pub(super) type Times = [u32; 32];

/// What is known of a party of a warp.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    times: Times,
    /// The least and the most of them: they answer nearly every question.
    least: u32,
    most: u32,
}

impl Row {
    /// Takes over the later times.
    fn raise(&mut self, lanes: u32, until: &Times) {
        for lane in 0..32 {
            let time = if lanes >> lane & 1 == 1 { until[lane] } else { 0 };
            self.times[lane] = self.times[lane].max(time);
        }
        self.least = self.times.iter().copied().fold(u32::MAX, u32::min);
        self.most = self.times.iter().copied().fold(0, u32::max);
    }

    /// The lanes of an access that are not known to have made it.
    #[inline]
    fn missing(&self, earlier: &Epoch) -> u32 {
        if self.least >= earlier.time {
            return 0;
        }
        if self.most < earlier.time {
            return earlier.lanes;
        }
        let late = (0..32).fold(0, |m, k| m | ((self.times[k] < earlier.time) as u32) << k);
        late & earlier.lanes
    }
}

/// Who does something: the threads of a warp, or what they have started and what goes on without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Party {
    /// Threads; the time is that of their warp.
    #[default]
    Threads,
    /// Their `cp.async`; the time is the number of the work.
    Copies,
    /// Reads of their bulk stores.
    Reads,
    /// Writes of their bulk stores.
    Writes,
    /// Reads of their `wgmma`; the time is the number of the product.
    Products,
    /// What an mbarrier tells the end of; the time counts its phases, its initialization first.
    Phases,
}

/// Parties that have a time for each lane of a warp.
pub(super) const OF_WARPS: usize = Party::Phases as usize;

/// What is known of every party: all that it did up to a time. Warps are numbered by where they are resident.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    warps: [Vec<Option<Rc<Row>>>; OF_WARPS],
    /// By number of the mbarrier.
    phases: Vec<u32>,
}

impl Clock {
    /// The lanes of an access that are not known to have made it.
    #[inline]
    pub fn missing(&self, earlier: &Epoch) -> u32 {
        if earlier.party == Party::Phases {
            let known =
                self.phases.get(earlier.mbarrier as usize).is_some_and(|t| *t >= earlier.time);
            return if known { 0 } else { earlier.lanes };
        }
        match self.warps[earlier.party as usize].get(earlier.warp as usize) {
            None | Some(None) => earlier.lanes,
            Some(Some(row)) => row.missing(earlier),
        }
    }

    /// Whether an access is known, whichever lanes made it; nothing where that depends on the lanes.
    #[inline(always)]
    pub fn knows(&self, earlier: &Epoch) -> Option<bool> {
        if earlier.party == Party::Phases {
            let time = self.phases.get(earlier.mbarrier as usize);
            return Some(time.is_some_and(|time| *time >= earlier.time));
        }
        match self.warps[earlier.party as usize].get(earlier.warp as usize) {
            Some(Some(row)) if row.least >= earlier.time => Some(true),
            Some(Some(row)) if row.most >= earlier.time => None,
            _ => Some(false),
        }
    }

    /// Learns all that `other` knows.
    pub fn join(&mut self, other: &Clock) {
        for (mine, theirs) in self.warps.iter_mut().zip(&other.warps) {
            join(mine, theirs);
        }
        self.join_phases(other);
    }

    /// Learns what `other` knows of mbarriers.
    pub fn join_phases(&mut self, other: &Clock) {
        if self.phases.len() < other.phases.len() {
            self.phases.resize(other.phases.len(), 0);
        }
        for (mine, theirs) in self.phases.iter_mut().zip(&other.phases) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Learns what `lanes` of a warp did up to `time`.
    pub fn learn(&mut self, warp: u32, lanes: u32, time: u32) {
        self.learn_each(Party::Threads, warp, lanes, &[time; 32]);
    }

    /// Learns what a party of `lanes` of a warp did, up to a time for each.
    pub fn learn_each(&mut self, party: Party, warp: u32, lanes: u32, until: &Times) {
        let (list, warp) = (&mut self.warps[party as usize], warp as usize);
        if list.len() <= warp {
            list.resize(warp + 1, None);
        }
        Rc::make_mut(list[warp].get_or_insert_default()).raise(lanes, until);
    }

    /// Learns that an mbarrier has come to `time`.
    pub fn learn_phase(&mut self, mbarrier: u32, time: u32) {
        let mbarrier = mbarrier as usize;
        if self.phases.len() <= mbarrier {
            self.phases.resize(mbarrier + 1, 0);
        }
        self.phases[mbarrier] = self.phases[mbarrier].max(time);
    }
}

fn join(mine: &mut Vec<Option<Rc<Row>>>, theirs: &[Option<Rc<Row>>]) {
    if mine.len() < theirs.len() {
        mine.resize(theirs.len(), None);
    }
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        match (&mut *mine, theirs) {
            (_, None) => {}
            (None, Some(row)) => *mine = Some(row.clone()),
            (Some(a), Some(b)) if Rc::ptr_eq(a, b) => {}
            (Some(a), Some(b)) => {
                let covers = |a: &Row, b: &Row| {
                    a.least >= b.most || a.times.iter().zip(&b.times).all(|(a, b)| a >= b)
                };
                if covers(b, a) {
                    *a = b.clone();
                } else if !covers(a, b) {
                    Rc::make_mut(a).raise(!0, &b.times);
                }
            }
        }
    }
}

/// `a` and `b` together, without a copy where one is the other.
pub(super) fn joined(a: &Rc<Clock>, b: &Rc<Clock>) -> Rc<Clock> {
    if Rc::ptr_eq(a, b) {
        return a.clone();
    }
    let mut clock = Clock::clone(a);
    clock.join(b);
    Rc::new(clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_keeps_the_later_time_of_every_lane() {
        let (mut a, mut b) = (Clock::default(), Clock::default());
        let by = |warp: u32, lanes: u32, time: u32| Epoch { warp, lanes, time, ..Epoch::default() };
        a.learn(1, 0b011, 5);
        b.learn(1, 0b110, 3);
        b.learn(4, 1, 9);
        a.join(&b);
        assert_eq!(a.missing(&by(1, 0b111, 3)), 0);
        assert_eq!(a.missing(&by(1, 0b111, 5)), 0b100);
        assert_eq!((a.missing(&by(4, 1, 9)), a.missing(&by(4, 1, 10))), (0, 1));
        assert_eq!((a.missing(&by(0, 3, 1)), a.missing(&by(7, 3, 1))), (3, 3));
        assert_eq!(b.missing(&by(1, 1, 1)), 1, "what b knows is its own");
    }

    #[test]
    fn parties_of_a_warp_have_times_of_their_own() {
        let mut clock = Clock::default();
        clock.learn_each(Party::Copies, 2, 0b11, &[7; 32]);
        clock.learn_phase(3, 4);
        let of = |party, warp, time| Epoch {
            party,
            warp,
            mbarrier: 3,
            lanes: 1,
            time,
            ..Epoch::default()
        };
        assert_eq!(clock.missing(&of(Party::Copies, 2, 7)), 0);
        assert_eq!(clock.missing(&of(Party::Threads, 2, 1)), 1);
        assert_eq!(clock.missing(&of(Party::Phases, 9, 4)), 0);
        assert_eq!(clock.missing(&of(Party::Phases, 9, 5)), 1);
    }
}

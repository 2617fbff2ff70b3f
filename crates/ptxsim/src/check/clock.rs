//! Vector clocks of threads, kept warp by warp so that copies share what did not change.

use std::rc::Rc;

/// Times of the 32 lanes of a warp.
pub(super) type Times = [u32; 32];

/// What is known of every thread: all that it did up to a time. Warps are numbered by where they are resident.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    warps: Vec<Option<Rc<Times>>>,
}

impl Clock {
    /// What is known of a warp's lanes; nothing is time 0.
    #[inline]
    pub fn warp(&self, warp: u32) -> Option<&Times> {
        self.warps.get(warp as usize)?.as_deref()
    }

    /// Learns all that `other` knows.
    pub fn join(&mut self, other: &Clock) {
        if self.warps.len() < other.warps.len() {
            self.warps.resize(other.warps.len(), None);
        }
        for (mine, theirs) in self.warps.iter_mut().zip(&other.warps) {
            match (&mut *mine, theirs) {
                (_, None) => {}
                (None, Some(times)) => *mine = Some(times.clone()),
                (Some(a), Some(b)) if Rc::ptr_eq(a, b) => {}
                (Some(a), Some(b)) => {
                    if a.iter().zip(b.iter()).any(|(a, b)| b > a) {
                        let times = Rc::make_mut(a);
                        (0..32).for_each(|lane| times[lane] = times[lane].max(b[lane]));
                    }
                }
            }
        }
    }

    /// Learns what `lanes` of a warp did up to `time`.
    pub fn learn(&mut self, warp: u32, lanes: u32, time: u32) {
        let warp = warp as usize;
        if self.warps.len() <= warp {
            self.warps.resize(warp + 1, None);
        }
        let times = Rc::make_mut(self.warps[warp].get_or_insert_default());
        for lane in crate::exec::lanes(lanes) {
            times[lane] = times[lane].max(time);
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
        a.learn(1, 0b011, 5);
        b.learn(1, 0b110, 3);
        b.learn(4, 1, 9);
        a.join(&b);
        assert_eq!(a.warp(1).unwrap()[..4], [5, 5, 3, 0]);
        assert_eq!(a.warp(4).unwrap()[0], 9);
        assert!(a.warp(0).is_none() && a.warp(7).is_none());
        assert!(b.warp(1).unwrap()[0] == 0, "what b knows is its own");
    }
}

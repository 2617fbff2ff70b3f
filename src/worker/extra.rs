//! Work that is done again on purpose, so that how much slower a kernel became is known.

use std::borrow::Cow;

use crate::error::Result;
use crate::kernels::{Counters, Prepared};
use crate::ops::Tensor;
use crate::units::Bytes;

/// Launches after which the share of repeated ones is exact.
pub const CYCLE: u64 = 100;

/// The least number of launches in which `percent` of a hundred are a whole number: 50 for 2 %, 1 for none.
pub fn granule(percent: u32) -> u64 {
    let (mut a, mut b) = (CYCLE, u64::from(percent));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    CYCLE / a
}

/// A kernel of which every hundred launches come to `100 + percent`, spread evenly: any [`granule`] launches in a row hold
/// the exact share, so that each sample of a multiple of it is slower by that share, and none by more.
///
/// A launch that is done again is the kernel's own code on its own buffers, which is why the share of instructions, and that
/// of time, is that of launches.
pub struct Repeating<'d> {
    inner: Box<dyn Prepared + 'd>,
    percent: u32,
    owed: u32,
    /// Launches of either kind: buffer sets rotate as they would for a kernel that does them all.
    launches: usize,
}

impl<'d> Repeating<'d> {
    /// `inner`, doing `percent` % more.
    pub fn new(inner: Box<dyn Prepared + 'd>, percent: u32) -> Self {
        Repeating { inner, percent, owed: 0, launches: 0 }
    }

    fn once(&mut self) -> Result<()> {
        self.launches += 1;
        self.inner.launch(self.launches - 1)
    }
}

impl Prepared for Repeating<'_> {
    fn launch(&mut self, _slot: usize) -> Result<()> {
        self.once()?;
        self.owed += self.percent;
        while u64::from(self.owed) >= CYCLE {
            self.owed -= CYCLE as u32;
            self.once()?;
        }
        Ok(())
    }

    fn slots(&self) -> usize {
        self.inner.slots()
    }

    fn reset(&mut self) -> Result<()> {
        self.inner.reset()
    }

    fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
        self.inner.outputs()
    }

    fn allocated(&self) -> Bytes {
        self.inner.allocated()
    }

    fn counters(&self) -> Option<Counters> {
        self.inner.counters()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A kernel that keeps the slots of its launches.
    struct Counting<'a>(&'a RefCell<Vec<usize>>);

    impl Prepared for Counting<'_> {
        fn launch(&mut self, slot: usize) -> Result<()> {
            self.0.borrow_mut().push(slot);
            Ok(())
        }
        fn slots(&self) -> usize {
            2
        }
        fn reset(&mut self) -> Result<()> {
            Ok(())
        }
        fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
            Ok(Cow::Borrowed(&[]))
        }
        fn allocated(&self) -> Bytes {
            Bytes(7)
        }
    }

    #[test]
    fn every_run_of_a_granule_of_launches_has_the_exact_share_wherever_it_begins() {
        for (percent, granule_of_it) in [(0, 1), (1, 100), (2, 50), (3, 100), (5, 20), (100, 1)] {
            assert_eq!(granule(percent), granule_of_it);
            let launches = RefCell::new(Vec::new());
            let mut kernel = Repeating::new(Box::new(Counting(&launches)), percent);
            (0..7).for_each(|_| kernel.launch(0).unwrap());
            for run in 0..5 {
                let before = launches.borrow().len();
                (0..granule_of_it).for_each(|_| kernel.launch(run).unwrap());
                let done = (launches.borrow().len() - before) as u64;
                assert_eq!(done, granule_of_it * (CYCLE + u64::from(percent)) / CYCLE);
            }
            let all: Vec<usize> = (0..launches.borrow().len()).collect();
            assert_eq!(*launches.borrow(), all, "buffer sets rotate");
        }
    }
}

//! The vectors of a launch, cut into parts that threads update without seeing each other's.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Pod;

use crate::kernels::Args;
use crate::ops::Tensor;

/// A stored parameter or gradient: f32, or the bits of a bf16.
pub trait Element: Pod + Send + Sync {
    /// As f32, exactly.
    fn widen(self) -> f32;
    /// Rounded to nearest, ties to even.
    fn narrow(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x
    }
}

impl Element for half::bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        half::bf16::from_f32(x)
    }
}

/// A mutable vector that several threads update at disjoint ranges; empty for a moment that the rule lacks.
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, cut into disjoint parts by the caller of `Vectors::part`.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as for `Sync`.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// All of `slice`.
    pub fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// The stretch `range`; nothing of an empty vector.
    ///
    /// # Safety
    /// Ranges of parts that live at the same time do not overlap.
    #[allow(clippy::mut_from_ref)] // what the promise is for
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        if self.len == 0 {
            return &mut [];
        }
        assert!(range.start <= range.end && range.end <= self.len, "a part within the vector");
        // SAFETY: within the vector, whose exclusive borrow outlasts `self`; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// The vectors of a launch, all of one length.
pub struct Vectors<'a, E> {
    grads: &'a [E],
    params: Shared<'a, E>,
    first: Shared<'a, f32>,
    second: Shared<'a, f32>,
}

/// A stretch of the vectors; moments that the rule lacks are empty.
pub struct Part<'a, E> {
    /// Gradients.
    pub grads: &'a [E],
    /// Parameters.
    pub params: &'a mut [E],
    /// First moment, momentum or accumulator.
    pub first: &'a mut [f32],
    /// Second moment.
    pub second: &'a mut [f32],
}

impl<'a, E: Element> Vectors<'a, E> {
    /// The vectors of `args`, in the order of [`crate::ops::Update::operands`].
    pub fn new(args: &'a mut Args<'_>) -> Self {
        let grads = args.read[0].as_ref::<E>();
        let mut written = args.written.iter_mut();
        let params = Shared::new(written.next().expect("an update has parameters").as_mut::<E>());
        let mut moment = || Shared::new(written.next().map_or(&mut [], Tensor::as_mut::<f32>));
        let (first, second) = (moment(), moment());
        assert_eq!(params.len, grads.len(), "as many gradients as parameters");
        for moment in [&first, &second] {
            assert!(moment.len == 0 || moment.len == grads.len(), "a moment for each parameter");
        }
        Vectors { grads, params, first, second }
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.grads.len()
    }

    /// The stretch `range`.
    ///
    /// # Safety
    /// Ranges of parts that live at the same time do not overlap.
    pub unsafe fn part(&self, range: Range<usize>) -> Part<'_, E> {
        // SAFETY: the caller's promise is that of each vector.
        unsafe {
            Part {
                grads: &self.grads[range.clone()],
                params: self.params.part(range.clone()),
                first: self.first.part(range.clone()),
                second: self.second.part(range),
            }
        }
    }
}

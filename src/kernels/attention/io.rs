//! Reading operands and writing results of any supported number format.

use half::{bf16, f16};

use super::simd::vector::{Elem, Simd};
use super::team::Shared;
use crate::ops::{DType, Tensor};

/// A result that several threads write disjoint parts of.
#[derive(Clone, Copy)]
pub enum OutPtr {
    /// f32.
    F32(Shared<f32>),
    /// bf16.
    Bf16(Shared<bf16>),
}

impl OutPtr {
    /// The elements of `tensor`, f32 or bf16.
    pub fn new(tensor: &mut Tensor) -> Self {
        match tensor.spec.dtype {
            DType::Bf16 => OutPtr::Bf16(Shared::new(tensor.as_mut())),
            _ => OutPtr::F32(Shared::new(tensor.as_mut())),
        }
    }

    /// Writes `from[i]·factor` for `len` numbers from element `index` on.
    ///
    /// # Safety
    /// `from` is valid for `len` numbers, the result has as many from `index` on, and nobody else uses them.
    #[inline(always)]
    pub unsafe fn write<S: Simd>(
        self,
        s: S,
        index: usize,
        from: *const f32,
        len: usize,
        factor: f32,
    ) {
        // SAFETY: the caller vouches for the range.
        unsafe {
            match self {
                OutPtr::F32(to) => scaled(s, from, to.at(index), len, factor),
                OutPtr::Bf16(to) => scaled(s, from, to.at(index), len, factor),
            }
        }
    }
}

/// # Safety
/// `from` and `to` are valid for `len` numbers.
#[inline(always)]
unsafe fn scaled<S: Simd, E: Elem>(s: S, from: *const f32, to: *mut E, len: usize, factor: f32) {
    let whole = len / S::LANES * S::LANES;
    // SAFETY: the caller vouches for the range.
    unsafe {
        for i in (0..whole).step_by(S::LANES) {
            E::store(s, to.add(i), s.mul(s.load(from.add(i)), s.splat(factor)));
        }
        for i in whole..len {
            *to.add(i) = E::narrow(*from.add(i) * factor);
        }
    }
}

/// Copies numbers from `index` on to `to`, widened.
pub fn read(from: &Tensor, index: usize, to: &mut [f32]) {
    fn widen<T: bytemuck::Pod>(from: &[T], to: &mut [f32], f: impl Fn(T) -> f32) {
        to.iter_mut().zip(from).for_each(|(to, &x)| *to = f(x));
    }
    match from.spec.dtype {
        DType::F32 | DType::Tf32 => to.copy_from_slice(&from.as_ref::<f32>()[index..][..to.len()]),
        DType::Bf16 => widen(&from.as_ref::<bf16>()[index..], to, Elem::wide),
        DType::F16 => widen(&from.as_ref::<f16>()[index..], to, f16::to_f32),
        _ => to.iter_mut().enumerate().for_each(|(i, to)| *to = from.get(index + i) as f32),
    }
}

//! The precisions of a product as types, and what the plain kernels share.

use std::borrow::Cow;

use bytemuck::Pod;
use half::bf16;

use crate::device::Capabilities;
use crate::kernels::Body;
use crate::ops::{Case, Matmul, Precision, Problem};

/// How operands become terms, terms sums, and sums results.
pub(super) trait Format: 'static {
    /// An operand as stored.
    type In: Pod + Send + Sync;
    /// A sum.
    type Sum: Copy + Default + Send + Sync;
    /// A result as stored.
    type Out: Pod + Send + Sync;

    /// An operand in the format of sums, exactly.
    fn widen(x: Self::In) -> Self::Sum;
    /// `sum + a · b`.
    fn add_term(sum: Self::Sum, a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// `a + b`.
    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// The sum rounded to the format of results.
    fn finish(sum: Self::Sum) -> Self::Out;
}

macro_rules! float_format {
    ($(#[$doc:meta])* $name:ident, $input:ty, $output:ty, $widen:expr, $finish:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Format for $name {
            type In = $input;
            type Sum = f32;
            type Out = $output;

            #[inline(always)]
            fn widen(x: $input) -> f32 {
                $widen(x)
            }
            #[inline(always)]
            fn add_term(sum: f32, a: f32, b: f32) -> f32 {
                sum + a * b
            }
            #[inline(always)]
            fn add(a: f32, b: f32) -> f32 {
                a + b
            }
            #[inline(always)]
            fn finish(sum: f32) -> $output {
                $finish(sum)
            }
        }
    };
}

/// Exact, and without the branch on NaN that keeps a loop from being vectorized.
#[inline(always)]
fn widen_bf16(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

float_format!(
    /// f32 throughout.
    F32, f32, f32, std::convert::identity, std::convert::identity);
float_format!(
    /// bf16 operands and results, f32 sums.
    Bf16, bf16, bf16, widen_bf16, bf16::from_f32);
float_format!(
    /// bf16 operands, f32 sums and results.
    Bf16F32, bf16, f32, widen_bf16, std::convert::identity);

/// int8 operands, i32 sums and results.
pub(super) struct Int8;

impl Format for Int8 {
    type In = i8;
    type Sum = i32;
    type Out = i32;

    #[inline(always)]
    fn widen(x: i8) -> i32 {
        x.into()
    }
    #[inline(always)]
    fn add_term(sum: i32, a: i32, b: i32) -> i32 {
        sum.wrapping_add(a * b)
    }
    #[inline(always)]
    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn finish(sum: i32) -> i32 {
        sum
    }
}

/// The product of a case; panics for another op, which the registry never hands to a matmul kernel.
pub(super) fn product(case: &Case) -> Matmul {
    match case.problem {
        Problem::Matmul(p) => p,
        _ => panic!("a matmul kernel was handed {case}"),
    }
}

/// Refuses other ops, and precisions beyond f32, bf16, bf16-f32 and int8.
pub(super) fn refuses(_on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    if !matches!(case.problem, Problem::Matmul(_)) {
        return Some(format!("does products, not {}", case.problem.op()).into());
    }
    let known = [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8];
    (!known.contains(&case.precision)).then(|| {
        format!("does f32, bf16, bf16-f32 and int8, not {}; choose one of these", case.precision)
            .into()
    })
}

/// Builds the body for the format of a case's precision.
pub(super) fn by_format(
    case: &Case,
    f32: fn(Matmul) -> Body,
    bf16: fn(Matmul) -> Body,
    bf16_f32: fn(Matmul) -> Body,
    int8: fn(Matmul) -> Body,
) -> Body {
    let build = match case.precision {
        Precision::F32 => f32,
        Precision::BF16 => bf16,
        Precision::BF16_F32 => bf16_f32,
        _ => int8,
    };
    build(product(case))
}

/// A result that several threads write to, each its own rows or tiles.
pub(super) struct Shared<T>(*mut T);

impl<T> Copy for Shared<T> {}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

// SAFETY: only an address; whoever dereferences it answers for disjointness.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    /// Shares a slice that the caller borrows exclusively for as long as the threads run.
    pub(super) fn new(slice: &mut [T]) -> Self {
        Shared(slice.as_mut_ptr())
    }

    /// The address of element `index`.
    ///
    /// # Safety
    /// `index` is at most the slice's length.
    pub(super) unsafe fn at(self, index: usize) -> *mut T {
        // SAFETY: in bounds of the slice, or one past it, by this function's contract.
        unsafe { self.0.add(index) }
    }

    /// `len` elements from `start` on.
    ///
    /// # Safety
    /// They lie within the slice, and no other thread touches them meanwhile.
    pub(super) unsafe fn part<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: within the slice and exclusive, by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

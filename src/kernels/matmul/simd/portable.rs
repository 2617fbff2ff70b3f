//! Tiles in plain Rust: the twin that the vector paths are tested against, and the path of every other processor.

use super::tile::{Lanes, engine};

macro_rules! portable_lanes {
    ($(#[$doc:meta])* $name:ident, $sum:ty, $term:expr, $add:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Lanes for $name {
            type V = [$sum; 8];
            type Sum = $sum;
            const LANES: usize = 8;

            #[inline(always)]
            unsafe fn zero() -> Self::V {
                Default::default()
            }
            #[inline(always)]
            unsafe fn load(from: *const u32) -> Self::V {
                // SAFETY: eight words are readable, by the trait's contract; all bits are a value of the lanes.
                unsafe { from.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn splat(from: *const u32) -> Self::V {
                // SAFETY: one word is readable, by the trait's contract.
                unsafe { [from.cast::<$sum>().read_unaligned(); 8] }
            }
            #[inline(always)]
            unsafe fn dot(sum: Self::V, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|l| $term(sum[l], a[l], b[l]))
            }
            #[inline(always)]
            unsafe fn store(sum: Self::V, to: *mut $sum, columns: usize, add: bool) {
                for (l, sum) in sum.into_iter().enumerate().take(columns) {
                    // SAFETY: `columns` sums are writable, by the trait's contract.
                    let to = unsafe { &mut *to.add(l) };
                    *to = if add { $add(*to, sum) } else { sum };
                }
            }
        }
    };
}

portable_lanes!(
    /// f32 times f32.
    F32x8, f32, |sum, a: f32, b| sum + a * b, |a: f32, b| a + b);
portable_lanes!(
    /// i32 times i32, of numbers that were int8.
    I32x8, i32, |sum: i32, a: i32, b| sum.wrapping_add(a.wrapping_mul(b)), i32::wrapping_add);

engine!(
    /// f32 words.
    PortableF32, F32x8, 1, [1 2 3 4], 4);
engine!(
    /// i32 words.
    PortableI32, I32x8, 1, [1 2 3 4], 4);

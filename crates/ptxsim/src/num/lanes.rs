//! The commonest arithmetic for the 32 lanes of a warp at once, compiled for AVX2 and FMA where the processor has them.
//!
//! Every function gives in lane `i` what its namesake in [`super::single`] or [`super::double`] gives for lane `i` of its
//! operands. Anything else vectorizes through [`every`] as well as its loop allows.

use super::{Mode, Rounding, double, single};

/// `f` of every lane, in a loop compiled for the processor's vector units.
///
/// `f` should be small enough to be inlined: only then is it compiled for them too.
#[inline(always)]
pub fn every<T: Copy, R: Copy + Default, const N: usize>(
    rows: [&[T; 32]; N],
    f: impl Fn([T; N]) -> R,
) -> [R; 32] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the features that the function is compiled for, as was just asked.
        return unsafe { every_fma(rows, f) };
    }
    every_portable(rows, f)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn every_fma<T: Copy, R: Copy + Default, const N: usize>(
    rows: [&[T; 32]; N],
    f: impl Fn([T; N]) -> R,
) -> [R; 32] {
    every_portable(rows, f)
}

/// The same without vector instructions, and slow where a fused multiply-add is a library call.
#[inline(always)]
fn every_portable<T: Copy, R: Copy + Default, const N: usize>(
    rows: [&[T; 32]; N],
    f: impl Fn([T; N]) -> R,
) -> [R; 32] {
    let mut result = [R::default(); 32];
    for (lane, result) in result.iter_mut().enumerate() {
        *result = f(rows.map(|row| row[lane]));
    }
    result
}

const PLAIN: Mode = Mode { rounding: Rounding::Nearest, ftz: false, sat: false };
const FTZ: Mode = Mode { rounding: Rounding::Nearest, ftz: true, sat: false };

/// Compiles `f` for the commonest modes apart, so that they pay nothing for the others.
#[inline(always)]
fn settle<const N: usize>(
    rows: [&[u32; 32]; N],
    mode: Mode,
    f: impl Fn([u32; N], Mode) -> u32,
) -> [u32; 32] {
    match mode {
        PLAIN => every(rows, |lane| f(lane, PLAIN)),
        FTZ => every(rows, |lane| f(lane, FTZ)),
        _ => every(rows, |lane| f(lane, mode)),
    }
}

/// `add.f32`
pub fn add(a: &[u32; 32], b: &[u32; 32], mode: Mode) -> [u32; 32] {
    settle([a, b], mode, |[a, b], mode| single::add(a, b, mode))
}

/// `sub.f32`
pub fn sub(a: &[u32; 32], b: &[u32; 32], mode: Mode) -> [u32; 32] {
    settle([a, b], mode, |[a, b], mode| single::sub(a, b, mode))
}

/// `mul.f32`
pub fn mul(a: &[u32; 32], b: &[u32; 32], mode: Mode) -> [u32; 32] {
    settle([a, b], mode, |[a, b], mode| single::mul(a, b, mode))
}

/// `fma.f32`
pub fn fma(a: &[u32; 32], b: &[u32; 32], c: &[u32; 32], mode: Mode) -> [u32; 32] {
    settle([a, b, c], mode, |[a, b, c], mode| single::fma(a, b, c, mode))
}

/// `fma.f64`
pub fn fma_f64(a: &[u64; 32], b: &[u64; 32], c: &[u64; 32], rounding: Rounding) -> [u64; 32] {
    every([a, b, c], |[a, b, c]| double::fma(a, b, c, rounding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_lanes_at_once_give_what_each_gives_alone(
            a in any::<[u32; 32]>(),
            b in any::<[u32; 32]>(),
            c in any::<[u32; 32]>(),
            ftz in any::<bool>(),
            sat in any::<bool>(),
            down in any::<bool>(),
        ) {
            let rounding = if down { Rounding::Down } else { Rounding::Nearest };
            let mode = Mode { rounding, ftz, sat };
            let each2 = |f: fn(u32, u32, Mode) -> u32| std::array::from_fn(|i| f(a[i], b[i], mode));
            prop_assert_eq!(add(&a, &b, mode), each2(single::add));
            prop_assert_eq!(sub(&a, &b, mode), each2(single::sub));
            prop_assert_eq!(mul(&a, &b, mode), each2(single::mul));
            let each3 = std::array::from_fn(|i| single::fma(a[i], b[i], c[i], mode));
            prop_assert_eq!(fma(&a, &b, &c, mode), each3);
            let portable = every_portable([&a, &b, &c], |[a, b, c]| single::fma(a, b, c, mode));
            prop_assert_eq!(portable, each3);
            let [x, y, z] = [a, b, c].map(|row| row.map(|bits| f64::from(f32::from_bits(bits)).to_bits()));
            let wide = std::array::from_fn(|i| double::fma(x[i], y[i], z[i], rounding));
            prop_assert_eq!(fma_f64(&x, &y, &z, rounding), wide);
        }
    }
}

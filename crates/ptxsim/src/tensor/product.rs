//! Products of tiles, with sums in a fixed order.
//!
//! The PTX ISA leaves open in which order and with which intermediate precision `mma` and `wgmma` sum (9.7.14.5.14, 9.7.15.5.2:
//! "at least single precision" for `f16`, `bf16`, `tf32` and 8-bit floats). Here an entry of D is the chain
//! `d = fma(a[i][k], b[k][j], d)` from `d = c` over ascending `k`, rounded to nearest even at each step. Products of operands
//! with at most 11 significant bits are exact, so with `u = 2^-24` and `K` terms the result differs from the exact one by at
//! most `K u / (1 - K u) · (|c| + Σ |a b|)`, and hardware, which aligns and truncates groups of products, by a few times that.
//! Sums of integer products stay below 2^24 for every shape and are exact.

/// What the kernel below needs of `f32` and `f64`.
pub trait Real: Copy {
    /// `self * a + b` with one rounding.
    fn fma(self, a: Self, b: Self) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn fma(self, a: f32, b: f32) -> f32 {
        self.mul_add(a, b)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn fma(self, a: f64, b: f64) -> f64 {
        self.mul_add(a, b)
    }
}

/// Sizes of a product of row-major tiles: A is m×k, B is k×n, C and D are m×n; m and n are multiples of 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
}

/// Makes a function that runs `$body` compiled for the vector units that the processor has. The body, all in
/// `#[inline(always)]` functions, is the portable version as well; `fma` is one rounding either way, so results are the same.
macro_rules! vectorize {
    ($(#[$doc:meta])* $vis:vis fn $name:ident$(<$t:ident: $bound:path>)?($($arg:ident: $ty:ty),* $(,)?) = $body:path;) => {
        $(#[$doc])*
        #[inline]
        #[allow(clippy::too_many_arguments, clippy::ptr_arg)]
        $vis fn $name$(<$t: $bound>)?($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, clippy::ptr_arg)]
                fn with_fma$(<$t: $bound>)?($($arg: $ty),*) {
                    $body($($arg),*)
                }
                // SAFETY: the processor has the features that the function is compiled for, as was just asked.
                return unsafe { with_fma($($arg),*) };
            }
            $body($($arg),*)
        }
    };
}
pub(crate) use vectorize;

vectorize! {
    /// `c += a · b` in the order that the module describes. All three lie dense and row-major.
    ///
    /// # Panics
    /// If a slice is shorter than its matrix, or m or n is not a multiple of 8.
    pub fn multiply<T: Real>(size: Size, a: &[T], b: &[T], c: &mut [T]) = multiply_portable;
}

/// The body of [`multiply`], for use in other vectorized functions.
#[inline(always)]
pub(crate) fn multiply_portable<T: Real>(size: Size, a: &[T], b: &[T], c: &mut [T]) {
    assert!(size.m.is_multiple_of(8) && size.n.is_multiple_of(8), "{size:?}");
    let wide = size.n / 16 * 16;
    for row in (0..size.m).step_by(4) {
        for column in (0..wide).step_by(16) {
            block::<T, 4, 16>(size, row, column, a, b, c);
        }
    }
    if wide < size.n {
        for row in (0..size.m).step_by(8) {
            block::<T, 8, 8>(size, row, wide, a, b, c);
        }
    }
}

/// R×N entries of C held in registers while k runs.
#[inline(always)]
fn block<T: Real, const R: usize, const N: usize>(
    size: Size,
    row: usize,
    column: usize,
    a: &[T],
    b: &[T],
    c: &mut [T],
) {
    let Size { n, k, .. } = size;
    let mut sums: [[T; N]; R] = std::array::from_fn(|r| {
        let at = (row + r) * n + column;
        c[at..at + N].try_into().expect("N entries")
    });
    let a: [&[T]; R] = std::array::from_fn(|r| &a[(row + r) * k..(row + r + 1) * k]);
    for p in 0..k {
        let line: &[T; N] = b[p * n + column..p * n + column + N].try_into().expect("N entries");
        for r in 0..R {
            let x = a[r][p];
            for j in 0..N {
                sums[r][j] = x.fma(line[j], sums[r][j]);
            }
        }
    }
    for (r, sum) in sums.iter().enumerate() {
        let at = (row + r) * n + column;
        c[at..at + N].copy_from_slice(sum);
    }
}

/// How bits of A and B meet in a `.b1` product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BitOp {
    /// `.xor.popc`
    Xor,
    /// `.and.popc`
    And,
}

impl BitOp {
    /// The number of set bits of `a op b`.
    pub fn count(self, a: u32, b: u32) -> u32 {
        match self {
            BitOp::Xor => (a ^ b).count_ones(),
            BitOp::And => (a & b).count_ones(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed * 2 + 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count)
            .map(|_| {
                let x = next();
                ((x >> 40) as f32 / (1 << 23) as f32 - 1.0) * 2f32.powi((x % 9) as i32 - 4)
            })
            .collect()
    }

    const SIZES: [Size; 5] = [
        Size { m: 8, n: 8, k: 4 },
        Size { m: 16, n: 8, k: 16 },
        Size { m: 64, n: 24, k: 8 },
        Size { m: 64, n: 256, k: 16 },
        Size { m: 16, n: 8, k: 64 },
    ];

    #[test]
    fn the_vector_version_equals_the_portable_one_bit_for_bit() {
        for size in SIZES {
            let (mut a, b) = (numbers(1, size.m * size.k), numbers(2, size.k * size.n));
            a[3] = 1e-40;
            let mut fast = numbers(3, size.m * size.n);
            let mut slow = fast.clone();
            multiply(size, &a, &b, &mut fast);
            multiply_portable(size, &a, &b, &mut slow);
            assert_eq!(
                fast.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                slow.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn an_entry_is_the_chain_of_fused_multiply_adds_over_ascending_k() {
        for size in SIZES {
            let (a, b) = (numbers(4, size.m * size.k), numbers(5, size.k * size.n));
            let c = numbers(6, size.m * size.n);
            let mut d = c.clone();
            multiply(size, &a, &b, &mut d);
            for i in 0..size.m {
                for j in 0..size.n {
                    let chain = (0..size.k).fold(c[i * size.n + j], |d, k| {
                        a[i * size.k + k].mul_add(b[k * size.n + j], d)
                    });
                    assert_eq!(d[i * size.n + j].to_bits(), chain.to_bits());
                }
            }
        }
    }

    #[test]
    fn the_error_stays_below_the_bound_that_the_module_states() {
        for size in SIZES {
            let cut = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
            let a: Vec<f32> = numbers(7, size.m * size.k).into_iter().map(cut).collect();
            let b: Vec<f32> = numbers(8, size.k * size.n).into_iter().map(cut).collect();
            let c = numbers(9, size.m * size.n);
            let mut d = c.clone();
            multiply(size, &a, &b, &mut d);
            for i in 0..size.m {
                for j in 0..size.n {
                    let mut exact = c[i * size.n + j] as f64;
                    let mut scale = exact.abs();
                    for k in 0..size.k {
                        let product = a[i * size.k + k] as f64 * b[k * size.n + j] as f64;
                        exact += product;
                        scale += product.abs();
                    }
                    let ku = size.k as f64 * 2f64.powi(-24);
                    assert!((d[i * size.n + j] as f64 - exact).abs() <= ku / (1.0 - ku) * scale);
                }
            }
        }
    }

    #[test]
    fn doubles_are_multiplied_in_the_same_order() {
        let size = Size { m: 16, n: 8, k: 4 };
        let wide = |v: Vec<f32>| v.into_iter().map(|x| x as f64 / 3.0).collect::<Vec<f64>>();
        let (a, b) = (wide(numbers(1, 64)), wide(numbers(2, 32)));
        let mut d = wide(numbers(3, 128));
        let c = d.clone();
        multiply(size, &a, &b, &mut d);
        for (i, d) in d.iter().enumerate() {
            let chain = (0..4).fold(c[i], |d, k| a[i / 8 * 4 + k].mul_add(b[k * 8 + i % 8], d));
            assert_eq!(d.to_bits(), chain.to_bits());
        }
    }

    #[test]
    fn bits_are_counted_after_xor_or_and() {
        assert_eq!(BitOp::Xor.count(0b1100, 0b1010), 2);
        assert_eq!(BitOp::And.count(0b1100, 0b1010), 1);
    }
}

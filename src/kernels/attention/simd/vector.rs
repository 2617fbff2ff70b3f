//! What the attention kernels need of an instruction set, as a trait over a proof that the processor has it.

use half::bf16;

use super::micro::Tile;

/// An instruction set. A value of the type is the proof that the processor has it: the constructors check, so that the
/// methods are safe to call. They are fast only inside [`Simd::vectorize`], where they become single instructions.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A register of [`Simd::LANES`] f32, or of as many pairs of bf16 (see [`Format`]).
    type V: Copy;
    /// Numbers a register; even.
    const LANES: usize;
    /// Rows of a register tile; even, divides [`super::pack::CHUNK`].
    const MR: usize;
    /// Columns of a register tile; divides [`super::pack::CHUNK`].
    const NR: usize;

    /// The proof, if this processor has the instructions.
    fn new() -> Option<Self>;
    /// Runs `f` in a function that is compiled for this instruction set; `f` must be `#[inline(always)]`.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::V;
    /// The register at `at`.
    ///
    /// # Safety
    /// `at` is valid for reads of [`Simd::LANES`] f32.
    unsafe fn load(self, at: *const f32) -> Self::V;
    /// Writes the register to `at`.
    ///
    /// # Safety
    /// `at` is valid for writes of [`Simd::LANES`] f32.
    unsafe fn store(self, at: *mut f32, v: Self::V);
    /// As many bf16, widened.
    ///
    /// # Safety
    /// `at` is valid for reads of [`Simd::LANES`] bf16.
    unsafe fn load_bf16(self, at: *const bf16) -> Self::V;
    /// Writes the register rounded to bf16.
    ///
    /// # Safety
    /// `at` is valid for writes of [`Simd::LANES`] bf16.
    unsafe fn store_bf16(self, at: *mut bf16, v: Self::V);
    /// Pairs of numbers rounded to bf16: `low` in the lower halves.
    fn pairs(self, low: Self::V, high: Self::V) -> Self::V;
    /// Sum.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Difference.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Product.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Larger.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c` plus the dot of the two bf16 of each lane of `a` and `b`.
    fn dot_bf16(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a` times two to the power of the integer that the low bits of `magic` hold (see [`exp2`]).
    fn scale_exponent(self, a: Self::V, magic: Self::V) -> Self::V;
    /// The first `n` lanes, the others 0.
    fn keep_first(self, v: Self::V, n: usize) -> Self::V;
    /// The sum of all lanes.
    fn sum(self, v: Self::V) -> f32;
    /// The largest lane.
    fn largest(self, v: Self::V) -> f32;

    /// A register tile of a matrix product; see [`super::micro::micro`].
    ///
    /// # Safety
    /// As for [`super::micro::micro`], with M and N of [`Simd::MR`] and [`Simd::NR`].
    unsafe fn tile<F: Format, const LAYOUT: usize, const LD: usize, const MODE: usize>(
        self,
        t: Tile,
    );
}

/// `2ˣ` for x ≤ 127, with a relative error below 10⁻⁷; for x < −126 at most 2⁻¹²⁶.
///
/// Cody and Waite: adding and subtracting 1.5·2²³ rounds to the nearest integer n, which also lands in the low bits; a
/// minimax polynomial of degree 5 covers x − n in ±½; n goes to the exponent.
#[inline(always)]
pub fn exp2<S: Simd>(s: S, x: S::V) -> S::V {
    let magic = s.splat(12_582_912.0);
    let x = s.max(x, s.splat(-126.0));
    let shifted = s.add(x, magic);
    let f = s.sub(x, s.sub(shifted, magic));
    let mut p = s.splat(EXP2[5]);
    for &c in EXP2[..5].iter().rev() {
        p = s.fma(p, f, s.splat(c));
    }
    s.scale_exponent(p, shifted)
}

/// Coefficients of a polynomial for 2ᶠ on ±½, from the constant up.
// The best coefficient is near ln 2, and not ln 2.
#[allow(clippy::approx_constant)]
pub const EXP2: [f32; 6] =
    [1.0, 0.693_147, 0.240_222_42, 0.055_507_336, 0.009_671_513, 0.001_326_472_8];

/// How operands lie in the 32-bit words that a product's inner loop reads.
pub trait Format: Copy + Send + Sync + 'static {
    /// The operand's type.
    type Elem: Elem;
    /// Numbers a word.
    const PER_WORD: usize;
    /// `c` plus the product of the words of `a` and `b`.
    fn dot<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V;
    /// The word of one or two numbers (`second` is not looked at for one).
    fn word(first: Self::Elem, second: Self::Elem) -> f32;
}

/// One f32 a word.
#[derive(Clone, Copy)]
pub struct Single;

/// Two bf16 a word, the first in the lower half, multiplied exactly and summed in f32.
#[derive(Clone, Copy)]
pub struct Paired;

impl Format for Single {
    type Elem = f32;
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn dot<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.fma(a, b, c)
    }

    #[inline(always)]
    fn word(first: f32, _: f32) -> f32 {
        first
    }
}

impl Format for Paired {
    type Elem = bf16;
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn dot<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.dot_bf16(a, b, c)
    }

    #[inline(always)]
    fn word(first: bf16, second: bf16) -> f32 {
        f32::from_bits(u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16)
    }
}

/// A number of a tensor.
pub trait Elem: bytemuck::Pod + Send + Sync {
    /// Zero.
    const ZERO: Self;
    /// As f32, exactly.
    fn wide(self) -> f32;
    /// Rounded to nearest.
    fn narrow(x: f32) -> Self;
    /// A register of numbers, widened.
    ///
    /// # Safety
    /// `at` is valid for reads of [`Simd::LANES`] numbers.
    unsafe fn load<S: Simd>(s: S, at: *const Self) -> S::V;
    /// Writes a register, rounded.
    ///
    /// # Safety
    /// `at` is valid for writes of [`Simd::LANES`] numbers.
    unsafe fn store<S: Simd>(s: S, at: *mut Self, v: S::V);
}

impl Elem for f32 {
    const ZERO: f32 = 0.0;

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, at: *const f32) -> S::V {
        // SAFETY: the caller's obligation is the same.
        unsafe { s.load(at) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, at: *mut f32, v: S::V) {
        // SAFETY: the caller's obligation is the same.
        unsafe { s.store(at, v) }
    }
}

impl Elem for bf16 {
    const ZERO: bf16 = bf16::ZERO;

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> bf16 {
        bf16::from_f32(x)
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, at: *const bf16) -> S::V {
        // SAFETY: the caller's obligation is the same.
        unsafe { s.load_bf16(at) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, at: *mut bf16, v: S::V) {
        // SAFETY: the caller's obligation is the same.
        unsafe { s.store_bf16(at, v) }
    }
}

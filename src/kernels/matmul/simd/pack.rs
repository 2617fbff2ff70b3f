//! Packing: operands copied into panels of words, in the order that tiles read them.
//!
//! A panel is `[words of k, width]`: width rows of A, or width columns of B. Where k is no multiple of the values in a word,
//! and beyond the last column of B, panels hold zeros.

use bytemuck::Pod;
use half::bf16;

/// Which operand a panel is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// A part of an operand that becomes a panel.
#[derive(Clone, Copy)]
pub(super) struct Source<T> {
    /// Its first element.
    pub start: *const T,
    /// Distance between rows of A, or columns of B.
    pub lane_stride: usize,
    /// Distance between neighbouring k.
    pub k_stride: usize,
    /// Rows of A, or columns of B; at most the panel's width.
    pub lanes: usize,
    /// Elements along k.
    pub depth: usize,
}

/// How operands become words.
pub(super) trait Words: 'static {
    /// An operand as stored.
    type Element: Pod + Send + Sync;
    /// Elements in a word.
    const PER_WORD: usize;
    /// Whether words are the elements themselves, so that tiles can read operands where they lie.
    const DIRECT: bool = false;
    /// Whether panels of B begin with one word a column: the initial sums.
    const HEADER: bool = false;
    /// Panels of B up to which packing an A that tiles can read in place does not pay (measured: a product of 256 cubed gains
    /// 5 %, one of 512 loses nothing).
    const A_IN_PLACE: usize = 10;

    /// Whether tiles can read `lanes` rows of A in place over a whole block of k.
    fn reads_a(_source: &Source<Self::Element>) -> bool {
        Self::DIRECT
    }

    /// Packs one panel of `width` words a step of k.
    ///
    /// # Safety
    /// The processor has the instruction set of the type. All of `source` is readable. `to` is good for the header, the panel,
    /// and [`SLACK`] words more.
    unsafe fn pack(side: Side, source: Source<Self::Element>, width: usize, to: *mut u32);
}

/// Words that a panel's last store may spill, which the next panel overwrites.
pub(super) const SLACK: usize = 16;

/// Words by plain loops: `word` makes one of `PER_WORD` elements.
macro_rules! plain_words {
    ($(#[$doc:meta])* $name:ident, $element:ty, $per_word:literal, $direct:literal, $word:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Words for $name {
            type Element = $element;
            const PER_WORD: usize = $per_word;
            const DIRECT: bool = $direct;

            unsafe fn pack(_: Side, s: Source<$element>, width: usize, to: *mut u32) {
                let at = |lane: usize, k: usize| {
                    // SAFETY: lane and k are within the source, which is readable by this function's contract.
                    unsafe { *s.start.add(lane * s.lane_stride + k * s.k_stride) }
                };
                let put = |word: usize, lane: usize, value: u32| {
                    // SAFETY: within the panel, which is writable by this function's contract.
                    unsafe { *to.add(word * width + lane) = value }
                };
                let whole = s.depth / $per_word;
                // The inner loop runs along what is contiguous in the source, in blocks that stay in the nearest cache.
                if s.k_stride == 1 {
                    for block in (0..whole).step_by(64) {
                        for lane in 0..s.lanes {
                            for w in block..(block + 64).min(whole) {
                                let values = std::array::from_fn(|i| at(lane, w * $per_word + i));
                                put(w, lane, $word(values));
                            }
                        }
                    }
                } else {
                    for w in 0..whole {
                        for lane in 0..s.lanes {
                            let values = std::array::from_fn(|i| at(lane, w * $per_word + i));
                            put(w, lane, $word(values));
                        }
                    }
                }
                for w in whole..s.depth.div_ceil($per_word) {
                    for lane in 0..s.lanes {
                        let values = std::array::from_fn(|i| {
                            let k = w * $per_word + i;
                            if k < s.depth { at(lane, k) } else { Default::default() }
                        });
                        put(w, lane, $word(values));
                    }
                }
                for w in 0..s.depth.div_ceil($per_word) {
                    for lane in s.lanes..width {
                        put(w, lane, 0);
                    }
                }
            }
        }
    };
}

plain_words!(
    /// f32 as they are.
    PlainF32, f32, 1, true, |[x]: [f32; 1]| x.to_bits());
plain_words!(
    /// bf16 widened to f32.
    WideBf16, bf16, 1, false, |[x]: [bf16; 1]| u32::from(x.to_bits()) << 16);
plain_words!(
    /// int8 widened to i32.
    WideI8, i8, 1, false, |[x]: [i8; 1]| i32::from(x) as u32);
plain_words!(
/// int8 widened to pairs of i16.
PairI8, i8, 2, false, |[x, y]: [i8; 2]| {
    u32::from(i16::from(x) as u16) | u32::from(i16::from(y) as u16) << 16
});

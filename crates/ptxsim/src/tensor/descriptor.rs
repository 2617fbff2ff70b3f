//! Matrices in shared memory as `wgmma` reads them: the 64-bit descriptor and the layouts that it names.
//!
//! PTX ISA 9.7.15.5.1.2. Addresses are the layout's offset plus the start, swizzled as a whole, so that a start within a
//! pattern (a step along k) works as on hardware. A base offset moves the rows of the pattern: it is taken from the number of
//! the 128-byte line, which is one reading of the ISA's formula; zero is what generated code has.

use super::swizzle::Swizzle;

/// Which dimension is contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Major {
    /// k: `imm-trans` is 0.
    K,
    /// m of A, n of B: `imm-trans` is 1; for 16-bit elements only.
    Mn,
}

/// A decoded matrix descriptor. Offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Where the matrix starts in shared memory.
    pub start: u32,
    /// Leading-dimension byte offset.
    pub leading: u32,
    /// Stride-dimension byte offset.
    pub stride: u32,
    /// Lines of 128 bytes by which the pattern is off its natural alignment.
    pub base_offset: u32,
    /// The swizzle.
    pub swizzle: Swizzle,
}

impl Descriptor {
    /// Decodes the fields: start in bits 0–13, leading in 16–29, stride in 32–45 (each in units of 16 bytes), base offset in
    /// 49–51, swizzle in 62–63 (0 none, 1 128 bytes, 2 64 bytes, 3 32 bytes).
    pub const fn decode(bits: u64) -> Descriptor {
        Descriptor {
            start: ((bits & 0x3fff) << 4) as u32,
            leading: ((bits >> 16 & 0x3fff) << 4) as u32,
            stride: ((bits >> 32 & 0x3fff) << 4) as u32,
            base_offset: (bits >> 49 & 7) as u32,
            swizzle: match bits >> 62 {
                0 => Swizzle::None,
                1 => Swizzle::B128,
                2 => Swizzle::B64,
                _ => Swizzle::B32,
            },
        }
    }

    /// The bits that are set and belong to no field.
    pub const fn stray(bits: u64) -> u64 {
        bits & !(0x3fff | 0x3fff << 16 | 0x3fff << 32 | 7 << 49 | 3 << 62)
    }

    /// The address of the 16-byte chunk that holds 8 elements of 16 bits (4 of 32, 16 of 8) along the contiguous dimension.
    ///
    /// With [`Major::K`], `line` is m or n and `chunk` counts chunks along k; with [`Major::Mn`], `line` is k and `chunk`
    /// counts chunks along m or n. In the words of the ISA's canonical layouts, in elements of T a chunk and W = swizzle width
    /// in chunks: K-major `((8,m),(T,2k)):((WT,SBO),(1,T))`, without a swizzle `((1T,SBO),(1,LBO))`; MN-major
    /// `((T,W,m),(8,k)):((1,T,LBO),(WT,SBO))`, without one `((T,1,m),(8,k)):((1,T,SBO),(1T,LBO))`.
    #[inline]
    pub const fn chunk(&self, major: Major, line: u32, chunk: u32) -> u32 {
        self.steps(major).address(self, line, chunk)
    }

    /// The layout of [`Descriptor::chunk`] as numbers, for those who ask for many chunks.
    #[inline]
    pub const fn steps(&self, major: Major) -> Steps {
        let width = self.swizzle.width();
        let (eight, inner, outer) = match (major, self.swizzle) {
            (Major::K, Swizzle::None) => (self.stride, 0, self.leading),
            // A line's chunks never leave its row of the pattern.
            (Major::K, _) => (self.stride, 16, 0),
            (Major::Mn, Swizzle::None) => (self.leading, 0, self.stride),
            (Major::Mn, _) => (self.stride, 16, self.leading),
        };
        Steps { eight, width, inner, outer, per_row: (width / 16).trailing_zeros() }
    }
}

/// Distances in bytes between the chunks of a matrix, before the swizzle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// From eight lines to the next eight.
    pub eight: u32,
    /// From a line to the next.
    pub width: u32,
    /// From a chunk to the next in a row of the pattern.
    pub inner: u32,
    /// From a row's worth of chunks to the next.
    pub outer: u32,
    /// Chunks in a row, as a power of two.
    pub per_row: u32,
}

impl Steps {
    /// The address of a chunk.
    #[inline(always)]
    pub const fn address(&self, descriptor: &Descriptor, line: u32, chunk: u32) -> u32 {
        let within = chunk & ((1 << self.per_row) - 1);
        let linear = descriptor.start
            + (line >> 3) * self.eight
            + (line & 7) * self.width
            + within * self.inner
            + (chunk >> self.per_row) * self.outer;
        let number = (linear >> 7).wrapping_sub(descriptor.base_offset);
        linear ^ ((number << 4) & (self.width - 16))
    }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;

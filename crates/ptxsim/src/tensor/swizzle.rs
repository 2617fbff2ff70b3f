//! Swizzles of shared memory, as tensor maps and matrix descriptors name them.

/// Which 16-byte chunks change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Swizzle {
    /// None.
    #[default]
    None,
    /// `CU_TENSOR_MAP_SWIZZLE_32B`: pairs of chunks, a pattern of 256 bytes.
    B32,
    /// `CU_TENSOR_MAP_SWIZZLE_64B`: four chunks, a pattern of 512 bytes.
    B64,
    /// `CU_TENSOR_MAP_SWIZZLE_128B`: eight chunks, a pattern of 1024 bytes.
    B128,
}

impl Swizzle {
    /// Bytes of a row of the pattern; 16 without a swizzle.
    pub const fn width(self) -> u32 {
        match self {
            Swizzle::None => 16,
            Swizzle::B32 => 32,
            Swizzle::B64 => 64,
            Swizzle::B128 => 128,
        }
    }
}

/// Where the byte that would lie at `address` of shared memory lies: the number of the 128-byte line is added without carry to
/// the number of the 16-byte chunk within a row (in CuTe's words `Swizzle<B,4,3>` with B = 0, 1, 2, 3).
pub const fn swizzle(address: u32, mode: Swizzle) -> u32 {
    address ^ (address >> 3 & (mode.width() - 16))
}

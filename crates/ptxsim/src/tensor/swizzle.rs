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

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the swizzles (PTX ISA 5.5.7, CUDA Programming Guide, "TMA swizzle"): which 16-byte chunk of its 128-byte line
    /// lies at each place, line after line; the pattern then repeats.
    const FIGURES: [(Swizzle, &[[u32; 8]]); 4] = [
        (Swizzle::None, &[[0, 1, 2, 3, 4, 5, 6, 7]]),
        (Swizzle::B32, &[[0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 3, 2, 5, 4, 7, 6]]),
        (
            Swizzle::B64,
            &[
                [0, 1, 2, 3, 4, 5, 6, 7],
                [1, 0, 3, 2, 5, 4, 7, 6],
                [2, 3, 0, 1, 6, 7, 4, 5],
                [3, 2, 1, 0, 7, 6, 5, 4],
            ],
        ),
        (
            Swizzle::B128,
            &[
                [0, 1, 2, 3, 4, 5, 6, 7],
                [1, 0, 3, 2, 5, 4, 7, 6],
                [2, 3, 0, 1, 6, 7, 4, 5],
                [3, 2, 1, 0, 7, 6, 5, 4],
                [4, 5, 6, 7, 0, 1, 2, 3],
                [5, 4, 7, 6, 1, 0, 3, 2],
                [6, 7, 4, 5, 2, 3, 0, 1],
                [7, 6, 5, 4, 3, 2, 1, 0],
            ],
        ),
    ];

    #[test]
    fn chunks_lie_where_the_figures_have_them() {
        for (mode, figure) in FIGURES {
            for address in 0..4096u32 {
                let (line, place) = (address as usize / 128, address as usize / 16 % 8);
                let chunk = figure[line % figure.len()][place];
                let moved = swizzle(address, mode);
                assert_eq!(
                    (moved / 128, moved / 16 % 8),
                    (address / 128, chunk),
                    "{mode:?} {address}"
                );
                assert_eq!(moved % 16, address % 16);
            }
        }
    }
}

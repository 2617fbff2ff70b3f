//! Images of shared memory for `wgmma`, by the canonical layouts of PTX ISA 9.7.15.5.1.2.1.3, evaluated as CuTe layouts: what
//! [`Descriptor`](crate::tensor::descriptor::Descriptor) is held to, and hardware too.

use crate::tensor::element::Element;

/// Rows of the ISA's table: descriptor code of the swizzle, W (its width in chunks of 16 bytes), B of `Swizzle<B,4,3>`.
const MODES: [(u64, u32, u32); 4] = [(0, 1, 0), (3, 2, 1), (2, 4, 2), (1, 8, 3)];

/// A matrix of `lines` lines (m or n) of 32 bytes of k in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// 0 for K-major, 1 for MN-major.
    pub transposed: usize,
    /// 0 for none, then 32, 64 and 128 bytes.
    pub mode: usize,
    /// Leading and stride byte offsets.
    pub offsets: [u32; 2],
    /// Bytes that it takes.
    pub bytes: u32,
}

impl Image {
    /// With offsets that leave no gaps.
    pub fn new(transposed: usize, mode: usize, lines: u32) -> Image {
        let width = 16 * MODES[mode].1;
        let offsets = match (transposed, mode) {
            (0, 0) => [128, 256],
            (0, _) => [16, 8 * width],
            (1, 0) => [16 * lines, 128],
            _ => [16 * width, 8 * width],
        };
        // Lines are rounded up to whole atoms of the widest swizzle.
        Image { transposed, mode, offsets, bytes: lines.next_multiple_of(64) * 128 }
    }

    /// Its descriptor, but for the start.
    pub fn descriptor(&self) -> u64 {
        let [leading, stride] = self.offsets.map(|o| o as u64 >> 4);
        leading << 16 | stride << 32 | MODES[self.mode].0 << 62
    }

    /// The byte where element (line, k) of `bits` bits begins, by the canonical layout.
    pub fn at(&self, line: u32, k: u32, bits: u32) -> u32 {
        let t = 128 / bits;
        let (_, w, b) = MODES[self.mode];
        let [leading, stride] = self.offsets;
        let linear = match (self.transposed, self.mode) {
            // ((8,m),(T,2k)):((1T,SBO),(1,LBO))
            (0, 0) => line % 8 * 16 + line / 8 * stride + k % t * bits / 8 + k / t * leading,
            // ((8,m),(T,2k)):((WT,SBO),(1,T))
            (0, _) => line % 8 * 16 * w + line / 8 * stride + k % t * bits / 8 + k / t * 16,
            // ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO))
            (1, 0) => line % t * 2 + line / t * stride + k % 8 * 16 + k / 8 * leading,
            // ((T,W,m),(8,k)):((1,T,LBO),(WT,SBO))
            _ => {
                line % t * 2
                    + line / t % w * 16
                    + line / t / w * leading
                    + k % 8 * 16 * w
                    + k / 8 * stride
            }
        };
        (0..b).fold(linear, |a, bit| a ^ ((linear >> (7 + bit) & 1) << (4 + bit)))
    }

    /// Puts a matrix of `lines`×`k` bits of elements into memory.
    pub fn fill(&self, element: Element, matrix: &[u32], k: usize, memory: &mut [u8]) {
        let bits = element.bits() as u32;
        for (i, x) in matrix.iter().enumerate() {
            let (line, p) = ((i / k) as u32, (i % k) as u32);
            let at = self.at(line, p, bits) as usize;
            if bits == 1 {
                memory[at] |= (*x as u8 & 1) << (p % 8);
            } else {
                memory[at..at + bits as usize / 8]
                    .copy_from_slice(&x.to_le_bytes()[..bits as usize / 8]);
            }
        }
    }
}

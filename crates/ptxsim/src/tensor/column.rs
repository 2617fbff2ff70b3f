//! Tensor maps as `cuTensorMapEncodeIm2col` makes them, and the columns that copies by them move (PTX ISA 5.5.4).
//!
//! A tensor is a batch of images: channels innermost, then W, with 4 dimensions H and with 5 D as well, and the images. The
//! instruction's coordinates place a filter, which may stand anywhere in a box; a column has as many pixels as the map says, each
//! at the next place of the filter: along W by its step, back at the box's lower corner the next along H, then D, then the next
//! image. Im2col offsets say which of the filter's taps is looked at: they are added to each place. Channels are taken from
//! the coordinate on, side by side. What lies outside of the images is filled, or where it is stored, left out.
//! Not offered: the wide modes of sm_100 (`im2col::w`), and steps between images.

use super::element_type::ElementType;
use super::map::{Part, TensorMap};
use super::swizzle::Swizzle;
use crate::error::{Error, Result};
use crate::memory::Pointer;

/// What [`TensorMap::encode_im2col`] takes; dimensions innermost first: C, W, H, D, N.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Im2col {
    /// Type of an element.
    pub element: ElementType,
    /// First element.
    pub address: Pointer,
    /// Elements along each of 3 to 5 dimensions.
    pub dims: Vec<u64>,
    /// Bytes from one index to the next along all dimensions but the first.
    pub strides: Vec<u64>,
    /// The least place of the filter along W, H, D: minus the padding, say.
    pub lower: Vec<i32>,
    /// How far its greatest place lies from the last index there: the padding less all of the filter but its first tap.
    pub upper: Vec<i32>,
    /// Channels of a pixel that a copy moves.
    pub channels: u32,
    /// Pixels that it moves.
    pub pixels: u32,
    /// Steps between places of the filter; the first and the last are not looked at. Empty stands for ones.
    pub element_strides: Vec<u32>,
    /// How pixels lie in shared memory.
    pub swizzle: Swizzle,
    /// Whether elements out of bounds are read as NaN instead of 0.
    pub fill_nan: bool,
}

/// What a map for im2col has beside the tensor: corners along W, H, D, and pixels of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub lower: [i16; 3],
    pub upper: [i16; 3],
    pub pixels: u16,
}

/// Corners of maps of a rank lie from minus this to this less one; offsets are below its double.
fn reach(rank: usize) -> i32 {
    match rank {
        3 => 1 << 15,
        4 => 1 << 7,
        _ => 1 << 4,
    }
}

impl TensorMap {
    /// Checks what `cuTensorMapEncodeIm2col` checks.
    ///
    /// # Errors
    /// [`Error::Launch`] that tells the rule which is not met.
    pub fn encode_im2col(c: &Im2col) -> Result<TensorMap> {
        let wrong = |what: String| Error::Launch(format!("tensor map for im2col: {what}"));
        let rank = c.dims.len();
        if !(3..=5).contains(&rank) {
            return Err(wrong(format!("{rank} dimensions, not 3 to 5")));
        }
        let (strides, lower, upper) = (c.strides.len(), c.lower.len(), c.upper.len());
        if strides != rank - 1 || lower != rank - 2 || upper != rank - 2 {
            return Err(wrong(format!(
                "{rank} dimensions, but {strides} strides and corners of {lower} and {upper}"
            )));
        }
        if !c.element_strides.is_empty() && c.element_strides.len() != rank {
            let steps = c.element_strides.len();
            return Err(wrong(format!("{rank} dimensions, but {steps} steps")));
        }
        let corner = |corner: &[i32]| -> Result<[i16; 3]> {
            let mut out = [0; 3];
            for (out, value) in out.iter_mut().zip(corner) {
                let reach = reach(rank);
                if !(-reach..reach).contains(value) {
                    let what =
                        format!("a corner at {value}, not within {} to {}", -reach, reach - 1);
                    return Err(wrong(what));
                }
                *out = *value as i16;
            }
            Ok(out)
        };
        if !(1..=1024).contains(&c.pixels) {
            return Err(wrong(format!("{} pixels of a column, not 1 to 1024", c.pixels)));
        }
        let column =
            Column { lower: corner(&c.lower)?, upper: corner(&c.upper)?, pixels: c.pixels as u16 };
        let mut map = TensorMap {
            element: c.element,
            address: c.address.0,
            rank,
            dims: [1; 5],
            strides: [0; 5],
            tile: [1; 5],
            steps: [1; 5],
            swizzle: c.swizzle,
            fill_nan: c.fill_nan,
            column: Some(column),
        };
        map.dims[..rank].copy_from_slice(&c.dims);
        map.strides[0] = c.element.bytes() as u64;
        map.strides[1..rank].copy_from_slice(&c.strides);
        map.tile[0] = c.channels;
        if !c.element_strides.is_empty() {
            map.steps[1..rank - 1].copy_from_slice(&c.element_strides[1..rank - 1]);
        }
        map.check().map_err(wrong)?;
        Ok(map)
    }
}

impl Column {
    /// The rule for columns of `map` that is not met, if there is one.
    pub fn check(&self, map: &TensorMap) -> Result<(), String> {
        if !(3..=5).contains(&map.rank) {
            return Err(format!("{} dimensions, not 3 to 5", map.rank));
        }
        if !(1..=1024).contains(&self.pixels) {
            return Err(format!("{} pixels of a column, not 1 to 1024", self.pixels));
        }
        match (0..map.rank - 2).find(|k| self.last(map, *k) < self.lower[*k] as i64) {
            None => Ok(()),
            Some(k) => {
                let (lower, last) = (self.lower[k], self.last(map, k));
                Err(format!(
                    "a box without places: from {lower} to {last} along dimension {}",
                    k + 1
                ))
            }
        }
    }

    /// The greatest place of the filter along W, H or D.
    fn last(&self, map: &TensorMap, k: usize) -> i64 {
        map.dims[k + 1] as i64 - 1 + self.upper[k] as i64
    }

    /// What is wrong with coordinates and offsets for which nothing is defined, in words.
    pub fn admits(&self, map: &TensorMap, at: [i32; 5], offsets: [u16; 3]) -> Result<(), String> {
        for k in 0..map.rank - 2 {
            let (place, lower, last) = (at[k + 1] as i64, self.lower[k] as i64, self.last(map, k));
            if !(lower..=last).contains(&place) {
                return Err(format!(
                    "the filter is at {place} along dimension {}, outside of its box from {lower} to {last}",
                    k + 1
                ));
            }
            let most = 2 * reach(map.rank) - 1;
            if offsets[k] as i32 > most {
                return Err(format!("an im2col offset of {}, more than {most}", offsets[k]));
            }
        }
        Ok(())
    }

    /// The parts of the column that lie in the tensor, pixel by pixel.
    pub fn parts(&self, map: &TensorMap, at: [i32; 5], offsets: [u16; 3]) -> Vec<Part> {
        let outer = map.rank - 2;
        let mut place: [i64; 3] = std::array::from_fn(|k| at[k + 1] as i64);
        let mut image = at[map.rank - 1] as i64;
        let mut parts = Vec::new();
        for pixel in 0..self.pixels as usize {
            let index = |k: usize| match k {
                k if k == outer + 1 => image,
                k => place[k - 1] + offsets[k - 1] as i64,
            };
            let inside = |k: &usize| (0..map.dims[*k] as i64).contains(&index(*k));
            if (1..map.rank).all(|k| inside(&k)) {
                let row = (1..map.rank).fold(map.address, |address, k| {
                    address.wrapping_add((index(k) as u64).wrapping_mul(map.strides[k]))
                });
                parts.extend(map.row(at[0], pixel, row));
            }
            let next = (0..outer).find(|k| {
                place[*k] += map.steps[k + 1] as i64;
                let stays = place[*k] <= self.last(map, *k);
                if !stays {
                    place[*k] = self.lower[*k] as i64;
                }
                stays
            });
            image += next.is_none() as i64;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column() -> Im2col {
        Im2col {
            element: ElementType::Bf16,
            address: Pointer(1 << 36),
            dims: vec![16, 3, 4, 2],
            strides: vec![32, 96, 384],
            lower: vec![-1, 0],
            upper: vec![-1, -1],
            channels: 8,
            pixels: 7,
            element_strides: vec![1, 1, 2, 1],
            swizzle: Swizzle::None,
            fill_nan: false,
        }
    }

    #[test]
    fn a_column_goes_through_its_box_row_by_row_and_image_by_image() {
        let map = TensorMap::encode_im2col(&column()).unwrap();
        assert_eq!(map.tile_bytes(), 7 * 16);
        assert_eq!(TensorMap::decode(&map.image()), Ok(map));
        let base = 1u64 << 36;
        // The filter stands at W −1 to 1 and H 0, 2: from (0, 2) on (1, 2), then the next image's (−1, 0), (0, 0), (1, 0), …
        // Its tap (1, 1) lies one further along both.
        let of = |w: u64, h: u64, n: u64| base + 32 * w + 96 * h + 384 * n + 16;
        let parts = map.parts([8, 0, 2, 0, 0], [1, 1, 0]);
        let all = [(1, 3, 0), (2, 3, 0), (0, 1, 1), (1, 1, 1), (2, 1, 1), (0, 3, 1), (1, 3, 1)];
        let wanted: Vec<Part> =
            all.iter().enumerate().map(|(k, (w, h, n))| (16 * k, of(*w, *h, *n), 16)).collect();
        assert_eq!(parts, wanted);
        // Without its offset, W −1 lies outside, and so does an image that is not there.
        let parts = map.parts([8, 0, 2, 1, 0], [0, 0, 0]);
        assert_eq!(parts, [(0, of(0, 2, 1), 16), (16, of(1, 2, 1), 16)]);
        // Channels beyond the last are left out.
        let parts = map.parts([12, 1, 2, 1, 0], [0, 0, 0]);
        assert_eq!(parts, [(0, of(1, 2, 1) + 8, 8)]);
    }

    #[test]
    fn each_rule_is_told() {
        let told = |change: &dyn Fn(&mut Im2col), words: &str| {
            let mut c = column();
            change(&mut c);
            let error = TensorMap::encode_im2col(&c).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        told(&|c| c.dims = vec![16, 3], "2 dimensions, not 3 to 5");
        told(&|c| c.upper = vec![0], "corners of 2 and 1");
        told(&|c| c.strides = vec![32], "1 strides");
        told(&|c| c.element_strides = vec![1], "1 steps");
        told(&|c| c.lower[0] = -129, "a corner at -129, not within -128 to 127");
        told(&|c| c.upper[1] = -4, "a box without places: from 0 to -1 along dimension 2");
        told(&|c| c.pixels = 1025, "1025 pixels");
        told(&|c| c.pixels = 0, "0 pixels");
        told(&|c| c.channels = 0, "0 elements");
        told(&|c| c.channels = 257, "257 elements");
        told(&|c| c.channels = 12, "24 bytes, no multiple of 16");
        told(&|c| c.element_strides[1] = 9, "a step of 9");
        told(&|c| c.strides[0] = 40, "a stride of 40");
        told(&|c| c.swizzle = Swizzle::B128, "not executed");
    }

    #[test]
    fn places_outside_of_the_box_and_far_offsets_are_told() {
        let map = TensorMap::encode_im2col(&column()).unwrap();
        assert_eq!(map.admits([0, 1, 2, 9, 0], [255, 255, 0]), Ok(()));
        let told = |at, offsets| map.admits(at, offsets).unwrap_err();
        assert!(told([0, 2, 0, 0, 0], [0; 3]).contains("at 2 along dimension 1"));
        assert!(told([0, 0, -1, 0, 0], [0; 3]).contains("box from 0 to 2"));
        assert!(told([0; 5], [256, 0, 0]).contains("256, more than 255"));
    }
}

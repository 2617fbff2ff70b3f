//! Tensor maps as `cuTensorMapEncodeTiled` makes them, and the tiles that copies by them move.
//!
//! What hardware keeps in the 128 bytes of a map is not documented: here it is an image of its own. Not offered: interleaved
//! layouts (COVERAGE.md says why), packed 4- and 6-bit elements, and types that change values on their way (`_FTZ`, `TFLOAT32`).

use super::column::Column;
pub use super::column::Im2col;
pub use super::element_type::ElementType;
use super::element_type::TYPES;
use super::swizzle::{Swizzle, swizzle};
use crate::error::{Error, Result};
use crate::memory::Pointer;

const SWIZZLES: [Swizzle; 4] = [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128];

/// What [`TensorMap::encode`] takes; dimensions innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiled {
    /// Type of an element.
    pub element: ElementType,
    /// First element.
    pub address: Pointer,
    /// Elements along each of 1 to 5 dimensions.
    pub dims: Vec<u64>,
    /// Bytes from one index to the next along all dimensions but the first.
    pub strides: Vec<u64>,
    /// Elements of a tile along each dimension.
    pub tile: Vec<u32>,
    /// Steps between elements of a tile along each dimension; the first is not looked at. Empty stands for ones.
    pub element_strides: Vec<u32>,
    /// How a tile lies in shared memory.
    pub swizzle: Swizzle,
    /// Whether elements out of bounds are read as NaN instead of 0.
    pub fill_nan: bool,
}

/// A tensor map; an [`Argument`](crate::Argument) is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    pub(crate) element: ElementType,
    pub(crate) address: u64,
    pub(crate) rank: usize,
    pub(super) dims: [u64; 5],
    pub(super) strides: [u64; 5],
    /// For im2col only the channels of a pixel.
    pub(super) tile: [u32; 5],
    pub(super) steps: [u32; 5],
    pub(crate) swizzle: Swizzle,
    pub(super) fill_nan: bool,
    /// For im2col.
    pub(super) column: Option<Column>,
}

/// A part of a tile: offset in it without swizzle, address in global memory, bytes.
pub(crate) type Part = (usize, u64, usize);

/// The first bytes of an image.
const MAGIC: u64 = u64::from_le_bytes(*b"ptxsim-t");

impl TensorMap {
    /// Checks what `cuTensorMapEncodeTiled` checks. That each stride be a multiple of the one before, as its description has
    /// it, neither the driver nor this asks for.
    ///
    /// # Errors
    /// [`Error::Launch`] that tells the rule which is not met.
    pub fn encode(t: &Tiled) -> Result<TensorMap> {
        let wrong = |what: String| Error::Launch(format!("tensor map: {what}"));
        let rank = t.dims.len();
        if !(1..=5).contains(&rank) {
            return Err(wrong(format!("{rank} dimensions, not 1 to 5")));
        }
        if t.strides.len() != rank - 1 || t.tile.len() != rank {
            let (strides, tile) = (t.strides.len(), t.tile.len());
            let what = format!("{rank} dimensions, but {strides} strides and a tile of {tile}");
            return Err(wrong(what));
        }
        if !t.element_strides.is_empty() && t.element_strides.len() != rank {
            let steps = t.element_strides.len();
            return Err(wrong(format!("{rank} dimensions, but {steps} steps")));
        }
        let mut map = TensorMap {
            element: t.element,
            address: t.address.0,
            rank,
            dims: [1; 5],
            strides: [0; 5],
            tile: [1; 5],
            steps: [1; 5],
            swizzle: t.swizzle,
            fill_nan: t.fill_nan,
            column: None,
        };
        map.dims[..rank].copy_from_slice(&t.dims);
        map.strides[0] = t.element.bytes() as u64;
        map.strides[1..rank].copy_from_slice(&t.strides);
        map.tile[..rank].copy_from_slice(&t.tile);
        if !t.element_strides.is_empty() {
            map.steps[1..rank].copy_from_slice(&t.element_strides[1..]);
        }
        map.check().map_err(wrong)?;
        Ok(map)
    }

    /// The rule that is not met, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        let (rank, width) = (self.rank, self.swizzle.width());
        if !(1..=5).contains(&rank) {
            return Err(format!("{rank} dimensions, not 1 to 5"));
        }
        if !self.address.is_multiple_of(16) {
            return Err(format!("its address {:#x} is no multiple of 16", self.address));
        }
        if let Some(dim) = self.dims.iter().find(|dim| **dim == 0 || **dim > 1 << 32) {
            return Err(format!("a dimension of {dim}, not 1 to 2^32"));
        }
        let strides = &self.strides[1..rank];
        if let Some(stride) = strides.iter().find(|s| **s % 16 != 0 || **s >= 1 << 40) {
            return Err(format!("a stride of {stride} bytes, no multiple of 16 below 2^40"));
        }
        if let Some(side) = self.tile.iter().find(|side| !(1..=256).contains(*side)) {
            return Err(format!("a side of the tile of {side} elements, not 1 to 256"));
        }
        if let Some(step) = self.steps.iter().find(|step| !(1..=8).contains(*step)) {
            return Err(format!("a step of {step} elements, not 1 to 8"));
        }
        let row = self.row_bytes() as u32;
        if !row.is_multiple_of(16) {
            return Err(format!("rows of the tile of {row} bytes, no multiple of 16"));
        }
        if self.swizzle != Swizzle::None && row > width {
            return Err(format!(
                "rows of the tile of {row} bytes are wider than the swizzle's {width}"
            ));
        }
        if self.swizzle != Swizzle::None && row < width {
            return Err(format!(
                "rows of the tile of {row} bytes in a swizzle of {width} are not executed"
            ));
        }
        if self.fill_nan && !self.element.is_float() {
            return Err("only floating-point elements can be filled with NaN".into());
        }
        self.column.map_or(Ok(()), |column| column.check(self))
    }

    /// The 128 bytes that a kernel gets.
    pub fn image(&self) -> [u8; 128] {
        let mut words = vec![MAGIC, self.address];
        words.extend(self.dims.map(|dim| dim - 1));
        words.extend(&self.strides[1..]);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.tile.map(|side| (side - 1) as u8));
        bytes.extend(self.steps.map(|step| step as u8));
        let place = |found: Option<usize>| found.expect("the table has all of them") as u8;
        bytes.push(self.rank as u8);
        bytes.push(place(TYPES.iter().position(|t| *t == self.element)));
        bytes.push(place(SWIZZLES.iter().position(|s| *s == self.swizzle)));
        bytes.push(self.fill_nan as u8);
        if let Some(Column { lower, upper, pixels }) = self.column {
            bytes.extend(pixels.to_le_bytes());
            bytes.extend(lower.into_iter().chain(upper).flat_map(i16::to_le_bytes));
        }
        let mut image = [0; 128];
        image[..bytes.len()].copy_from_slice(&bytes);
        image
    }

    /// The map of an image.
    ///
    /// # Errors
    /// In words, where it is none, or one that [`TensorMap::encode`] does not make.
    pub fn decode(image: &[u8; 128]) -> Result<TensorMap, String> {
        let word = |k: usize| {
            u64::from_le_bytes(image[8 * k..8 * k + 8].try_into().expect("8 bytes are 8 bytes"))
        };
        let half = |at: usize| i16::from_le_bytes([image[at], image[at + 1]]);
        let column = Column {
            pixels: half(102) as u16,
            lower: std::array::from_fn(|k| half(104 + 2 * k)),
            upper: std::array::from_fn(|k| half(110 + 2 * k)),
        };
        let element = TYPES.get(image[99] as usize).copied();
        let swizzle = SWIZZLES.get(image[100] as usize).copied();
        let (MAGIC, Some(element), Some(swizzle)) = (word(0), element, swizzle) else {
            return Err("there is no tensor map".into());
        };
        let mut strides = [element.bytes() as u64; 5];
        (1..5).for_each(|k| strides[k] = word(6 + k));
        let map = TensorMap {
            element,
            address: word(1),
            rank: image[98] as usize,
            dims: std::array::from_fn(|k| word(2 + k).wrapping_add(1)),
            strides,
            tile: std::array::from_fn(|k| image[88 + k] as u32 + 1),
            steps: std::array::from_fn(|k| image[93 + k] as u32),
            swizzle,
            fill_nan: image[101] != 0,
            column: (column.pixels != 0).then_some(column),
        };
        map.check().map_err(|what| format!("there is a damaged tensor map: {what}"))?;
        Ok(map)
    }

    /// Bytes of a row of a tile.
    pub(crate) fn row_bytes(&self) -> usize {
        (self.tile[0] * self.element.bytes()) as usize
    }

    /// Rows of a tile along each dimension but the first, and all of them.
    fn rows(&self) -> ([u32; 4], u32) {
        let sides: [u32; 4] = std::array::from_fn(|k| self.tile[k + 1].div_ceil(self.steps[k + 1]));
        (sides, sides.iter().product())
    }

    /// Bytes of a tile, which an mbarrier waits for, too.
    pub fn tile_bytes(&self) -> usize {
        self.row_bytes() * self.column.map_or(self.rows().1 as usize, |c| c.pixels as usize)
    }

    /// Whether the instruction must be one for im2col.
    pub(crate) fn is_column(&self) -> bool {
        self.column.is_some()
    }

    /// What is wrong with coordinates and im2col offsets for which nothing is defined, in words.
    pub(crate) fn admits(&self, at: [i32; 5], offsets: [u16; 3]) -> Result<(), String> {
        self.column.map_or(Ok(()), |column| column.admits(self, at, offsets))
    }

    /// The parts of the tile at these coordinates that lie in the tensor, row by row.
    pub(crate) fn parts(&self, at: [i32; 5], offsets: [u16; 3]) -> Vec<Part> {
        if let Some(column) = &self.column {
            return column.parts(self, at, offsets);
        }
        let (sides, count) = self.rows();
        let mut parts = Vec::new();
        for number in 0..count {
            let (mut rest, mut inside, mut address) = (number, true, self.address);
            for k in 1..5 {
                let index = rest % sides[k - 1] * self.steps[k];
                rest /= sides[k - 1];
                let index = at[k] as i64 + index as i64;
                inside &= (0..self.dims[k] as i64).contains(&index);
                address = address.wrapping_add((index as u64).wrapping_mul(self.strides[k]));
            }
            if inside {
                parts.extend(self.row(at[0], number as usize, address));
            }
        }
        parts
    }

    /// The part of row `number` of a tile from index `at` on that lies in the tensor, whose row begins at `address`.
    pub(super) fn row(&self, at: i32, number: usize, address: u64) -> Option<Part> {
        let size = self.element.bytes() as i64;
        let first = (at as i64).max(0);
        let last = (at as i64 + self.tile[0] as i64).min(self.dims[0] as i64);
        let skipped = ((first - at as i64) * size) as usize;
        let address = address.wrapping_add((first * size) as u64);
        let bytes = (last - first) * size;
        (bytes > 0).then(|| (number * self.row_bytes() + skipped, address, bytes as usize))
    }

    /// A tile of what is read out of bounds.
    pub(crate) fn filled(&self) -> Vec<u8> {
        let nan: &[u8] = match self.element {
            _ if !self.fill_nan => &[0],
            ElementType::F16 | ElementType::Bf16 => &[0xff, 0x7f],
            ElementType::F32 => &[0xff, 0xff, 0xff, 0x7f],
            _ => &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        };
        nan.iter().copied().cycle().take(self.tile_bytes()).collect()
    }

    /// Exchanges the tile's chunks as it lies at `address` of shared memory, a multiple of 128; twice is not at all.
    pub(crate) fn swizzled(&self, address: u32, tile: Vec<u8>) -> Vec<u8> {
        if self.swizzle == Swizzle::None {
            return tile;
        }
        let mut out = vec![0; tile.len()];
        for (k, chunk) in tile.chunks_exact(16).enumerate() {
            let at = swizzle(address + 16 * k as u32, self.swizzle) - address;
            out[at as usize..][..16].copy_from_slice(chunk);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiled() -> Tiled {
        Tiled {
            element: ElementType::Bf16,
            address: Pointer(1 << 36),
            dims: vec![40, 5, 3],
            strides: vec![96, 480],
            tile: vec![16, 4, 2],
            element_strides: vec![1, 2, 1],
            swizzle: Swizzle::B32,
            fill_nan: true,
        }
    }

    #[test]
    fn an_image_holds_all_of_a_map() {
        let map = TensorMap::encode(&tiled()).unwrap();
        assert_eq!(TensorMap::decode(&map.image()), Ok(map));
        assert_eq!(TensorMap::decode(&[0; 128]), Err("there is no tensor map".into()));
        // Steps of 2 leave two of four rows.
        assert_eq!(map.tile_bytes(), 32 * 2 * 2);
    }

    #[test]
    fn whatever_byte_of_an_image_is_damaged_it_is_a_map_by_the_rules_or_refused_in_words() {
        let image = TensorMap::encode(&tiled()).unwrap().image();
        let mut words = std::collections::BTreeSet::new();
        for at in 0..128 {
            for value in [0, 1, 7, 8, 0x80, 0xff] {
                let mut damaged = image;
                damaged[at] = value;
                match TensorMap::decode(&damaged) {
                    Ok(map) => {
                        assert!(map.tile_bytes() > 0 && map.parts([0; 5], [0; 3]).len() < 1 << 20)
                    }
                    Err(why) => {
                        words.insert(why.split(": ").last().unwrap()[..6].to_owned());
                    }
                }
            }
        }
        for rule in ["0 dime", "its ad", "a dime", "a stri", "rows o", "a step", "only f", "there "]
        {
            assert!(words.contains(rule), "{rule}: {words:?}");
        }
    }

    #[test]
    fn parts_are_what_lies_in_the_tensor() {
        let map = TensorMap::encode(&tiled()).unwrap();
        let base = 1u64 << 36;
        // Columns −2 to 13, rows 3 and 5 (which is out), planes 2 and 3 (which is out).
        assert_eq!(map.parts([-2, 3, 2, 0, 0], [0; 3]), [(4, base + 3 * 96 + 2 * 480, 28)]);
        // Columns 32 to 47, of which 8 are in.
        assert_eq!(
            map.parts([32, 0, -1, 0, 0], [0; 3]),
            [(64, base + 64, 16), (96, base + 64 + 2 * 96, 16)]
        );
        assert_eq!(map.parts([40, 0, 0, 0, 0], [0; 3]), []);
    }

    #[test]
    fn each_rule_is_told() {
        let told = |change: &dyn Fn(&mut Tiled), words: &str| {
            let mut t = tiled();
            change(&mut t);
            let error = TensorMap::encode(&t).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        told(&|t| t.dims = vec![], "0 dimensions");
        told(&|t| t.dims = vec![1; 6], "6 dimensions");
        told(&|t| t.strides = vec![96], "1 strides");
        told(&|t| t.address = Pointer(8), "no multiple of 16");
        told(&|t| t.dims[1] = 0, "a dimension of 0");
        told(&|t| t.dims[1] = (1 << 32) + 1, "a dimension of 4294967297");
        told(&|t| t.strides[0] = 88, "a stride of 88");
        told(&|t| t.strides[1] = 1 << 40, "below 2^40");
        told(&|t| t.tile[1] = 257, "257 elements");
        told(&|t| t.element_strides[1] = 9, "a step of 9");
        told(&|t| t.tile[0] = 12, "rows of the tile of 24 bytes, no multiple");
        told(&|t| t.tile[0] = 32, "wider than the swizzle's 32");
        told(&|t| t.tile[0] = 8, "not executed");
        told(&|t| t.element = ElementType::U16, "NaN");
    }
}

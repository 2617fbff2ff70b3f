//! Tiles that copies by tensor maps move: of every rank and swizzle, with steps, out of bounds, for im2col, to several blocks,
//! stored and reduced. What must come is found element by element from coordinates.

use super::{Block, Expected, Number, Tolerance, Value};
use crate::error::Result;
use crate::memory::Pointer;
use crate::tensor::map::{ElementType, Im2col, TensorMap, Tiled};
use crate::tensor::swizzle::Swizzle;

/// A tensor map over a block's buffer, as data: the address is an offset there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Map {
    /// For tiles, by `cuTensorMapEncodeTiled`.
    Tiled(Tiled),
    /// For columns, by `cuTensorMapEncodeIm2col`.
    Im2col(Im2col),
}

impl Map {
    /// The simulator's tensor map, where the buffer lies at `buffer`.
    ///
    /// # Errors
    /// As [`TensorMap::encode`].
    pub fn encode(&self, buffer: Pointer) -> Result<TensorMap> {
        let at = |offset: Pointer| buffer.offset(offset.0 as i64);
        match self {
            Map::Tiled(t) => TensorMap::encode(&Tiled { address: at(t.address), ..t.clone() }),
            Map::Im2col(c) => {
                TensorMap::encode_im2col(&Im2col { address: at(c.address), ..c.clone() })
            }
        }
    }
}

/// What is done with a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Load,
    /// To both blocks of a cluster.
    Multicast,
    Store,
    /// Added to what is there.
    Add,
}

/// The elements of a tile in order: the byte in the tensor of each, or nothing where it is out of bounds.
type Elements = Vec<Option<usize>>;

fn tiled(element: ElementType, dims: &[u64], tile: &[u32], swizzle: Swizzle) -> Tiled {
    let mut strides = Vec::new();
    let mut stride = dims[0] * element.bytes() as u64;
    for dim in &dims[1..] {
        stride = stride.next_multiple_of(16) + 16;
        strides.push(stride);
        stride *= dim;
    }
    Tiled {
        element,
        address: Pointer(0),
        dims: dims.to_vec(),
        strides,
        tile: tile.to_vec(),
        element_strides: Vec::new(),
        swizzle,
        fill_nan: false,
    }
}

/// Bytes of a tensor, gaps and all.
fn extent(element: ElementType, dims: &[u64], strides: &[u64]) -> usize {
    let row = dims[0] * element.bytes() as u64;
    strides.last().map_or(row, |stride| stride * dims[dims.len() - 1]).next_multiple_of(128)
        as usize
}

fn elements(t: &Tiled, at: &[i32]) -> Elements {
    let rank = t.dims.len();
    let step = |k: usize| t.element_strides.get(k).copied().filter(|_| k > 0).unwrap_or(1);
    let counts: Vec<u32> = (0..rank).map(|k| t.tile[k].div_ceil(step(k))).collect();
    let of = |number: u32| {
        let (mut rest, mut byte) = (number, 0);
        for k in 0..rank {
            let index = at[k] as i64 + (rest % counts[k] * step(k)) as i64;
            rest /= counts[k];
            if !(0..t.dims[k] as i64).contains(&index) {
                return None;
            }
            let stride = if k == 0 { t.element.bytes() as u64 } else { t.strides[k - 1] };
            byte += index as usize * stride as usize;
        }
        Some(byte)
    };
    (0..counts.iter().product()).map(of).collect()
}

/// Two images of 7×5 pixels with 8 channels of f16, convolved by 3×3 with padding 1 and a step of 2 along H: the column of 40
/// pixels from output 9 of the first image on, at tap (2, 0).
fn column() -> (Im2col, String, Elements) {
    let (element, [w, h, n]) = (ElementType::F16, [7, 5, 2]);
    let map = Im2col {
        element,
        address: Pointer(0),
        dims: vec![8, w, h, n],
        strides: vec![16, 16 * w, 16 * w * h],
        lower: vec![-1, -1],
        upper: vec![-1, -1],
        channels: 8,
        pixels: 40,
        element_strides: vec![1, 1, 2, 1],
        swizzle: Swizzle::None,
        fill_nan: false,
    };
    // Outputs are 7×3.
    let pixel = |output: u64| {
        let (x, y, image) = (output % 7 + 2, output / 7 % 3 * 2, output / 21);
        let inside = (1..=w).contains(&x) && (1..=h).contains(&y) && image < n;
        inside.then(|| ((image * h + y - 1) * w + x - 1) as usize * 16)
    };
    let of = |k: u64| pixel(9 + k / 8).map(|byte| byte + (k % 8) as usize * 2);
    // Output 9 is (2, 1): the filter stands at (1, 1).
    (map, "{0, 1, 1, 0}".into(), (0..320).map(of).collect())
}

/// Byte `at` of a tile as it lies with a swizzle: bits 7 and up of the address are added to those from 4 on.
fn lies(at: usize, swizzle: Swizzle) -> usize {
    let bits = swizzle.width().trailing_zeros() - 4;
    (0..bits).fold(at, |to, bit| to ^ ((at >> (7 + bit) & 1) << (4 + bit)))
}

struct Case {
    name: String,
    map: Map,
    at: String,
    elements: Elements,
    way: Way,
}

fn case(name: &str, t: Tiled, at: &[i32], way: Way) -> Case {
    let words: Vec<String> = at.iter().map(|x| x.to_string()).collect();
    let (rank, name) = (t.dims.len(), name.to_owned());
    Case {
        name: format!("cp.async.bulk.tensor.{rank}d {name}"),
        elements: elements(&t, at),
        at: format!("{{{}}}", words.join(", ")),
        map: Map::Tiled(t),
        way,
    }
}

fn cases() -> Vec<Case> {
    use ElementType::*;
    use Way::*;
    let plain = |element, dims: &[u64], tile: &[u32]| tiled(element, dims, tile, Swizzle::None);
    let mut all = vec![
        case("load of f32", plain(F32, &[80], &[64]), &[3], Load),
        case("load of bf16", plain(Bf16, &[40, 9], &[32, 4]), &[8, 2], Load),
        case("load of u8", plain(U8, &[80, 5, 6], &[64, 2, 3]), &[1, 2, 3], Load),
        case("load of f64", plain(F64, &[6, 5, 4, 3], &[4, 2, 3, 2]), &[1, 2, 0, 1], Load),
        case("load of u32", plain(U32, &[9, 3, 3, 3, 3], &[4, 2, 2, 2, 2]), &[2, 1, 0, 1, 1], Load),
        case("load to two blocks", plain(U16, &[64, 8], &[64, 4]), &[8, 3], Multicast),
    ];
    for swizzle in [Swizzle::B32, Swizzle::B64, Swizzle::B128] {
        let columns = swizzle.width() / 2;
        let t = tiled(Bf16, &[72, 40], &[columns, 16], swizzle);
        all.push(case(&format!("load with swizzle {swizzle:?}"), t.clone(), &[4, 5], Load));
        all.push(case(&format!("load at the edge with swizzle {swizzle:?}"), t, &[60, 30], Load));
    }
    for at in [[-5, -2], [35, 7], [-32, 0], [0, -4]] {
        let t = plain(F16, &[40, 9], &[32, 4]);
        all.push(case(&format!("load from {at:?}, zeros beyond"), t, &at, Load));
        let t = Tiled { fill_nan: true, ..plain(F32, &[40, 9], &[32, 4]) };
        all.push(case(&format!("load from {at:?}, NaN beyond"), t, &at, Load));
    }
    let stepped = |dims: &[u64], tile: &[u32]| Tiled {
        element_strides: vec![1, 3, 2],
        ..tiled(F32, dims, tile, Swizzle::B32)
    };
    all.push(case("load with steps", stepped(&[12, 20, 8], &[8, 12, 4]), &[2, 1, 3], Load));
    for way in [Store, Add] {
        for swizzle in [Swizzle::None, Swizzle::B128] {
            let t = tiled(U32, &[40, 6], &[32, 8], swizzle);
            all.push(case(&format!("{way:?} with swizzle {swizzle:?}"), t, &[4, 1], way));
        }
        all.push(case(
            &format!("{way:?} of 5"),
            plain(U32, &[8, 3, 2, 2, 3], &[8, 2, 2, 2, 2]),
            &[-4, 2, 0, 1, 1],
            way,
        ));
    }
    let (map, at, elements) = column();
    let name = "cp.async.bulk.tensor.4d load for im2col".into();
    all.push(Case { name, map: Map::Im2col(map), at, elements, way: Load });
    all
}

const START: &str = ".shared .align 8 .b8 bar[8];\n.reg .b64 at, map, to; .reg .b32 i, r, s, m, w;\n.reg .b16 both;\n\
    .reg .pred p, q;\nld.param.u64 at, [rows];\nmov.u32 i, %tid.x;\nmov.u32 s, tile;\nmov.u32 m, bar;\n\
    mov.b64 map, map0;\ncvta.param.u64 map, map;\nsetp.eq.u32 p, i, 0;\nmov.u32 r, %cluster_ctarank;\n";

impl Case {
    fn block(self) -> Block {
        let (element, dims, strides, swizzle, nan) = match &self.map {
            Map::Tiled(t) => (t.element, &t.dims, &t.strides, t.swizzle, t.fill_nan),
            Map::Im2col(t) => (t.element, &t.dims, &t.strides, t.swizzle, t.fill_nan),
        };
        let (size, rank) = (element.bytes() as usize, dims.len());
        let tensor = extent(element, dims, strides);
        let tile = self.elements.len() * size;
        let mut memory: Vec<u8> =
            (0..tensor).map(|k| (k * 37 + k / 256 * 11 + 1) as u8 | 1).collect();
        let blocks = if self.way == Way::Multicast { 2 } else { 1 };
        let mut body = format!(".shared .align 1024 .b8 tile[{tile}];\n{START}");
        let at = &self.at;
        let loads = matches!(self.way, Way::Load | Way::Multicast);
        // Words that are filled by a NaN, which the documentation does not tell the bits of.
        let mut filled = std::collections::HashSet::new();
        // The lanes' words of the tile.
        let words = (0..tile / 4).step_by(32).map(|k| 4 * k);
        let lane = "shl.b32 w, i, 2;\nadd.u32 s, s, w;\ncvt.u64.u32 to, w;\nadd.s64 to, to, at;\n";
        let want = if loads {
            let meet = match self.way {
                Way::Multicast => {
                    "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n"
                }
                _ => "bar.sync 0;\n",
            };
            let (mode, offsets) = match self.map {
                Map::Tiled(_) => ("tile", ""),
                Map::Im2col(_) => ("im2col", ", {2, 0}"),
            };
            let (multicast, mask) =
                if blocks > 1 { (".multicast::cluster", ", both") } else { ("", "") };
            body += &format!(
                "@p mbarrier.init.shared.b64 [m], 1;\n@p fence.mbarrier_init.release.cluster;\n\
                 @p mbarrier.arrive.expect_tx.shared.b64 _, [m], {tile};\n{meet}\
                 setp.eq.and.u32 q, r, 0, p;\nmov.u16 both, 3;\n\
                 @q cp.async.bulk.tensor.{rank}d.shared::cluster.global.{mode}.mbarrier::complete_tx::bytes{multicast} \
                 [s], [map, {at}], [m]{offsets}{mask};\n\
                 COME:\nmbarrier.try_wait.parity.acquire.cta.shared.b64 q, [m], 0;\n@!q bra COME;\n{lane}\
                 mul.lo.u32 r, r, {tile};\ncvt.u64.u32 map, r;\nadd.s64 to, to, map;\n"
            );
            for k in words {
                body +=
                    &format!("ld.shared.u32 w, [s+{k}];\nst.global.u32 [to+{}], w;\n", tensor + k);
            }
            body += meet;
            let mut out = vec![0; tile];
            let fills = self.elements.iter().enumerate().filter(|(_, from)| nan && from.is_none());
            filled.extend(fills.map(|(k, _)| lies(k * size, swizzle) / 4));
            for (k, from) in self.elements.iter().enumerate() {
                let bytes = from.map_or(&[0; 8][..size], |from| &memory[from..from + size]);
                out[lies(k * size, swizzle)..][..size].copy_from_slice(bytes);
            }
            memory.resize(tensor + blocks * tile, 0);
            (tensor, out.repeat(blocks))
        } else {
            body += &format!("mov.u32 m, s;\n{lane}add.u32 w, i, 1;\n");
            for k in words {
                body += &format!("st.shared.u32 [s+{k}], w;\nadd.u32 w, w, 32;\n");
            }
            let form = match self.way {
                Way::Add => {
                    format!("cp.reduce.async.bulk.tensor.{rank}d.global.shared::cta.add.tile")
                }
                _ => format!("cp.async.bulk.tensor.{rank}d.global.shared::cta.tile"),
            };
            body += &format!(
                "fence.proxy.async.shared::cta;\nbar.sync 0;\n@p {form}.bulk_group [map, {at}], [m];\n\
                 @p cp.async.bulk.commit_group;\n@p cp.async.bulk.wait_group 0;"
            );
            let mut out = memory.clone();
            for (k, to) in self.elements.iter().enumerate() {
                let Some(to) = *to else { continue };
                let word = (lies(4 * k, swizzle) / 4 + 1) as u32;
                let old = u32::from_le_bytes(out[to..to + 4].try_into().expect("4 bytes"));
                let new = if self.way == Way::Add { old.wrapping_add(word) } else { word };
                out[to..to + 4].copy_from_slice(&new.to_le_bytes());
            }
            (0, out)
        };
        let (first, bytes) = want;
        let results = bytes.chunks_exact(4).enumerate().map(|(k, word)| Expected {
            offset: first + 4 * k,
            number: Number::F32,
            value: match filled.contains(&k) {
                true => Value::Nan,
                false => Value::Bits(Number::F32.read(word, 0)),
            },
            tolerance: Tolerance::Exact,
        });
        Block {
            name: self.name,
            group: "tensor",
            grid: blocks as u32,
            cluster: blocks as u32,
            threads: 32,
            results: results.collect(),
            maps: vec![self.map],
            memory,
            body,
            sm: 90,
            version: (8, 0),
        }
    }
}

/// All of them.
pub(super) fn blocks() -> impl Iterator<Item = Block> {
    cases().into_iter().map(Case::block)
}

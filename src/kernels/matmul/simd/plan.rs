//! How a product is cut: into jobs for threads, and a job into blocks for the caches.

use std::ops::Range;

use crate::device::Pool;
use crate::ops::matmul::{Matmul, Product};

/// Words of k in a block: a panel of B of this depth and a panel of A stay in L2 together.
const KC: usize = 512;
/// Bytes of a packed block of A: the larger part of the half of L2 that the panels of B leave.
const A_BLOCK: usize = 384 << 10;
/// Bytes of a packed block of B: a thread's part of the last-level cache.
const B_BLOCK: usize = 4 << 20;
/// Bytes of sums that wait for the next block of k.
const SUMS: usize = 8 << 20;
/// Flops below which another thread costs more than it brings.
const SMALL: usize = 100_000;

/// A rectangle of one product's result, done by one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub product: Product,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// The sizes of a tile, and of the blocks that suit it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileSize {
    pub mr: usize,
    pub nr: usize,
    /// Words of k that it takes at once.
    pub grain: usize,
    /// Most words of k in a block.
    pub kc: usize,
    /// Bytes of a block of A.
    pub a_block: usize,
    /// Bytes of a block of B.
    pub b_block: usize,
    /// Whether a panel of A stays in the nearest cache while panels of B pass, rather than the other way round.
    pub rows_stay: bool,
}

impl TileSize {
    /// A tile of `mr` × `nr` that vectors make, word by word.
    pub const fn of_vectors(mr: usize, nr: usize) -> TileSize {
        TileSize { mr, nr, grain: 1, kc: KC, a_block: A_BLOCK, b_block: B_BLOCK, rows_stay: false }
    }
}

/// The sizes of a job's blocks: `mc` rows (a multiple of the tile's), `nc` columns (likewise), `kc` words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    pub mc: usize,
    pub nc: usize,
    pub kc: usize,
}

/// `items` in equal blocks of at most `most`, rounded up to a multiple of `grain`.
fn balanced(items: usize, most: usize, grain: usize) -> usize {
    let grains = items.div_ceil(grain).max(1);
    let blocks = grains.div_ceil((most / grain).max(1));
    grains.div_ceil(blocks) * grain
}

impl Blocks {
    /// Blocks for a rectangle of `rows` × `columns` sums of `words`; where sums of several blocks of k wait in memory of their
    /// own, all rows of them do.
    pub fn new(tile: TileSize, rows: usize, columns: usize, words: usize, sums_wait: bool) -> Self {
        let kc = balanced(words, tile.kc, tile.grain);
        let mc = balanced(rows, tile.a_block / (4 * kc), tile.mr);
        let mut most = tile.b_block / (4 * kc);
        if sums_wait && words > kc {
            most = most.min((SUMS / (4 * rows.max(1))).max(8 * tile.nr));
        }
        Blocks { mc, nc: balanced(columns, most, tile.nr), kc }
    }
}

/// Cuts a product into jobs: a dense one into one rectangle a thread, a batch or groups into whole products where these
/// are many and small, else each into rectangles. Large jobs come first, so that threads end together.
pub(super) fn jobs(p: &Matmul, tile: TileSize, threads: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    let total = (p.m * p.batch).max(1);
    for product in p.products().into_iter().filter(|product| product.rows > 0 && p.n > 0) {
        let parts = match product.rows.saturating_mul(p.n).saturating_mul(2 * p.k) {
            flops if flops < SMALL => 1,
            // Several such jobs a thread even the load out.
            _ if product.rows * threads * 4 <= total => 1,
            _ => threads,
        };
        let (down, across) = grid(tile, product.rows, p.n, parts);
        for part in 0..parts {
            let rows = Pool::share(product.rows, tile.mr, part / across, down);
            let columns = Pool::share(p.n, tile.nr, part % across, across);
            if !rows.is_empty() && !columns.is_empty() {
                jobs.push(Job { product, rows, columns });
            }
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.rows.len() * job.columns.len()));
    jobs
}

/// Rows and columns of the grid of `parts` rectangles whose largest takes the least time: its tiles, and the packing of its
/// operands, each element of which costs about as much as 12 sums.
fn grid(tile: TileSize, rows: usize, columns: usize, parts: usize) -> (usize, usize) {
    let time = |down: usize| {
        let across = parts / down;
        let m = rows.div_ceil(tile.mr).div_ceil(down) * tile.mr;
        let n = columns.div_ceil(tile.nr).div_ceil(across) * tile.nr;
        m * n + 12 * (m + n)
    };
    let down = (1..=parts)
        .filter(|down| parts.is_multiple_of(*down))
        .min_by_key(|&down| time(down))
        .expect("1 divides any number");
    (down, parts / down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Groups;

    const TILE: TileSize = TileSize::of_vectors(12, 32);

    /// How often each entry of the result lies in a job.
    fn covered(p: &Matmul, jobs: &[Job]) -> Vec<u8> {
        let mut count = vec![0; p.m * p.batch * p.n];
        for job in jobs {
            for i in job.rows.clone() {
                for j in job.columns.clone() {
                    count[job.product.c + i * p.n + j] += 1;
                }
            }
        }
        count
    }

    #[test]
    fn jobs_cover_every_entry_once() {
        let groups = Some(Groups { experts: 9, skew: 1.5 });
        for (m, n) in [(0, 5), (1, 1), (13, 33), (97, 350), (500, 3)] {
            for p in [
                Matmul::new(m, n, 300),
                Matmul { batch: 3, ..Matmul::new(m, n, 300) },
                Matmul { batch: 20, ..Matmul::new(m, n, 2) },
                Matmul { groups, ..Matmul::new(m, n, 300) },
            ] {
                for threads in [1, 2, 3, 8] {
                    let count = covered(&p, &jobs(&p, TILE, threads));
                    assert!(count.iter().all(|&c| c == 1), "{p} on {threads}");
                }
            }
        }
    }

    #[test]
    fn a_tall_product_is_cut_across_and_a_wide_one_down() {
        let cells = |m, n| jobs(&Matmul::new(m, n, 512), TILE, 2);
        assert!(cells(4800, 64).iter().all(|job| job.rows.len() == 2400));
        assert!(cells(24, 50257).iter().all(|job| job.rows.len() == 24));
        assert_eq!(cells(480, 640).len(), 2);
    }

    #[test]
    fn tiny_products_stay_on_one_thread() {
        assert_eq!(jobs(&Matmul::new(8, 8, 8), TILE, 4).len(), 1);
    }

    #[test]
    fn blocks_are_even_and_whole_tiles_and_fit_their_caches() {
        for (rows, columns, words) in
            [(1, 1, 1), (512, 768, 768), (4096, 4096, 4096), (7, 50257, 1600), (512, 30522, 50257)]
        {
            for wait in [false, true] {
                let b = Blocks::new(TILE, rows, columns, words, wait);
                assert!(b.mc.is_multiple_of(12) && b.nc.is_multiple_of(32) && b.kc > 0);
                assert!(b.kc <= KC && b.mc * b.kc * 4 <= A_BLOCK + 12 * 4 * KC);
                assert!(b.nc * b.kc * 4 <= B_BLOCK + 32 * 4 * KC);
            }
        }
        assert_eq!(Blocks::new(TILE, 0, 0, 0, false), Blocks { mc: 12, nc: 32, kc: 1 });
        assert_eq!(Blocks::new(TILE, 12, 32, 768, false).kc, 384);
    }
}

//! The five loops around the tile (Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008; the scheme
//! of BLIS): columns of B, blocks of k, rows of A, and within these panels of B and of A.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use half::bf16;

use super::pack::{SLACK, Side, Source, Words};
use super::plan::{Blocks, Job, TileSize, jobs};
use super::tile::{Engine, Tile};
use crate::device::memory::AlignedBytes;
use crate::kernels::matmul::format::Shared;
use crate::kernels::{Args, Body};
use crate::ops::Matmul;

/// Panels of A up to which packing a B that tiles can read in place does not pay.
const B_IN_PLACE: usize = 24;

/// A product made ready: what stays the same from launch to launch.
struct Ready<W: Words, E: Engine> {
    p: Matmul,
    /// Whether results are bf16, rounded from sums that wait in memory of their own.
    narrow: bool,
    jobs: Vec<Job>,
    workspaces: Vec<Workspace>,
    types: std::marker::PhantomData<fn(W, E)>,
}

/// One thread's memory for packed blocks and waiting sums.
struct Workspace {
    a: AlignedBytes,
    b: AlignedBytes,
    sums: AlignedBytes,
}

/// The addresses of a workspace.
#[derive(Clone, Copy)]
struct Room<S> {
    a: *mut u32,
    b: *mut u32,
    sums: *mut S,
}

/// The addresses of a job's operands and result.
struct At<T, S> {
    a: *const T,
    b: *const T,
    c: *mut S,
    /// The same as `c` where results are bf16.
    narrow: *mut bf16,
}

impl<W: Words, E: Engine> Ready<W, E> {
    const TILE: TileSize = E::SIZE;

    fn words(&self) -> usize {
        self.p.k.div_ceil(W::PER_WORD)
    }

    fn blocks(&self, job: &Job) -> Blocks {
        let (rows, columns) = (job.rows.len(), job.columns.len());
        Blocks::new(Self::TILE, rows, columns, self.words(), self.narrow)
    }

    /// Bytes of a block of A, a block of B, and waiting sums.
    fn needs(&self, job: &Job) -> [usize; 3] {
        let Blocks { mc, nc, kc } = self.blocks(job);
        let header = if W::HEADER { nc } else { 0 };
        let sums = match (self.narrow, self.words() > kc) {
            (false, _) => 0,
            (true, false) => mc * E::NR,
            (true, true) => job.rows.len() * nc,
        };
        [4 * (mc * kc + SLACK), 4 * (nc * kc + header + SLACK), 4 * sums]
    }
}

/// Builds the body of a launch of `p` with panels of `W` and tiles of `E`; `narrow` says that results are bf16.
pub(super) fn body<W: Words, E: Engine>(p: Matmul, narrow: bool, threads: usize) -> Body {
    let jobs = jobs(&p, Ready::<W, E>::TILE, threads);
    let mut ready =
        Ready::<W, E> { p, narrow, jobs, workspaces: Vec::new(), types: Default::default() };
    let most = ready
        .jobs
        .iter()
        .map(|job| ready.needs(job))
        .fold([0; 3], |most, needs| std::array::from_fn(|i| usize::max(most[i], needs[i])));
    let workspace = |_| {
        let [a, b, sums] = most.map(AlignedBytes::zeroed);
        Workspace { a, b, sums }
    };
    ready.workspaces = (0..threads.min(ready.jobs.len())).map(workspace).collect();
    Box::new(move |args: &mut Args<'_>| launch(&mut ready, args))
}

/// Deals the jobs to the threads: one each, or as they become free.
fn launch<W: Words, E: Engine>(ready: &mut Ready<W, E>, args: &mut Args<'_>) {
    let a = args.read[0].as_ref::<W::Element>();
    let b = args.read[1].as_ref::<W::Element>();
    let (wide, narrow) = if ready.narrow {
        (None, Some(Shared::new(args.written[0].as_mut::<bf16>())))
    } else {
        (Some(Shared::new(args.written[0].as_mut::<E::Sum>())), None)
    };
    let workspaces = Shared::new(&mut ready.workspaces);
    let ready = &*ready;
    let run = |thread: usize, job: &Job| {
        // SAFETY: each thread has a workspace of its own: there are as many as threads or jobs, whichever are fewer, and a
        // thread beyond these gets no job.
        let workspace = unsafe { &mut workspaces.part(thread, 1)[0] };
        let room = Room {
            a: workspace.a.as_mut_ptr().cast(),
            b: workspace.b.as_mut_ptr().cast(),
            sums: workspace.sums.as_mut_ptr().cast(),
        };
        let (a_row, _) = ready.p.a_strides();
        let (_, b_column) = ready.p.b_strides();
        let c = job.product.c + job.rows.start * ready.p.n + job.columns.start;
        // SAFETY: a job lies within the result, so that these are addresses in the tensors. Operands without elements (k = 0)
        // get wrapping arithmetic and are never read.
        unsafe {
            let at = At {
                a: a.as_ptr().wrapping_add(job.product.a + job.rows.start * a_row),
                b: b.as_ptr().wrapping_add(job.product.b + job.columns.start * b_column),
                c: wide.map_or(std::ptr::null_mut(), |c_all| c_all.at(c)),
                narrow: narrow.map_or(std::ptr::null_mut(), |c_all| c_all.at(c)),
            };
            E::begin();
            rectangle(ready, job, &at, room);
            E::end();
        }
    };
    let (count, threads) = (ready.jobs.len(), args.pool.threads());
    if count <= 1 {
        ready.jobs.iter().for_each(|job| run(0, job));
    } else if count <= threads {
        args.pool.run(|thread| ready.jobs.get(thread).into_iter().for_each(|job| run(thread, job)));
    } else {
        let next = AtomicUsize::new(0);
        args.pool.run(|thread| {
            while let Some(job) = ready.jobs.get(next.fetch_add(1, Relaxed)) {
                run(thread, job);
            }
        });
    }
}

/// One job.
///
/// # Safety
/// The addresses are those of the job's operands, of its rectangle of the result, which no other thread touches, and of a
/// workspace of the size that the job needs. The processor has the instruction sets of `W` and `E`.
unsafe fn rectangle<W: Words, E: Engine>(
    ready: &Ready<W, E>,
    job: &Job,
    at: &At<W::Element, E::Sum>,
    room: Room<E::Sum>,
) {
    let p = &ready.p;
    let (rows, columns) = (job.rows.len(), job.columns.len());
    let ((a_row, a_k), (b_k, b_column)) = (p.a_strides(), p.b_strides());
    let Blocks { mc, nc, kc } = ready.blocks(job);
    if p.k == 0 {
        for row in 0..rows {
            // SAFETY: a row of the rectangle; zero bits are 0 in every format.
            unsafe {
                match ready.narrow {
                    true => at.narrow.add(row * p.n).write_bytes(0, columns),
                    false => at.c.add(row * p.n).write_bytes(0, columns),
                }
            }
        }
        return;
    }
    // A tile can read rows of A from anywhere, and rows of B where these run along n.
    let b_in_place = W::DIRECT && b_column == 1 && rows <= B_IN_PLACE * E::MR;
    let passes = ready.words().div_ceil(kc);
    for j0 in (0..columns).step_by(nc) {
        let width = nc.min(columns - j0);
        for pass in 0..passes {
            let k0 = pass * kc * W::PER_WORD;
            let depth = (kc * W::PER_WORD).min(p.k - k0);
            let words = depth.div_ceil(W::PER_WORD).next_multiple_of(E::SIZE.grain);
            // The panel from column `j` of the block on: its width in memory, and where it lies when packed.
            let panel_width = |j: usize| (width - j).min(E::NR).next_multiple_of(E::LANES);
            let header = if W::HEADER { 1 } else { 0 };
            let packed_at = |j: usize| room.b.wrapping_add(j * (words + header));
            let in_place = |j: usize| b_in_place && (width - j).min(E::NR) % E::LANES == 0;
            let b_block = at.b.wrapping_add(k0 * b_k + j0 * b_column);
            for j in (0..width).step_by(E::NR).filter(|&j| !in_place(j)) {
                let source = Source {
                    start: b_block.wrapping_add(j * b_column),
                    lane_stride: b_column,
                    k_stride: b_k,
                    lanes: (width - j).min(E::NR),
                    depth,
                };
                // SAFETY: the source lies in B; all panels of the block fit the workspace.
                unsafe { W::pack(Side::B, source, panel_width(j), packed_at(j)) };
            }
            for i0 in (0..rows).step_by(mc) {
                let height = mc.min(rows - i0);
                let a_block = at.a.wrapping_add(i0 * a_row + k0 * a_k);
                let a_panel = |i: usize| Source {
                    start: a_block.wrapping_add(i * a_row),
                    lane_stride: a_row,
                    k_stride: a_k,
                    lanes: (height - i).min(E::MR),
                    depth,
                };
                let pack_a = |i: usize| columns > W::A_IN_PLACE * E::NR || !W::reads_a(&a_panel(i));
                for i in (0..height).step_by(E::MR).filter(|&i| pack_a(i)) {
                    let source = a_panel(i);
                    // SAFETY: the source lies in A; all panels of the block fit the workspace.
                    unsafe { W::pack(Side::A, source, source.lanes, room.a.add(i * words)) };
                }
                let (down, across) = (height.div_ceil(E::MR), width.div_ceil(E::NR));
                for at_tile in 0..down * across {
                    let (i, j) = match E::SIZE.rows_stay {
                        true => (at_tile / across * E::MR, at_tile % across * E::NR),
                        false => (at_tile % down * E::MR, at_tile / down * E::NR),
                    };
                    let panel = (width - j).min(E::NR);
                    // Where the sums go: the result, or memory of their own, a block or a panel of it.
                    let (sums, c_stride) = match (ready.narrow, passes > 1) {
                        (false, _) => (at.c.wrapping_add(i0 * p.n + j0 + j), p.n),
                        (true, true) => (room.sums.wrapping_add(j * rows + i0 * E::NR), E::NR),
                        (true, false) => (room.sums, E::NR),
                    };
                    let (b, b_stride) = if in_place(j) {
                        (b_block.wrapping_add(j).cast::<u32>(), b_k)
                    } else {
                        (packed_at(j).cast_const(), panel_width(j))
                    };
                    let lanes = (height - i).min(E::MR);
                    let packed = pack_a(i);
                    let a = match packed {
                        true => room.a.wrapping_add(i * words).cast_const(),
                        false => a_block.wrapping_add(i * a_row).cast(),
                    };
                    let tile = Tile {
                        a,
                        a_strides: (a_row, a_k),
                        b,
                        b_stride,
                        depth: words,
                        c: sums.wrapping_add(i * c_stride),
                        c_stride,
                        columns: panel,
                        add: pass > 0,
                    };
                    // SAFETY: panels and sums lie in the operands, the workspace and the rectangle; the processor has
                    // the instruction set, by this function's contract.
                    unsafe {
                        if lanes == E::MR && panel == E::NR {
                            E::tile(E::MR, E::NR / E::LANES, packed, &tile);
                        } else {
                            edge::<E>(lanes, panel.div_ceil(E::LANES), packed, &tile);
                        }
                    }
                    if ready.narrow && pass + 1 == passes {
                        for i in i..i + lanes {
                            // SAFETY: the sums of this panel are complete, and sums of narrow results are f32; the row
                            // lies in the rectangle.
                            unsafe {
                                let from = sums.add(i * c_stride).cast::<f32>();
                                let to = at.narrow.add((i0 + i) * p.n + j0 + j);
                                E::round(
                                    std::slice::from_raw_parts(from, panel),
                                    std::slice::from_raw_parts_mut(to, panel),
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A tile that is not whole; a function of its own, for profiles to tell what edges take.
///
/// # Safety
/// As [`Engine::tile`] asks.
#[inline(never)]
unsafe fn edge<E: Engine>(rows: usize, vectors: usize, packed: bool, tile: &Tile<E::Sum>) {
    // SAFETY: the caller vouches for it.
    unsafe { E::tile(rows, vectors, packed, tile) };
    // A call that came last would be a jump, and this function not on the stack.
    std::hint::black_box(tile);
}

#[cfg(test)]
mod tests {
    use super::super::tile::round;
    use super::*;

    #[test]
    fn rounding_is_that_of_half_with_nan_and_infinity() {
        let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-40];
        let stream = crate::ops::random::Stream::new(1, 2);
        let random = (0..10_000).map(|i| f32::from_bits(stream.bits(i)));
        let from: Vec<f32> = special.into_iter().chain(random).collect();
        let mut to = vec![bf16::ZERO; from.len()];
        round(&from, &mut to);
        for (from, to) in from.iter().zip(to) {
            let want = bf16::from_f32(*from);
            assert!(to == want || (to.is_nan() && want.is_nan()), "{from} became {to}");
        }
    }
}

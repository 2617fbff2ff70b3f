// matmul/wgmma-tma: C[m, n] = A·B in bf16 with f32 sums by warpgroup products (wgmma) fed by TMA; result bf16 or f32 (OUT).
//
// Needs: sm_90a; m, n, k > 0; rows of A, B and C that are multiples of 16 bytes, as tensor maps ask for; 3-dimensional maps (innermost
//   first; the last is the batch) with 128-byte swizzle and zeros out of bounds, of boxes
//     A: BK × BM × 1 where k is contiguous, else 64 (m) × BK × 1     B: BK × BN/CLUSTER × 1 or 64 (n) × BK × 1
//     C: 128/sizeof(OUT) × 64 × 1.
//   384 threads; a grid of any multiple of CLUSTER blocks, at best one an SM. Dynamic shared memory: 1024 to align, the ring's
//   STAGES·(BM + BN)·BK·2 bytes and 32 KiB for the result: 225 KiB with BM = 128, BN = 256, BK = 64, STAGES = 4.
//   Ceilings: 168 registers at launch, then 40 for the producer and 232 for consumers.
// Ladder: rung 6. One thread of the first warpgroup asks for tiles; the two others multiply 64×BN each, 128 accumulators a thread,
//   with both operands read from shared memory by the tensor cores. A ring of full and empty barriers keeps the copies up to
//   STAGES steps ahead, also across tiles: blocks stay, and while consumers write one tile the next one's steps arrive.
//   The result goes through two buffers of 64 rows × 128 bytes a warpgroup, by TMA, which also cuts the edges off.
// CLUSTER = 2 (row wgmma-tma-cluster): two blocks, one below the other, share B: each fetches half of it, to both.
// Bound (H100, H200): tensor cores in time, then power. A step of 1024 tensor-core cycles reads 80 KiB from shared memory for
//   wgmma and writes 48 KiB by TMA, together near the 128 bytes a cycle that shared memory has; BN = 256 is there because each
//   warpgroup reads all of B. From L2 a step takes 48 bytes a cycle and SM, which is more than L2 gives when all SMs ask; a
//   cluster of two takes 32. One block an SM: no occupancy to hide anything, the ring does. Sums wait at the first step of a tile
//   for the result of the last one, as accumulators are not doubled.
// Shared memory: the swizzle makes wgmma's and TMA's accesses free of conflicts, stmatrix too; f32 results are written with two-way
//   conflicts.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. Asks L2 for m·n·k·(1/(CLUSTER·BM) + 1/BN) elements.
// Ideas: CUTLASS (SM90 warp-specialized persistent kernels); P. Shankhdhar, Outperforming cuBLAS on H100 (fast.cu, 2024); DeepGEMM.
#include "common/tiles.cuh"
#include "common/wgmma.cuh"
#include "matmul/operands.cuh"

#if !defined(BM) || !defined(BN) || !defined(BK) || !defined(STAGES) || !defined(CLUSTER) || !defined(OUT)
#error "the row passes BM, BN, BK, STAGES, CLUSTER and OUT"
#endif
#define CONSUMERS 2
#define THREADS ((1 + CONSUMERS) * 128)
#define A_BYTES (BM * BK * 2)
#define B_BYTES (BN * BK * 2)
#define LINE 128                      // bytes of a swizzled row
#define BLOCK (64 * LINE)             // a box of 64 rows
#define COLUMNS (LINE / sizeof(OUT))  // of the result in a box
static_assert(BM == 64 * CONSUMERS && BK * 2 == LINE && BN % (64 * CLUSTER) == 0 && CLUSTER <= 2, "boxes fit");

struct Ring {
  u32 slot, phase;
  __device__ __forceinline__ void advance() {
    slot = slot + 1 == STAGES ? 0 : slot + 1;
    phase ^= slot == 0;
  }
};

// Waits where blocks of the cluster may be the ones who arrive.
DEVICE void wait_for_cluster(u32 barrier, u32 parity) {
  if (CLUSTER > 1) mbarrier_wait_cluster(barrier, parity);
  else mbarrier_wait(barrier, parity);
}

// Everything this block needs of one step, on its own full barrier; its part of B goes to all blocks of the cluster.
DEVICE void fetch(u32 to, u32 full, const TensorMap* map_a, const TensorMap* map_b, u32 i0, u32 j0, u32 p0, u32 product, u32 rank) {
  mbarrier_arrive_expect_tx(full, A_BYTES + B_BYTES);
  if (TRANS_A) {
#pragma unroll
    for (u32 i = 0; i < BM; i += 64) tma_load_3d(to + i * LINE, map_a, full, i0 + i, p0, product);
  } else {
    tma_load_3d(to, map_a, full, p0, i0, product);
  }
  constexpr u32 SHARE = BN / CLUSTER;
  constexpr u16 ALL = (1 << CLUSTER) - 1;
#pragma unroll
  for (u32 j = 0; j < SHARE; j += TRANS_B ? SHARE : 64) {
    u32 at = rank * SHARE + j, x = TRANS_B ? p0 : j0 + at, y = TRANS_B ? j0 + at : p0;
    if (CLUSTER > 1) tma_load_3d_multicast(to + A_BYTES + at * LINE, map_b, full, ALL, x, y, product);
    else tma_load_3d(to + A_BYTES + at * LINE, map_b, full, x, y, product);
  }
}

// One warpgroup's 64 rows of the result, a box of columns at a time. `buffers`: two boxes; `barrier`: of this warpgroup.
DEVICE void write_result(const float (&sum)[BN / 2], const TensorMap* map_c, u32 buffers, u32 barrier, u32 i0, u32 j0, u32 product) {
  u32 thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
#pragma unroll
  for (u32 part = 0; part < BN / COLUMNS; part++) {
    u32 buffer = buffers + part % 2 * BLOCK;
    if (thread == 0) bulk_wait_read<1>();
    named_barrier_sync(barrier, 128); // the store before the last has read this buffer
#pragma unroll
    for (u32 j = 0; j < COLUMNS / 8; j += 2) {
      const float* s = &sum[(part * (COLUMNS / 8) + j) * 4];
      if (sizeof(OUT) == 2) {
        u32 row = warp * 16 + lane % 16, chunk = j + lane / 16;
        stmatrix_x4(buffer + row * LINE + (chunk ^ row % 8) * 16, pack_bf16(s[0], s[1]), pack_bf16(s[2], s[3]),
                    pack_bf16(s[4], s[5]), pack_bf16(s[6], s[7]));
      } else {
#pragma unroll
        for (u32 e = 0; e < 4; e++) {
          u32 row = warp * 16 + lane / 4 + e % 2 * 8, chunk = (j + e / 2) * 2 + lane % 4 / 2;
          st_shared(buffer + row * LINE + (chunk ^ row % 8) * 16 + lane % 2 * 8, __float_as_uint(s[e * 2]),
                    __float_as_uint(s[e * 2 + 1]));
        }
      }
    }
    fence_proxy_async();
    named_barrier_sync(barrier, 128);
    if (thread == 0) {
      tma_store_3d(map_c, buffer, j0 + part * COLUMNS, i0, product);
      bulk_commit();
    }
  }
}

extern "C" __global__ void
#if CLUSTER > 1
__cluster_dims__(CLUSTER, 1, 1)
#endif
__launch_bounds__(THREADS, 1)
matmul_wgmma_tma(u32 m, u32 n, u32 k, u32 batch, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
                 const __grid_constant__ TensorMap map_c) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ __align__(8) u64 barriers[2 * STAGES];
  u32 ring = (shared_address(shared) + 1023) & ~1023u;
  u32 full = shared_address(barriers), empty = full + STAGES * 8;
  u32 rank = CLUSTER > 1 ? cluster_rank() : 0;
  if (threadIdx.x == 0) {
    prefetch_tensormap(&map_a);
    prefetch_tensormap(&map_b);
    prefetch_tensormap(&map_c);
    for (u32 i = 0; i < STAGES; i++) {
      mbarrier_init(full + i * 8, 1);
      mbarrier_init(empty + i * 8, CLUSTER * CONSUMERS * 4); // one arrival a warp of each consumer
    }
    fence_mbarrier_init();
  }
  if (CLUSTER > 1) cluster_sync();
  else __syncthreads();

  u32 tiles_m = ceil_div(m, BM * CLUSTER), tiles_n = ceil_div(n, BN), steps = ceil_div(k, BK);
  u32 tiles = tiles_m * tiles_n * batch;
  u32 warpgroup = threadIdx.x / 128;
  Ring at = {0, 0};
  if (warpgroup == 0) {
    setmaxnreg_decrease<40>();
    if (threadIdx.x == 0) {
      for (u32 number = blockIdx.x / CLUSTER; number < tiles; number += gridDim.x / CLUSTER) {
        Tile tile = tile_of<8 / CLUSTER>(number, tiles_m, tiles_n);
        u32 i0 = (tile.m * CLUSTER + rank) * BM, j0 = tile.n * BN;
        for (u32 step = 0; step < steps; step++) {
          wait_for_cluster(empty + at.slot * 8, at.phase ^ 1);
          fetch(ring + at.slot * (A_BYTES + B_BYTES), full + at.slot * 8, &map_a, &map_b, i0, j0, step * BK, tile.product, rank);
          at.advance();
        }
      }
    }
  } else {
    setmaxnreg_increase<232>();
    u32 consumer = warpgroup - 1;
    u32 buffers = ring + STAGES * (A_BYTES + B_BYTES) + consumer * 2 * BLOCK;
    // The steps of 16 k in a descriptor's units: along a row, or down 16 of them.
    constexpr u64 NEXT_A = TRANS_A ? 16 * LINE / 16 : 2, NEXT_B = TRANS_B ? 2 : 16 * LINE / 16;
    auto release = [&](u32 slot) {
      if (threadIdx.x % 32 == 0) {
        if (CLUSTER == 1) mbarrier_arrive(empty + slot * 8);
        else
          for (u32 block = 0; block < CLUSTER; block++) mbarrier_arrive_remote(empty + slot * 8, block);
      }
    };
    float sum[BN / 2];
    for (u32 number = blockIdx.x / CLUSTER; number < tiles; number += gridDim.x / CLUSTER) {
      Tile tile = tile_of<8 / CLUSTER>(number, tiles_m, tiles_n);
      u32 i0 = (tile.m * CLUSTER + rank) * BM, j0 = tile.n * BN;
#pragma unroll
      for (u32 i = 0; i < BN / 2; i++) sum[i] = 0;
      for (u32 step = 0; step < steps; step++) {
        mbarrier_wait(full + at.slot * 8, at.phase);
        u32 base = ring + at.slot * (A_BYTES + B_BYTES);
        u64 a = wgmma_descriptor(base + consumer * BLOCK, BLOCK, 8 * LINE);
        u64 b = wgmma_descriptor(base + A_BYTES, BLOCK, 8 * LINE);
        wgmma_fence();
#pragma unroll
        for (u32 p = 0; p < BK / 16; p++) Wgmma<BN, TRANS_A, !TRANS_B>::bf16(sum, a + p * NEXT_A, b + p * NEXT_B, 1);
        wgmma_commit();
        wgmma_wait<1>(); // the step before this one has been read
        if (step > 0) release(at.slot == 0 ? STAGES - 1 : at.slot - 1);
        at.advance();
      }
      wgmma_wait<0>();
      wgmma_settle(sum);
      release(at.slot == 0 ? STAGES - 1 : at.slot - 1);
      write_result(sum, &map_c, buffers, 1 + consumer, i0 + consumer * 64, j0, tile.product);
    }
    if (threadIdx.x % 128 == 0) bulk_wait<0>();
  }
  __syncwarp();
  // A block that has left could still be arrived at.
  if (CLUSTER > 1) cluster_sync();
}

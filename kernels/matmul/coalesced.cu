// matmul/coalesced: C[m, n] = A·B, one entry at a time, with the lanes of a warp where memory is contiguous.
//
// Needs: any architecture, any sizes, f32 or bf16 operands (IN) and result (OUT) with f32 sums, or int8 with i32; blocks of
//   THREADS for THREADS/32 × 32 entries of C (nt: 1 × THREADS/32), numbered over the batch.
// Ladder: rung 2. nn and tn: lanes along n, so that a row of B and of C is one wide access and A a broadcast. nt has no such
//   direction, as both operands are contiguous in k: there a warp takes one entry, its lanes run along k, and shuffles add up.
// Bound (H100, H200): L1 and L2 traffic. A warp's fma still waits for one 128-byte load and one broadcast (nn, tn), so at most
//   one fma of four issue slots, in practice about a tenth of the fp32 peak; nt moves 8 bytes for each fma of a lane and is
//   bound by L2. Occupancy is full. The next rung reads each element once a tile instead of once an entry.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. nn asks for k·n·m/32 lines of B.
// Ideas: S. Boehm, How to Optimize a CUDA Matmul Kernel (2022), kernel 2; nt as in any matrix-vector product by warps.
#include "common/tiles.cuh"
#include "matmul/operands.cuh"

#if !defined(IN) || !defined(OUT) || !defined(THREADS)
#error "the row passes IN, OUT and THREADS"
#endif

// Threads that share an entry, and the entries of a block.
#define SHARE (TRANS_B ? 32 : 1)
#define ROWS (TRANS_B ? 1 : THREADS / 32)
#define COLUMNS (TRANS_B ? THREADS / 32 : 32)

using Sum = SumOf<IN>::Type;

extern "C" __global__ void __launch_bounds__(THREADS)
matmul_coalesced(const IN* __restrict__ a, const IN* __restrict__ b, OUT* __restrict__ c, u32 m, u32 n, u32 k) {
  Tile tile = tile_of<1>(blockIdx.x, ceil_div(m, ROWS), ceil_div(n, COLUMNS));
  u32 entry = threadIdx.x / SHARE, lane = threadIdx.x % SHARE;
  u32 i = tile.m * ROWS + entry / COLUMNS, j = tile.n * COLUMNS + entry % COLUMNS;
  // Whole warps leave together where they share an entry, so that the shuffles below find all lanes.
  if (i >= m || j >= n) return;
  a += (u64)tile.product * m * k + i * a_stride_m(m, k);
  b += (u64)tile.product * k * n + j * b_stride_n(n, k);
  Sum sum = 0;
  for (u32 p = lane; p < k; p += SHARE) sum = multiply_add(widen(a[p * a_stride_k(m, k)]), widen(b[p * b_stride_k(n, k)]), sum);
#if TRANS_B
#pragma unroll
  for (u32 distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
#endif
  if (lane == 0) c[((u64)tile.product * m + i) * n + j] = narrow<OUT>(sum);
}

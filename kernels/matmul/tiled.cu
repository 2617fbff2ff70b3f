// matmul/tiled: C[m, n] = A·B by TILE×TILE tiles in shared memory, one thread an entry.
//
// Needs: any architecture, any sizes, f32 or bf16 operands (IN) and result (OUT) with f32 sums, or int8 with i32; 2·TILE·(TILE + 1)·4 bytes of shared
//   memory; blocks of TILE×TILE threads, one a tile of C, numbered over the batch.
// Ladder: rung 3. Each element is read from global memory once a tile, TILE times less often than before; both storages of an
//   operand are read along their contiguous direction, and turned on the way to shared memory (a column of padding keeps the
//   turned write free of bank conflicts).
// Bound (H100, H200): shared memory. An fma of a warp needs two loads from it, of one wavefront each, and an SM does one
//   wavefront a cycle where it could do four fmas: an eighth of the fp32 peak. Global traffic (TILE = 32: 16 flops a byte of f32
//   each way) is already below what L2 can give. Two blocks of 1024 threads fill an SM. The next rung computes many entries a
//   thread, so that a value loaded from shared memory is used 8 times from registers.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. Asks for 2·m·n·k/TILE elements.
// Ideas: NVIDIA, CUDA C++ Programming Guide, shared memory; S. Boehm (2022), kernel 3.
#include "common/tiles.cuh"
#include "matmul/operands.cuh"

#if !defined(IN) || !defined(OUT) || !defined(TILE)
#error "the row passes IN, OUT and TILE"
#endif

using Sum = SumOf<IN>::Type;

extern "C" __global__ void __launch_bounds__(TILE* TILE)
matmul_tiled(const IN* __restrict__ a, const IN* __restrict__ b, OUT* __restrict__ c, u32 m, u32 n, u32 k) {
  __shared__ Sum tile_a[TILE][TILE + 1]; // [m][k]
  __shared__ Sum tile_b[TILE][TILE + 1]; // [k][n]
  u32 x = threadIdx.x % TILE, y = threadIdx.x / TILE;
  Tile tile = tile_of<8>(blockIdx.x, ceil_div(m, TILE), ceil_div(n, TILE));
  u32 i0 = tile.m * TILE, j0 = tile.n * TILE;
  a += (u64)tile.product * m * k;
  b += (u64)tile.product * k * n;
  c += (u64)tile.product * m * n;
  // Where this thread reads in each operand's tile: x along the contiguous direction.
  u32 a_i = TRANS_A ? x : y, a_p = TRANS_A ? y : x;
  u32 b_p = TRANS_B ? x : y, b_j = TRANS_B ? y : x;
  Sum sum = 0;
  for (u32 p0 = 0; p0 < k; p0 += TILE) {
    bool in_a = i0 + a_i < m && p0 + a_p < k;
    bool in_b = p0 + b_p < k && j0 + b_j < n;
    tile_a[a_i][a_p] = in_a ? widen(a[(i0 + a_i) * a_stride_m(m, k) + (p0 + a_p) * a_stride_k(m, k)]) : 0;
    tile_b[b_p][b_j] = in_b ? widen(b[(p0 + b_p) * b_stride_k(n, k) + (j0 + b_j) * b_stride_n(n, k)]) : 0;
    __syncthreads();
#pragma unroll
    for (u32 p = 0; p < TILE; p++) sum = multiply_add(tile_a[y][p], tile_b[p][x], sum);
    __syncthreads();
  }
  if (i0 + y < m && j0 + x < n) c[(u64)(i0 + y) * n + j0 + x] = narrow<OUT>(sum);
}

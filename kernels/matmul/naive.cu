// matmul/naive: C[m, n] = A·B, one thread an entry, the 32 lanes of a warp down a column of C.
//
// Needs: any architecture, any sizes, f32 or bf16 operands (IN) and result (OUT) with f32 sums, or int8 with i32; blocks of
//   THREADS for 32 × THREADS/32 entries of C, numbered over the batch.
// Ladder: rung 1. What everyone writes first, with the mapping that hurts: for nn the 32 lanes of a warp read 32 rows of A, k
//   apart (a sector of 32 bytes each for 4 used), and write C just as scattered; B is one broadcast load.
// Bound (H100, H200): the load path. Every fma costs two loads, one of them 32 sectors wide, so that L1 delivers one fma a
//   lane in some 32 cycles where the fp32 pipes could do 4 a cycle: about a hundredth of the peak. Occupancy is full (32
//   registers) and does not help. The next rung only turns the mapping by 90 degrees.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. This rung asks for 2·m·n·k elements.
// Ideas: S. Boehm, How to Optimize a CUDA Matmul Kernel (2022), kernel 1.
#include "common/tiles.cuh"
#include "matmul/operands.cuh"

#if !defined(IN) || !defined(OUT) || !defined(THREADS)
#error "the row passes IN, OUT and THREADS"
#endif

using Sum = SumOf<IN>::Type;

extern "C" __global__ void __launch_bounds__(THREADS)
matmul_naive(const IN* __restrict__ a, const IN* __restrict__ b, OUT* __restrict__ c, u32 m, u32 n, u32 k) {
  Tile tile = tile_of<1>(blockIdx.x, ceil_div(m, 32), ceil_div(n, THREADS / 32));
  u32 i = tile.m * 32 + threadIdx.x % 32, j = tile.n * (THREADS / 32) + threadIdx.x / 32;
  if (i >= m || j >= n) return;
  a += (u64)tile.product * m * k + i * a_stride_m(m, k);
  b += (u64)tile.product * k * n + j * b_stride_n(n, k);
  Sum sum = 0;
  for (u32 p = 0; p < k; p++) {
    sum = multiply_add(widen(*a), widen(*b), sum);
    a += a_stride_k(m, k);
    b += b_stride_k(n, k);
  }
  c[((u64)tile.product * m + i) * n + j] = narrow<OUT>(sum);
}

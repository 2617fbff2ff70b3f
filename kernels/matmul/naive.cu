// matmul/naive: C[m, n] = A·B, one thread an entry, consecutive threads down a column of C.
//
// Needs: any architecture, any sizes, f32 or bf16 operands (IN) and result (OUT) with f32 sums, or int8 with i32.
// Ladder: rung 1. What everyone writes first, with the mapping that hurts: for nn the 32 lanes of a warp read 32 rows of A, k
//   apart (a sector of 32 bytes each for 4 used), and write C just as scattered; B is one broadcast load.
// Bound (H100, H200): the load path. Every fma costs two loads, one of them 32 sectors wide, so that L1 delivers one fma a
//   lane in some 32 cycles where the fp32 pipes could do 4 a cycle: about a hundredth of the peak. Occupancy is full (32
//   registers) and does not help. The next rung only turns the mapping by 90 degrees.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. This rung asks for 2·m·n·k elements.
// Ideas: S. Boehm, How to Optimize a CUDA Matmul Kernel (2022), kernel 1.
#include "matmul/operands.cuh"

#if !defined(IN) || !defined(OUT) || !defined(THREADS)
#error "the row passes IN, OUT and THREADS"
#endif

using Sum = SumOf<IN>::Type;

extern "C" __global__ void __launch_bounds__(THREADS)
matmul_naive(const IN* __restrict__ a, const IN* __restrict__ b, OUT* __restrict__ c, u32 m, u32 n, u32 k, u32 batch) {
  u64 entry = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (entry >= (u64)batch * m * n) return;
  u64 column = entry / m;
  u32 i = (u32)(entry - column * m);
  u64 product = column / n;
  u32 j = (u32)(column - product * n);
  a += product * m * k + i * a_stride_m(m, k);
  b += product * k * n + j * b_stride_n(n, k);
  Sum sum = 0;
  for (u32 p = 0; p < k; p++) {
    sum = multiply_add(widen(*a), widen(*b), sum);
    a += a_stride_k(m, k);
    b += b_stride_k(n, k);
  }
  c[product * m * n + (u64)i * n + j] = narrow<OUT>(sum);
}

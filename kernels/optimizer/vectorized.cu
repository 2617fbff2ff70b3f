// optimizer/vectorized: one step of any rule, 16 bytes of parameters at a time, UNROLL of them in flight.
//
// Needs: any architecture; vectors that begin at multiples of 16 bytes (allocations do); f32, or bf16 parameters and gradients
//   with f32 moments. Any number of parameters: those after the last whole 16 bytes are done one by one by the last block.
// Ladder: rung 2. The traffic of scalar with a quarter (bf16: an eighth) of the instructions and UNROLL times 16 bytes of each
//   vector in flight a thread: all loads of a turn come before the first use. The grid stays small and strides, so that blocks
//   are not started faster than they can be fed.
// Bound (H100): memory, at what copy reaches (kernels/peak/streams.cu); root and division hide below it.
// Least work: Rule::flops a parameter; bytes as Update::cost counts them.
// Ideas: J. Luitjens, Increase Performance with Vectorized Memory Access (2013); NVIDIA Apex, fused Adam.
#include "optimizer/rules.cuh"

#if !defined(UNROLL)
#error "the row passes UNROLL"
#endif

extern "C" __global__ void __launch_bounds__(THREADS) optimizer_vectorized(FLAT) {
  const Constants k = GATHERED;
  const Vectors at = FLAT_VECTORS;
  const u64 whole = params / WIDE, stride = (u64)gridDim.x * THREADS;
  u64 i = (u64)blockIdx.x * THREADS + threadIdx.x;
  for (; i + (UNROLL - 1) * stride < whole; i += UNROLL * stride) {
    Held held[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; u++) load(held[u], at, i + u * stride);
#pragma unroll
    for (int u = 0; u < UNROLL; u++) step_and_store(k, held[u], at, i + u * stride);
  }
  for (; i < whole; i += stride) {
    Held held;
    load(held, at, i);
    step_and_store(k, held, at, i);
  }
  u64 left = whole * WIDE + threadIdx.x;
  if (blockIdx.x == gridDim.x - 1 && left < params) step_one(k, at, left);
}

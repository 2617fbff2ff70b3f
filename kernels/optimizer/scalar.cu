// optimizer/scalar: one step of any rule, one thread a parameter.
//
// Needs: any architecture; f32, or bf16 parameters and gradients with f32 moments.
// Ladder: rung 1. Fused as it is, it moves the least bytes: every vector is read once and written once, and a warp's accesses
//   are whole sectors. What it lacks is bytes in flight: one 4-byte (bf16: 2-byte) load of each vector a thread.
// Bound (H100): memory. 12 to 28 bytes a parameter in f32; some 32 KiB an SM must be in flight to fill HBM3, and at 2048 threads
//   an SM SGD has 16 KiB of loads at most, Adam 32.
// Least work: Rule::flops a parameter; bytes as Update::cost counts them.
// Ideas: PyTorch's fused optimizers.
#include "optimizer/rules.cuh"

extern "C" __global__ void __launch_bounds__(THREADS) optimizer_scalar(FLAT) {
  u64 i = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (i < params) step_one(GATHERED, FLAT_VECTORS, i);
}

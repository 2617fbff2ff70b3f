// peak/fma: what the fp32 pipes give: fused multiply-adds in registers and nothing else.
//
// Needs: any architecture.
// Place: the roof of everything f32 that arithmetic bounds. 96 threads hold the 384 accumulators of the probe, four each; a block has
//   four such sets, the grid as many as fill the device. Odd steps add a·b, even ones take it away again: small integers, exact
//   whatever the number of steps. All sets write what they have, and peak_fma_mean takes the mean, which is exact if all are right.
// Bound: one FMA a lane and cycle; latency 4 with 4 independent chains a thread and 12 warps a block needs no more.
// Least work: 2·384·rounds flops a set.
// Ideas: the probes of mixbench and of this project's CPU side (src/kernels/peak/fma.rs).
#include "common/ptx.cuh"
#include "peak/mean.cuh"

#define CHAINS 384
#define EACH 4
#define SET (CHAINS / EACH)
#define THREADS 384
#define PERIOD 8

extern "C" __global__ void __launch_bounds__(THREADS)
peak_fma(const float* __restrict__ x, const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ sets, u32 pairs) {
  const u32 lane = threadIdx.x % SET, set = blockIdx.x * (THREADS / SET) + threadIdx.x / SET;
  const float factor = a[lane % PERIOD], plus = b[lane % PERIOD], minus = -plus;
  float sum[EACH];
#pragma unroll
  for (int i = 0; i < EACH; i++) sum[i] = x[lane + i * SET];
#pragma unroll 8
  for (u32 pair = 0; pair < pairs; pair++) {
#pragma unroll
    for (int i = 0; i < EACH; i++) sum[i] = fmaf(factor, plus, sum[i]);
#pragma unroll
    for (int i = 0; i < EACH; i++) sum[i] = fmaf(factor, minus, sum[i]);
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) sets[(u64)set * CHAINS + lane + i * SET] = fmaf(factor, plus, sum[i]);
}

extern "C" __global__ void __launch_bounds__(MEAN_CHAINS* MEAN_LANES)
peak_fma_mean(float* __restrict__ result, const float* __restrict__ sets, u32 count) {
  mean_of_sets(result, sets, count, CHAINS);
}

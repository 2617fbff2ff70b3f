// peak/mma: what tensor cores give to mma.sync: products of fragments in registers and nothing else.
//
// Needs: sm_80 (bf16, f16, tf32, int8), sm_89 (e4m3).
// Place: the roof of what is multiplied on tensor cores, on GPUs whose fastest instruction mma.sync is; Hopper's wgmma (wgmma.cu) and
//   the fifth generation's tcgen05 go beyond it. A warp has the 384 accumulators of the probe: three 16×8 tiles, whose columns repeat
//   with the probe's period of 8. One mma adds a·b to each (factors.cuh). Odd steps add, even ones take away (A with its sign turned):
//   small integers, exact in every format whatever the number of steps. A block writes one set for all of its own, which must agree.
// Bound: one m16n8 product a warp in flight on each of 3 independent tiles, 8 warps a block, several blocks a multiprocessor.
// Least work: 2·384·8·dot·rounds operations a warp.
#include "peak/factors.cuh"
#include "peak/mean.cuh"

#define TILES 3
#define WARPS 8

DEVICE void product(acc (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if FORMAT == F_BF16
  mma_m16n8k16_bf16(d, a, b[0], b[1]);
#elif FORMAT == F_F16
  mma_m16n8k16_f16(d, a, b[0], b[1]);
#elif FORMAT == F_S8
  mma_m16n8k32_s8(d, a, b[0], b[1]);
#elif FORMAT == F_TF32
  mma_m16n8k8_tf32(d, a, b[0], b[1]);
#else
  mma_m16n8k32_e4m3(d, a, b[0], b[1]);
#endif
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
peak_mma(const acc* __restrict__ x, const stored* __restrict__ a, const stored* __restrict__ b, acc* __restrict__ sets, u32 pairs) {
  const u32 lane = threadIdx.x % 32, row = lane / 4, quarter = lane % 4;
  __shared__ acc memory[WARPS * CHAINS];
  // Words `quarter` and `quarter + 4` of a row of A and a column of B are this lane's.
  u32 plus[4], minus[4], factors[2];
#pragma unroll
  for (int word = 0; word < 2; word++) {
    plus[2 * word] = plus[2 * word + 1] = value_word(word * 4 + (int)quarter, 1);
    minus[2 * word] = minus[2 * word + 1] = value_word(word * 4 + (int)quarter, -1);
    factors[word] = factor_word(word * 4 + (int)quarter, (int)row, a, b);
  }
  acc d[TILES][4];
#pragma unroll
  for (int tile = 0; tile < TILES; tile++)
#pragma unroll
    for (int i = 0; i < 4; i++) d[tile][i] = x[tile * 128 + (row + i / 2 * 8) * 8 + quarter * 2 + i % 2];
#pragma unroll 4
  for (u32 pair = 0; pair < pairs; pair++) {
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) product(d[tile], plus, factors);
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) product(d[tile], minus, factors);
  }
  acc last[4 * TILES];
#pragma unroll
  for (int tile = 0; tile < TILES; tile++) {
    product(d[tile], plus, factors);
#pragma unroll
    for (int i = 0; i < 4; i++) last[4 * tile + i] = d[tile][i];
  }
  write_agreed<WARPS>(sets + blockIdx.x * CHAINS, last, memory);
}

extern "C" __global__ void __launch_bounds__(MEAN_CHAINS* MEAN_LANES)
peak_mma_mean(acc* __restrict__ result, const acc* __restrict__ sets, u32 count) {
  mean_of_sets(result, sets, count, CHAINS);
}

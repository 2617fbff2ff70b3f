// peak/mma: what tensor cores give to mma.sync: products of fragments in registers and nothing else.
//
// Needs: sm_80 (bf16, f16, tf32, int8), sm_89 (e4m3).
// Place: the roof of what is multiplied on tensor cores, on GPUs whose fastest instruction mma.sync is; Hopper's wgmma and the fifth
//   generation's tcgen05 go beyond it. A warp has the 384 accumulators of the probe: three 16×8 tiles, whose columns repeat with the
//   probe's period of 8. One mma adds a·b to each: the k of an instruction is 8 values of a factor times the `dot` of the format, in
//   every format, so A holds the values 1 to 8 and B the factor b where the value is a. The seven other values are paired, (p, q) with
//   (q, -p), which adds up to 0: all operands but one in eight are other than 0, and power is drawn as by a product. Odd steps add,
//   even ones take away (A with its sign turned): small integers, exact in every format whatever the number of steps.
// Bound: one m16n8 product a warp in flight on each of 3 independent tiles, 8 warps a block, several blocks a multiprocessor.
// Least work: 2·384·8·dot·rounds operations a warp.
#include "common/ptx.cuh"
#include "peak/mean.cuh"

#define CHAINS 384
#define PERIOD 8
#define TILES 3
#define WARPS 8
#define F_BF16 0
#define F_F16 1
#define F_TF32 2
#define F_S8 3
#define F_E4M3 4

#if FORMAT == F_S8
typedef i32 acc;
typedef signed char stored;
#elif FORMAT == F_E4M3
typedef float acc;
typedef unsigned char stored;
#elif FORMAT == F_TF32
typedef float acc;
typedef float stored;
#else
typedef float acc;
typedef u16 stored;
#endif
// Numbers in 32 bits, which is also how many products one step of the probe adds up.
#define DOT ((int)(4 / sizeof(stored)))

// A small integer in the format, and back.
DEVICE u32 encode(int x) {
#if FORMAT == F_S8
  return (u32)x & 0xff;
#elif FORMAT == F_E4M3
  if (x == 0) return 0;
  const u32 size = x < 0 ? -x : x, log = 31 - __clz(size);
  return (x < 0 ? 0x80u : 0u) | (log + 7) << 3 | (size << 3 >> log & 7);
#elif FORMAT == F_TF32
  return __float_as_uint((float)x);
#elif FORMAT == F_BF16
  return __float_as_uint((float)x) >> 16;
#else
  return to_f16((float)x).bits;
#endif
}
DEVICE int decode(stored x) {
#if FORMAT == F_S8
  return x;
#elif FORMAT == F_E4M3
  const int size = (8 | (x & 7)) << ((x >> 3 & 15) - 7) >> 3;
  return x & 0x80 ? -size : size;
#elif FORMAT == F_TF32
  return (int)x;
#elif FORMAT == F_BF16
  return (int)__uint_as_float((u32)x << 16);
#else
  f16 y;
  y.bits = x;
  return (int)to_f32(y);
#endif
}

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

// What stands in B beside value `at` (from 1) of a pair of factors: b at a, and what cancels elsewhere.
DEVICE int beside(int at, int a, int b) {
  if (at == a) return b;
  // The how manieth of the values without a, from 0; the seventh has no partner.
  const int nth = at - 1 - (at > a), partner = nth ^ 1;
  if (nth == 6) return 0;
  const int other = partner + 1 + (partner + 1 >= a);
  return nth & 1 ? -other : other;
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
peak_mma(const acc* __restrict__ x, const stored* __restrict__ a, const stored* __restrict__ b, acc* __restrict__ sets, u32 pairs) {
  const u32 lane = threadIdx.x % 32, row = lane / 4, quarter = lane % 4;
  const u32 set = blockIdx.x * WARPS + threadIdx.x / 32;
  // A row of A and a column of B are 32 bytes in every format: words `quarter` and `quarter + 4` of them are this lane's.
  u32 plus[4], minus[4], factors[2];
#pragma unroll
  for (int word = 0; word < 2; word++) {
    u32 value = 0, turned = 0, factor = 0;
#pragma unroll
    for (int i = 0; i < DOT; i++) {
      const int k = (word * 4 + (int)quarter) * DOT + i, at = k % PERIOD + 1, term = k / PERIOD;
      const int shift = i * 8 * (int)sizeof(stored);
      value |= encode(at) << shift;
      turned |= encode(-at) << shift;
      factor |= encode(beside(at, decode(a[row * DOT + term]), decode(b[row * DOT + term]))) << shift;
    }
    plus[2 * word] = plus[2 * word + 1] = value;
    minus[2 * word] = minus[2 * word + 1] = turned;
    factors[word] = factor;
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
#pragma unroll
  for (int tile = 0; tile < TILES; tile++) {
    product(d[tile], plus, factors);
#pragma unroll
    for (int i = 0; i < 4; i++) sets[(u64)set * CHAINS + tile * 128 + (row + i / 2 * 8) * 8 + quarter * 2 + i % 2] = d[tile][i];
  }
}

extern "C" __global__ void __launch_bounds__(MEAN_CHAINS* MEAN_LANES)
peak_mma_mean(acc* __restrict__ result, const acc* __restrict__ sets, u32 count) {
  mean_of_sets(result, sets, count, CHAINS);
}

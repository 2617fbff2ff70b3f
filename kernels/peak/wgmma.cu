// peak/wgmma: what Hopper's tensor cores give to wgmma: products of tiles in shared memory and nothing else.
//
// Needs: sm_90a. 40 KiB of shared memory a block.
// Place: the roof of what is multiplied on tensor cores, on sm_90; mma.sync stays far below it there. A warpgroup holds a 64×192 tile of
//   sums: 32 times the 384 accumulators of the probe, three neighbouring 16×8 tiles of a warp being one set. One wgmma adds a·b to
//   each (factors.cuh); odd steps add, even ones take away (another A with its sign turned): small integers, exact in every format
//   whatever the number of steps. A block writes one set for all of its own, which must agree: all would be 100 MB on an H100.
// Bound: an SM multiplies 64×192 by 32 bytes of k in 96 cycles, for which it reads 8 KiB of shared memory, two thirds of what that
//   gives. Two warpgroups in turns, two steps of each under way, two blocks a multiprocessor.
// Least work: 2·384·8·dot·rounds operations a set.
#include "common/wgmma.cuh"
#include "peak/factors.cuh"
#include "peak/mean.cuh"

#define COLUMNS 192
#define THREADS 256
#define ROW 128 // bytes of a swizzled row: four times an instruction's k
#define A_BYTES (64 * ROW)

#if FORMAT == F_S8
#define SUM "+r"
#define FORM "k32.s32.s8.s8"
#define SCALES ""
#else
#define SUM "+f"
#if FORMAT == F_E4M3
#define FORM "k32.f32.e4m3.e4m3"
#define SCALES ", 1, 1"
#elif FORMAT == F_TF32
#define FORM "k8.f32.tf32.tf32"
#define SCALES ", 1, 1"
#elif FORMAT == F_BF16
#define FORM "k16.f32.bf16.bf16"
#define SCALES ", 1, 1, 0, 0"
#else
#define FORM "k16.f32.f16.f16"
#define SCALES ", 1, 1, 0, 0"
#endif
#endif

#define D8(i) SUM(d[i]), SUM(d[i + 1]), SUM(d[i + 2]), SUM(d[i + 3]), SUM(d[i + 4]), SUM(d[i + 5]), SUM(d[i + 6]), SUM(d[i + 7])
#define D32(i) D8(i), D8(i + 8), D8(i + 16), D8(i + 24)

// d = d + a·b, both with k contiguous.
DEVICE void product(acc (&d)[COLUMNS / 2], u64 a, u64 b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n192" FORM " "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}, "
      "%96, %97, p" SCALES ";\n}"
      : D32(0), D32(32), D32(64)
      : "l"(a), "l"(b)
      : "memory");
}

extern "C" __global__ void __launch_bounds__(THREADS)
peak_wgmma(const acc* __restrict__ x, const stored* __restrict__ a, const stored* __restrict__ b, acc* __restrict__ sets, u32 pairs) {
  __shared__ __align__(1024) u8 tiles[2 * A_BYTES + COLUMNS * ROW];
  const u32 base = shared_address(tiles);
  // 16 bytes at a time: A, A with its sign turned, B.
  for (u32 i = threadIdx.x; i < sizeof(tiles) / 16; i += THREADS) {
    const u32 row = i / 8, chunk = i % 8;
    u32 words[4];
#pragma unroll
    for (int w = 0; w < 4; w++) {
      const int word = (int)chunk % 2 * 4 + w;
      words[w] = row < 128 ? value_word(word, row < 64 ? 1 : -1) : factor_word(word, (int)row % PERIOD, a, b);
    }
    st_shared(base + row * ROW + (chunk ^ row % 8) * 16, make_uint4(words[0], words[1], words[2], words[3]));
  }
  fence_proxy_async();
  __syncthreads();
  const u64 plus = wgmma_descriptor(base, A_BYTES, 8 * ROW), minus = wgmma_descriptor(base + A_BYTES, A_BYTES, 8 * ROW);
  const u64 factors = wgmma_descriptor(base + 2 * A_BYTES, COLUMNS * ROW, 8 * ROW);

  const u32 lane = threadIdx.x % 32, place = lane / 4 * 8 + lane % 4 * 2;
  acc d[COLUMNS / 2];
#pragma unroll
  for (int i = 0; i < COLUMNS / 2; i++) d[i] = x[i / 4 % 3 * 128 + i / 2 % 2 * 64 + place + i % 2];
  // Within a pair, and from pair to pair, other parts of the rows are read, as along the k of a product.
#pragma unroll 2
  for (u32 pair = 0; pair < pairs; pair++) {
    const u32 part = pair % 2 * 4;
    wgmma_fence();
    product(d, plus + part, factors + part);
    product(d, minus + part + 2, factors + part + 2);
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_fence();
  product(d, plus, factors);
  wgmma_commit();
  wgmma_wait<0>();
  acc agreed[12];
#pragma unroll
  for (int i = 0; i < COLUMNS / 2; i++) {
    asm volatile("" : SUM(d[i])::"memory");
    agreed[i % 12] = i < 12 || d[i] == agreed[i % 12] ? d[i] : WRONG;
  }
  __syncthreads(); // the other warpgroup reads the tiles until it is here
  write_agreed<THREADS / 32>(sets + blockIdx.x * CHAINS, agreed, (acc*)tiles);
}

extern "C" __global__ void __launch_bounds__(MEAN_CHAINS* MEAN_LANES)
peak_wgmma_mean(acc* __restrict__ result, const acc* __restrict__ sets, u32 count) {
  mean_of_sets(result, sets, count, CHAINS);
}

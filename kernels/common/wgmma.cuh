// Warpgroup matrix products of sm_90a (wgmma): bf16 operands in shared memory, f32 accumulators in registers.
//
// A warpgroup's four warps hold a 64×N tile: of a[j*4 + e], lane l of warp w has row w*16 + l/4 + (e/2)*8 and column
// j*8 + (l%4)*2 + e%2. MajorA, MajorB: 0 where k is contiguous, 1 where the other dimension is.
#pragma once
#include "common/ptx.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Orders accesses to registers and shared memory before the first wgmma that touches them.
DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most N groups are under way; until then their accumulators and tiles are not to be touched.
template <int N> DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }
// Keeps the compiler from moving a use of accumulators to before the wait that stands before this: it knows of no connection.
template <int N> DEVICE void wgmma_settle(float (&d)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i])::"memory");
}

// A shared-memory matrix in rows of 128 bytes under the 128-byte swizzle, as TMA writes it; tiles start at multiples of 1024.
// k contiguous: `stride` is between groups of 8 rows, `leading` is not used. Otherwise a row is 64 elements of the other
// dimension: `stride` is between groups of 8 k, `leading` between blocks of 64.
DEVICE u64 wgmma_descriptor(u32 address, u32 leading, u32 stride) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(leading >> 4) << 16 | (u64)(stride >> 4) << 32 | 1ull << 62;
}

// d = a·b, plus d where `accumulate` is not 0; 64×16 by 16×N.
template <int N, int MajorA, int MajorB> struct Wgmma;

#define WGMMA_D8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define WGMMA_D32(i) WGMMA_D8(i), WGMMA_D8(i + 8), WGMMA_D8(i + 16), WGMMA_D8(i + 24)

template <int MajorA, int MajorB> struct Wgmma<64, MajorA, MajorB> {
  DEVICE void bf16(float (&d)[32], u64 a, u64 b, int accumulate) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "%32, %33, p, 1, 1, %35, %36;\n}"
        : WGMMA_D32(0)
        : "l"(a), "l"(b), "r"(accumulate), "n"(MajorA), "n"(MajorB)
        : "memory");
  }
};

template <int MajorA, int MajorB> struct Wgmma<128, MajorA, MajorB> {
  DEVICE void bf16(float (&d)[64], u64 a, u64 b, int accumulate) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, p, 1, 1, %67, %68;\n}"
        : WGMMA_D32(0), WGMMA_D32(32)
        : "l"(a), "l"(b), "r"(accumulate), "n"(MajorA), "n"(MajorB)
        : "memory");
  }
};

template <int MajorA, int MajorB> struct Wgmma<256, MajorA, MajorB> {
  DEVICE void bf16(float (&d)[128], u64 a, u64 b, int accumulate) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "%128, %129, p, 1, 1, %131, %132;\n}"
        : WGMMA_D32(0), WGMMA_D32(32), WGMMA_D32(64), WGMMA_D32(96)
        : "l"(a), "l"(b), "r"(accumulate), "n"(MajorA), "n"(MajorB)
        : "memory");
  }
};

#undef WGMMA_D8
#undef WGMMA_D32
#endif

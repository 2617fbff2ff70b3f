// How the operands of C[m, n] = A·B are stored: what every rung of the matmul ladder is told by its row.
//
// TRANS_A 0: A is [m, k]; 1: [k, m]. TRANS_B 0: B is [k, n]; 1: [n, k]. So nn is 0 0, nt (a linear layer) 0 1, tn 1 0.
// A batch of products lies one after another in each operand.
#pragma once
#include "common/ptx.cuh"

#if !defined(TRANS_A) || !defined(TRANS_B)
#error "the row passes TRANS_A and TRANS_B"
#endif

// The distances in elements between neighbours in each direction.
DEVICE u64 a_stride_m(u32 m, u32 k) { return TRANS_A ? 1 : k; }
DEVICE u64 a_stride_k(u32 m, u32 k) { return TRANS_A ? m : 1; }
DEVICE u64 b_stride_k(u32 n, u32 k) { return TRANS_B ? 1 : n; }
DEVICE u64 b_stride_n(u32 n, u32 k) { return TRANS_B ? k : 1; }

// Sums are f32, of int8 exact i32.
DEVICE float widen(float x) { return x; }
DEVICE float widen(bf16 x) { return to_f32(x); }
DEVICE float widen(f16 x) { return to_f32(x); }
DEVICE i32 widen(i8 x) { return x; }
template <class T> struct SumOf {
  using Type = float;
};
template <> struct SumOf<i8> {
  using Type = i32;
};
DEVICE float multiply_add(float x, float y, float sum) { return fmaf(x, y, sum); }
DEVICE i32 multiply_add(i32 x, i32 y, i32 sum) { return x * y + sum; }
template <class T> DEVICE T narrow(float x) { return from_f32<T>(x); }
template <class T> DEVICE T narrow(i32 x) { return x; }

// The bits of an element, for those who move several at once.
DEVICE u32 bits(bf16 x) { return x.bits; }
DEVICE u32 bits(i8 x) { return (u8)x; }
DEVICE u32 bits(float x) { return __float_as_uint(x); }
DEVICE u32 bits(i32 x) { return x; }

#if __CUDA_ARCH__ >= 800
// A fragment's product on tensor cores: 32 bytes of k.
DEVICE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { mma_m16n8k16_bf16(d, a, b0, b1); }
DEVICE void multiply(i32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { mma_m16n8k32_s8(d, a, b0, b1); }
#endif

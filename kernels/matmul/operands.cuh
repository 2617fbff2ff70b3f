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

//! A product of matrices by rows, in the words of a library whose matrices lie by columns.
//!
//! Read by columns, a matrix that lies by rows is its own transpose. So the library is asked for Cᵀ = op(B)ᵀ · op(A)ᵀ: what it is
//! told of B comes first, and a flag of transposition stands exactly where an operand is stored the other way round than `nn` has it.
//! No element moves. `nt` thus becomes the library's TN, the one form in which it multiplies 8-bit formats before Blackwell.

use crate::device::cuda::blas::{Compute, Gemm, Layout};
use crate::ops::{DType, Matmul, Precision, Transpose};

/// The product that leaves C by rows; its first operand is B, its second A.
pub fn gemm(p: &Matmul, precision: Precision) -> Gemm {
    let (m, n, k) = (p.m as u64, p.n as u64, p.k as u64);
    // Stored [outer, inner] by rows: `inner` rows of `outer` columns.
    let layout = |dtype, outer: u64, inner: u64| Layout {
        dtype: if dtype == DType::Tf32 { DType::F32 } else { dtype },
        rows: inner,
        columns: outer,
        ld: inner as i64,
        batch: p.batch as i32,
        stride: (outer * inner) as i64,
    };
    let transpose_a = p.transpose == Transpose::Nt;
    let transpose_b = p.transpose == Transpose::Tn;
    Gemm {
        compute: match precision {
            Precision { accumulate: DType::I32, .. } => Compute::I32,
            Precision { inputs: DType::Tf32, .. } => Compute::Tf32,
            _ => Compute::F32,
        },
        transpose_a,
        transpose_b,
        a: if transpose_a {
            layout(precision.inputs, n, k)
        } else {
            layout(precision.inputs, k, n)
        },
        b: if transpose_b {
            layout(precision.inputs, k, m)
        } else {
            layout(precision.inputs, m, k)
        },
        d: layout(precision.output, m, n),
    }
}

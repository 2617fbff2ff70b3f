use super::*;
use crate::kernels::cuda::CudaKernel;

fn rows() -> impl Iterator<Item = &'static CudaKernel> {
    CUDA_ROWS.iter().filter_map(|row| row.as_cuda())
}

fn case(p: Matmul, precision: Precision) -> Case {
    Case::new(Problem::Matmul(p), precision)
}

#[test]
fn an_empty_result_is_computed_by_launching_nothing() {
    for (m, n) in [(0, 8), (8, 0)] {
        for row in rows() {
            for variant in (row.variants)() {
                let p = Matmul { m, n, k: 8, ..product(&variant) };
                let case = case(p, variant.precision);
                assert_eq!((row.refuses)(&case), None, "{}", row.id);
                assert!((row.plan)(&case, row.needs.least()).steps.is_empty(), "{}", row.id);
            }
        }
    }
}

#[test]
fn every_entry_of_a_batch_lies_in_a_tile() {
    let p = Matmul { batch: 3, ..Matmul::new(129, 257, 5) };
    assert_eq!(tiles(p, 128, 256), 3 * 2 * 2);
    assert_eq!(tiles(p, 1, 8), 3 * 129 * 33);
}

#[test]
fn rows_that_tma_cannot_take_are_refused_by_name() {
    let refusal = |p, precision| (tensor::WGMMA_TMA.refuses)(&case(p, precision));
    let nt = |m, n, k| Matmul { transpose: Transpose::Nt, ..Matmul::new(m, n, k) };
    assert!(refusal(nt(8, 8, 12), Precision::BF16).unwrap().contains("those of A have 24"));
    assert!(refusal(nt(8, 12, 8), Precision::BF16).unwrap().contains("those of C have 24"));
    assert_eq!(refusal(nt(7, 12, 8), Precision::BF16_F32), None);
    assert!(refusal(nt(8, 8, 0), Precision::BF16).unwrap().contains("k is 0"));
    let tn = Matmul { transpose: Transpose::Tn, ..Matmul::new(4, 8, 3) };
    assert!(refusal(tn, Precision::BF16).unwrap().contains("those of A have 8"));
}

#[test]
fn groups_and_sizes_beyond_31_bits_are_refused() {
    let groups = Some(crate::ops::Groups { experts: 2, skew: 0.0 });
    for row in rows() {
        let precision = (row.variants)()[0].precision;
        let grouped = Matmul { groups, ..Matmul::new(8, 8, 8) };
        assert!((row.refuses)(&case(grouped, precision)).unwrap().contains("groups"));
        let long = Matmul::new(8, 8, 1 << 31);
        assert!((row.refuses)(&case(long, precision)).unwrap().contains("31-bit"));
        let many = Matmul { batch: 1 << 31, ..Matmul::new(8, 8, 8) };
        assert!((row.refuses)(&case(many, precision)).unwrap().contains("31-bit"));
    }
}

//! `corpus/src/scan.cu`

use crate::{Kernel, Source, assert_close, vary};

#[test]
pub(crate) fn doubling_gives_inclusive_sums_of_a_block() {
    let x = Source::new(1).integers(512, 100_000);
    let kernel = Kernel::new("scan", "scan_doubling").grid(2, 1).block(256, 1);
    let out = kernel.input(&x).output::<i32>(512).run().get::<i32>(0);
    let sums = |part: &[i32]| {
        let mut sum = 0;
        part.iter()
            .map(|x| {
                sum += x;
                sum
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(out, x.chunks(256).flat_map(sums).collect::<Vec<_>>());
}

#[test]
pub(crate) fn a_tree_gives_exclusive_sums_of_a_block() {
    let x = Source::new(2).floats(512);
    let kernel = Kernel::new("scan", "scan_tree").grid(2, 1).block(128, 1);
    let out = kernel.input(&x).output::<f32>(512).run().get::<f32>(0);
    let sums = |part: &[f32]| {
        let mut sum = 0.0;
        part.iter()
            .map(|x| {
                sum += *x as f64;
                sum - *x as f64
            })
            .collect::<Vec<_>>()
    };
    assert_close(&out, x.chunks(256).flat_map(sums), 1e-5);
}

#[test]
pub(crate) fn looking_back_at_predecessors_scans_a_grid_in_one_pass() {
    let n = vary([1900, 2048, 1800]);
    let x = Source::new(3).words(n);
    let kernel = Kernel::new("scan", "scan_lookback").grid(8, 1).block(256, 1).any_order();
    let kernel = kernel.symbol("next_block", &[0u32]).input(&x).output::<u32>(n);
    let out = kernel.in_out(&[0u64; 8]).scalar(n as i32).run().get::<u32>(0);
    let mut sum = 0u32;
    assert_eq!(
        out,
        x.iter()
            .map(|x| {
                sum = sum.wrapping_add(*x);
                sum
            })
            .collect::<Vec<_>>()
    );
}

#[test]
pub(crate) fn compaction_keeps_what_is_positive() {
    let x: Vec<i32> = Source::new(4).integers(500, 100).iter().map(|x| x - 50).collect();
    let kernel = Kernel::new("scan", "compact").grid(2, 1).block(256, 1).any_order();
    let out = kernel.input(&x).in_out(&[0; 500]).in_out(&[0]).scalar(500i32).run();
    let mut expected: Vec<i32> = x.into_iter().filter(|x| *x > 0).collect();
    assert_eq!(out.get::<i32>(1), [expected.len() as i32]);
    let mut kept = out.get::<i32>(0)[..expected.len()].to_vec();
    kept.sort();
    expected.sort();
    assert_eq!(kept, expected);
}

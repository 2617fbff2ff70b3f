//! `corpus/src/reduce.cu`

use crate::{Kernel, Source, assert_close, vary};

#[test]
pub(crate) fn a_tree_in_dynamic_shared_memory_sums_each_block() {
    let x = Source::new(1).floats(1000);
    let kernel = Kernel::new("reduce", "reduce_tree").grid(4, 1).block(128, 1).shared(512);
    let out = kernel.input(&x).output::<f32>(4).scalar(1000i32).run().get::<f32>(0);
    let sums = x.chunks(256).map(|part| part.iter().map(|x| *x as f64).sum::<f64>());
    assert_close(&out, sums, 1e-5);
}

#[test]
pub(crate) fn an_interleaved_tree_sums_integers_exactly() {
    let x = Source::new(2).integers(512, 1000);
    let kernel = Kernel::new("reduce", "reduce_interleaved").grid(2, 1).block(256, 1);
    let out = kernel.input(&x).output::<i32>(2).run().get::<i32>(0);
    assert_eq!(out, x.chunks(256).map(|part| part.iter().sum()).collect::<Vec<i32>>());
}

#[test]
pub(crate) fn shuffles_sum_doubles_across_warps_and_blocks() {
    let x: Vec<f64> = (0..1500).map(|i| (i % 97) as f64).collect();
    let kernel = Kernel::new("reduce", "reduce_shuffle").grid(3, 1).block(160, 1);
    let out = kernel.input(&x).in_out(&[0f64]).scalar(1500i32).run().get::<f64>(0);
    assert_eq!(out, [x.iter().sum::<f64>()], "integers add up exactly in any order");
}

#[test]
pub(crate) fn the_last_block_sums_what_the_others_left() {
    let (n, blocks) = vary([(2000, 5), (1280, 8), (300, 3)]);
    let x = Source::new(3).integers(n, 100).iter().map(|x| *x as f32).collect::<Vec<_>>();
    let kernel =
        Kernel::new("reduce", "reduce_last_block").grid(blocks, 1).block(128, 1).any_order();
    let kernel = kernel.symbol("tickets", &[0u32]).input(&x).output::<f32>(blocks).output::<f32>(1);
    let out = kernel.scalar(n as i32).run();
    assert_eq!(out.get::<f32>(1), [x.iter().sum::<f32>()]);
}

#[test]
pub(crate) fn argmax_finds_the_first_of_the_largest() {
    let mut x = Source::new(4).floats(700);
    x[613] = 5.0;
    x[212] = 5.0;
    let kernel = Kernel::new("reduce", "argmax").grid(2, 1).block(96, 1);
    let out = kernel.input(&x).in_out(&[0u64]).scalar(700i32).run().get::<u64>(0);
    assert_eq!(!(out[0] as u32), 212);
    assert_eq!((out[0] >> 32) as u32, 5f32.to_bits() | 1 << 31);
}

#[test]
pub(crate) fn redux_reduces_a_warp_of_integers() {
    let x: Vec<i32> = Source::new(5).words(64).iter().map(|x| *x as i32).collect();
    let kernel = Kernel::new("reduce", "redux").grid(1, 1).block(64, 1);
    let out = kernel.input(&x).output::<i32>(6).run().get::<i32>(0);
    let of = |part: &[i32]| {
        let sum = part.iter().fold(0i32, |sum, x| sum.wrapping_add(*x));
        [sum, *part.iter().min().unwrap(), part.iter().fold(0, |any, x| any | x)]
    };
    assert_eq!(out, x.chunks(32).flat_map(of).collect::<Vec<_>>());
}

//! `corpus/src/sort.cu`

use crate::{Kernel, Source, vary};

#[test]
pub(crate) fn a_bitonic_network_sorts_in_shared_memory() {
    let mut keys = Source::new(1).words(1024);
    let kernel = Kernel::new("sort", "bitonic_block").grid(2, 1).block(256, 1);
    let out = kernel.in_out(&keys).run().get::<u32>(0);
    keys.chunks_mut(512).for_each(<[u32]>::sort);
    assert_eq!(out, keys);
}

#[test]
pub(crate) fn steps_of_a_bitonic_network_sort_in_global_memory() {
    let mut x = Source::new(2).floats(256);
    let mut sorted = x.clone();
    sorted.sort_by(f32::total_cmp);
    for size in (1..=8).map(|log| 1 << log) {
        for stride in (0..).map(|k| size >> (k + 1)).take_while(|stride| *stride > 0) {
            let kernel = Kernel::new("sort", "bitonic_step").grid(2, 1).block(128, 1);
            x = kernel.in_out(&x).scalar(stride).scalar(size).run().get::<f32>(0);
        }
    }
    assert_eq!(x, sorted);
}

#[test]
pub(crate) fn a_digit_at_a_time_sorts_stably() {
    let mut keys = Source::new(3).words(256);
    let mut expected = keys.clone();
    for shift in [0, 4, 8] {
        let kernel = Kernel::new("sort", "radix_digit").grid(1, 1).block(256, 1);
        keys = kernel.input(&keys).output::<u32>(256).scalar(shift).run().get::<u32>(0);
    }
    expected.sort_by_key(|key| key & 0xfff);
    assert_eq!(keys, expected);
}

#[test]
pub(crate) fn a_histogram_counts_every_byte() {
    let x: Vec<u8> =
        Source::new(4).words(vary([3000, 500, 4097])).iter().map(|x| (x % 77) as u8).collect();
    let kernel = Kernel::new("sort", "histogram").grid(3, 1).block(192, 1);
    let out = kernel.input(&x).in_out(&[0u32; 256]).scalar(x.len() as i32).run().get::<u32>(0);
    let count = |bin| x.iter().filter(|x| **x as usize == bin).count() as u32;
    assert_eq!(out, (0..256).map(count).collect::<Vec<_>>());
}

#[test]
pub(crate) fn lanes_that_match_count_together() {
    let x = Source::new(5).words(500);
    let kernel = Kernel::new("sort", "histogram_matched").grid(4, 1).block(128, 1);
    let out = kernel.input(&x).in_out(&[0u32; 8]).scalar(500i32).run().get::<u32>(0);
    let count = |bin| x.iter().filter(|x| *x % 8 == bin).count() as u32;
    assert_eq!(out, (0..8).map(count).collect::<Vec<_>>());
}

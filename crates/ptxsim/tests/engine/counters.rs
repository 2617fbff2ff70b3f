//! Counters against closed forms.

use ptxsim::{Counters, Options};

use crate::launch;

/// The counters of a body that 32 threads of one block execute.
fn count(declarations: &str, body: &str) -> Counters {
    count_threads(declarations, body, 32, &Options::default())
}

fn count_threads(declarations: &str, body: &str, threads: u32, options: &Options) -> Counters {
    launch(declarations, body, threads, options).unwrap().1.counters
}

/// What a body adds to `name` beyond an empty one.
fn adds(declarations: &str, body: &str, name: &str) -> u64 {
    count(declarations, body).get(name) - count(declarations, "").get(name)
}

const SHARED: &str = ".shared .align 16 .b8 tile[8192];";

/// A store and a load of four bytes a lane at `stride` bytes in shared memory.
fn strided(stride: u32) -> String {
    format!(
        "mov.u32 %r1, tile; mad.lo.u32 %r1, %r0, {stride}, %r1; st.shared.u32 [%r1], %r0; ld.shared.u32 %r2, [%r1];"
    )
}

#[test]
fn fused_multiply_adds_are_two_operations_a_lane() {
    let body =
        "mov.f32 %f0, 0f3F800000; ".to_owned() + &"fma.rn.f32 %f0, %f0, %f0, %f0; ".repeat(10);
    assert_eq!(adds("", &body, "flops_fp32"), 10 * 2 * 32);
    assert_eq!(adds("", &body, "warp_fp32"), 10);
    assert_eq!(adds("", &body, "thread_fp32"), 320);
    let half = "mov.f32 %f0, 0f3F800000; mov.f32 %f1, 0f3F800000; add.f32 %f2, %f0, %f1; \
                setp.lt.u32 %p1, %r0, 5; @%p1 mul.f32 %f2, %f2, %f2;";
    assert_eq!(adds("", half, "flops_fp32"), 32 + 5, "lanes that are off do nothing");
}

#[test]
fn packed_halves_count_twice_and_double_precision_apart() {
    let body = "mov.u32 %r1, 0x3c003c00; fma.rn.f16x2 %r2, %r1, %r1, %r1;";
    assert_eq!(adds("", body, "flops_fp16"), 4 * 32);
    let body = "mov.f64 %e0, 0d3FF0000000000000; add.rn.f64 %e1, %e0, %e0;";
    assert_eq!(adds("", body, "flops_fp64"), 32);
}

#[test]
fn a_stride_of_n_words_conflicts_n_ways_up_to_32() {
    for shift in 0..6 {
        let (stride, ways) = (4u32 << shift, 1u64 << shift);
        let counters = count(SHARED, &strided(stride));
        assert_eq!(counters.get("shared_load_wavefronts"), ways, "{stride}");
        assert_eq!(counters.get("shared_load_conflicts"), ways - 1, "{stride}");
        assert_eq!(counters.get("shared_store_conflicts"), ways - 1, "{stride}");
    }
    assert_eq!(count(SHARED, &strided(36)).get("shared_load_conflicts"), 0, "an odd stride");
}

#[test]
fn global_sectors_grow_with_the_stride_and_ideal_ones_do_not() {
    let counters = count("", "st.global.u32 [%d1], %r0;");
    assert_eq!(counters.get("global_store_requests"), 1);
    assert_eq!(counters.get("global_store_sectors"), 8, "every other word");
    assert_eq!(counters.get("global_store_ideal_sectors"), 4);
    let counters = count("", "st.global.u64 [%d1], %d0;");
    assert_eq!(counters.get("global_store_sectors"), 8);
    assert_eq!(counters.get("global_store_ideal_sectors"), 8);
    let counters = count("", "ld.global.u32 %r1, [%d0];");
    assert_eq!(counters.get("global_load_sectors"), 1, "one word for all");
}

#[test]
fn lanes_that_come_apart_are_counted() {
    let body =
        "setp.lt.u32 %p1, %r0, 7; @%p1 bra small; add.u32 %r1, %r0, 1; small: add.u32 %r1, %r0, 2;";
    assert_eq!(count("", body).get("divergent_branches"), 1);
    let all = "setp.lt.u32 %p1, %r0, 99; @%p1 bra small; add.u32 %r1, %r0, 1; small: add.u32 %r1, %r0, 2;";
    assert_eq!(count("", all).get("divergent_branches"), 0);
}

#[test]
fn atomics_at_one_place_collide() {
    let body = "atom.global.add.u32 %r1, [%d0], 1;";
    assert_eq!(count("", body).get("atomic_collisions"), 31);
    assert_eq!(count("", body).get("global_atomic_requests"), 1);
    assert_eq!(count("", "atom.global.add.u32 %r1, [%d1], 1;").get("atomic_collisions"), 0);
}

#[test]
fn an_instruction_that_waits_counts_once_whatever_the_schedule() {
    let body = strided(4) + "bar.sync 0; ld.shared.u32 %r3, [tile]; bar.sync 0;";
    let first = count_threads(SHARED, &body, 32 * 8, &Options::default());
    assert_eq!(first.get("warp_barrier"), 16);
    for (seed, threads) in [(1, 1), (2, 2), (3, 1)] {
        let options = Options { seed, threads, ..Options::default() };
        assert_eq!(count_threads(SHARED, &body, 32 * 8, &options), first);
    }
}

#[test]
fn names_are_unique_and_their_sum_is_the_whole() {
    let counters = count(SHARED, &strided(8));
    let classes: u64 = counters
        .iter()
        .filter(|(name, _)| name.starts_with("warp_") && *name != "warp_instructions")
        .map(|(_, count)| count)
        .sum();
    assert_eq!(classes, counters.warp_instructions);
    let names: std::collections::HashSet<&str> = counters.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), counters.iter().count());
}

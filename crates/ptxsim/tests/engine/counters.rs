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
    assert_eq!(counters.get("global_store_lines"), 2);
    assert_eq!(counters.get("global_store_bytes"), 32 * 8);
    let counters = count("", "ld.global.u32 %r1, [%d0];");
    assert_eq!(counters.get("global_load_sectors"), 1, "one word for all");
}

#[test]
fn branches_are_counted_and_those_at_which_lanes_come_apart() {
    let body = |below: u32| {
        format!(
            "setp.lt.u32 %p1, %r0, {below}; @%p1 bra small; add.u32 %r1, %r0, 1; small: add.u32 %r1, %r0, 2;"
        )
    };
    let counters = count("", &body(7));
    assert_eq!((counters.get("branches"), counters.get("divergent_branches")), (1, 1));
    for all_alike in [0, 99] {
        let counters = count("", &body(all_alike));
        assert_eq!((counters.get("branches"), counters.get("divergences")), (1, 0));
    }
    let leave = count("", "setp.lt.u32 %p1, %r0, 7; @%p1 exit; add.u32 %r1, %r0, 1;");
    assert_eq!((leave.get("branches"), leave.get("divergent_branches")), (0, 0), "no branch");
    assert_eq!(leave.get("divergences"), 1);
}

#[test]
fn a_loop_that_lane_n_leaves_after_n_rounds_diverges_31_times() {
    let body =
        "mov.u32 %r1, 0; next: add.u32 %r1, %r1, 1; setp.le.u32 %p1, %r1, %r0; @%p1 bra next;";
    let counters = count("", body);
    assert_eq!(counters.get("branches"), 32);
    assert_eq!(counters.get("divergent_branches"), 31, "one lane leaves each time, the last alone");
    let rounds = (1..=32).sum::<u64>();
    assert_eq!(adds("", body, "thread_integer"), 2 * rounds);
}

#[test]
fn a_table_of_branches_diverges_once_where_lanes_go_different_ways() {
    let body = |modulus: u32| {
        format!(
            "ways: .branchtargets one, two, three; rem.u32 %r1, %r0, {modulus}; brx.idx %r1, ways; \
             one: mov.u32 %r2, 1; bra end; two: mov.u32 %r2, 2; bra end; three: mov.u32 %r2, 3; end:"
        )
    };
    for (modulus, branches, divergent) in [(1, 2, 0), (2, 3, 1), (3, 3, 1)] {
        let counters = count("", &body(modulus));
        assert_eq!(counters.get("branches"), branches, "{modulus}");
        assert_eq!(counters.get("divergent_branches"), divergent, "{modulus}");
    }
}

#[test]
fn barriers_are_counted_by_what_they_wait_for() {
    let body = "bar.sync 0; bar.sync 1; bar.sync 0, 64; barrier.sync 0; bar.arrive 2, 128; bar.sync 3, 64; \
                bar.red.popc.u32 %r1, 0, 0; bar.warp.sync 0xffffffff; membar.gl; fence.acq_rel.cta;";
    let counters = count_threads("", body, 64, &Options::default());
    let of = |name: &str| counters.get(name) / 2;
    assert_eq!(of("block_barriers"), 3, "bar.sync 0, barrier.sync 0, bar.red");
    assert_eq!(of("named_barriers"), 3, "bar.sync 1, and two that count threads");
    assert_eq!((of("barrier_arrivals"), of("warp_barriers"), of("fences")), (1, 1, 2));
}

#[test]
fn mbarriers_are_counted_apart_from_shared_memory() {
    let body = "mov.u32 %r1, tile; setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [%r1], 64; bar.sync 0; \
                mbarrier.arrive.shared.b64 %d2, [%r1]; \
                wait: mbarrier.try_wait.shared.b64 %p2, [%r1], %d2; @!%p2 bra wait;";
    for seed in 0..4 {
        let options = Options { seed, ..Options::default() };
        let counters = count_threads(SHARED, body, 64, &options);
        assert_eq!(counters.get("mbarrier_arrivals"), 2);
        assert_eq!(counters.get("mbarrier_waits"), 2, "one that has to wait counts once");
        assert!(counters.iter().all(|(name, _)| !name.starts_with("shared_")));
    }
}

#[test]
fn a_word_of_local_memory_is_four_sectors_whatever_its_place() {
    const LOCAL: &str = ".local .align 16 .b8 mine[64]; mov.u32 %r1, mine;";
    for (ty, register, sectors) in [("u32", "%r0", 4), ("u64", "%d1", 8)] {
        let body = format!(
            "{LOCAL} st.local.{ty} [%r1+16], {register}; ld.local.{ty} {register}, [%r1+16];"
        );
        let counters = count("", &body);
        for name in ["local_load", "local_store"] {
            assert_eq!(counters.get(&format!("{name}_requests")), 1);
            assert_eq!(counters.get(&format!("{name}_sectors")), sectors, "{ty}");
            assert_eq!(counters.get(&format!("{name}_bytes")), 32 * sectors);
        }
    }
    let apart = format!(
        "{LOCAL} and.b32 %r2, %r0, 7; shl.b32 %r2, %r2, 2; add.u32 %r1, %r1, %r2; st.local.u32 [%r1], %r0;"
    );
    assert_eq!(count("", &apart).get("local_store_sectors"), 32, "every lane another word");
}

#[test]
fn constants_are_read_address_by_address() {
    const TABLE: &str = ".const .align 4 .b8 table[128];";
    let read = |shift: u32| {
        format!(
            "mov.u64 %d2, table; shr.u32 %r1, %r0, {shift}; mul.wide.u32 %d3, %r1, 4; add.u64 %d2, %d2, %d3; ld.const.u32 %r2, [%d2];"
        )
    };
    for (shift, addresses) in [(5, 1), (3, 4), (0, 32)] {
        let counters = count(TABLE, &read(shift));
        assert_eq!(counters.get("constant_load_requests"), 1);
        assert_eq!(counters.get("constant_load_replays"), addresses - 1);
        assert_eq!(counters.get("global_load_requests"), 0);
        assert_eq!(counters.get("warp_constant"), 1);
    }
}

#[test]
fn the_space_that_an_instruction_names_gives_its_class() {
    let body = "ld.global.u32 %r1, [%d0]; ld.u32 %r1, [%d0]; st.global.u32 [%d1], %r0; pmevent 1;";
    assert_eq!(adds("", body, "warp_global"), 2);
    assert_eq!(adds("", body, "warp_generic"), 1);
    assert_eq!(adds("", body, "warp_other"), 1);
    assert_eq!(adds("", body, "global_load_requests"), 2, "traffic goes by the address");
}

#[test]
fn atomics_at_one_place_collide_and_take_turns() {
    for n in [1, 2, 8, 32] {
        // Lanes share n addresses evenly.
        let at = format!("rem.u32 %r2, %r0, {n}; mul.wide.u32 %d2, %r2, 4; add.u64 %d2, %d0, %d2;");
        let global = count("", &format!("{at} atom.global.add.u32 %r1, [%d2], 1;"));
        let shared = count(
            SHARED,
            &format!(
                "mov.u32 %r3, tile; st.shared.u32 [tile], 0; rem.u32 %r2, %r0, {n}; \
                      mad.lo.u32 %r3, %r2, 4, %r3; red.shared.add.u32 [%r3], 1;"
            ),
        );
        for (counters, space) in [(global, "global"), (shared, "shared")] {
            let of = |what: &str| counters.get(&format!("{space}_atomic_{what}"));
            assert_eq!((of("requests"), of("lanes")), (1, 32), "{space} {n}");
            assert_eq!((of("collisions"), of("replays")), (32 - n, 32 / n - 1), "{space} {n}");
        }
    }
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

#[test]
fn instructions_add_up_to_the_launch_and_name_their_lines() {
    let body = ".loc 1 5 0\n st.global.u64 [%d1], %d1;\n .loc 1 6 0\n ".to_owned()
        + &strided(8)
        + "\n setp.lt.u32 %p1, %r0, 5;\n @%p1 bra low;\n add.u32 %r2, %r2, 1;\n low:\n atom.global.add.u32 %r3, [%d0], 1;";
    let declarations = format!(".file 1 \"own.cu\"\n{SHARED}");
    let options = Options { lines: true, ..Options::default() };
    let report = launch(&declarations, &body, 64, &options).unwrap().1;
    let mut sum = Counters::default();
    report.instructions.iter().for_each(|one| sum.merge(&one.counters));
    assert_eq!(sum, report.counters);
    let store = report.instructions.iter().find(|one| one.source_line == 5).unwrap();
    assert_eq!((store.instruction.as_str(), store.file.as_str()), ("st.global.u64", "own.cu"));
    assert_eq!(store.counters.get("global_store_sectors"), 2 * 32 * 8 / 32);
    let load = report.instructions.iter().find(|one| one.instruction == "ld.shared.u32").unwrap();
    assert_eq!((load.counters.get("shared_load_conflicts"), load.source_line), (2, 6));
    let plain = launch(&declarations, &body, 64, &Options::default()).unwrap().1;
    assert!(plain.instructions.is_empty() && plain.counters == report.counters);
}

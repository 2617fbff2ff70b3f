use ptxsim::Kind;

use crate::{kinds, needs};

#[test]
fn threads_of_a_block_exchange_values_only_across_a_barrier() {
    let right = "st.shared.u32 [%r2], %r0;\nbar.sync 0;\n\
        xor.b32 %r3, %r1, 128;\nmov.u32 %r4, tile;\nadd.u32 %r4, %r4, %r3;\n\
        ld.shared.u32 %r5, [%r4];\nst.global.u32 [%d1], %r5;";
    assert_eq!(kinds(2, 64, "st.shared.u32 [%r2], %r0;\nld.shared.u32 %r5, [%r2];"), []);
    assert_eq!(kinds(1, 64, right), []);
    let wrong = right.replace("bar.sync 0;", "");
    assert!(kinds(1, 64, &wrong).contains(&Kind::Race));
}

#[test]
fn a_tile_is_overwritten_only_after_a_second_barrier() {
    let right = "mov.u32 %r6, 0;\nL:\nst.shared.u32 [%r2], %r6;\nbar.sync 0;\n\
        ld.shared.u32 %r5, [tile+4];\nbar.sync 1;\nadd.u32 %r6, %r6, 1;\n\
        setp.lt.u32 %p1, %r6, 3;\n@%p1 bra L;";
    needs(1, 96, right, "bar.sync 1;\n", Kind::Race);
}

#[test]
fn lanes_of_a_warp_exchange_values_only_across_a_warp_barrier() {
    let right = "st.shared.u32 [%r2], %r0;\nbar.warp.sync 0xffffffff;\n\
        xor.b32 %r3, %r1, 4;\nmov.u32 %r4, tile;\nadd.u32 %r4, %r4, %r3;\n\
        ld.shared.u32 %r5, [%r4];";
    needs(1, 32, right, "bar.warp.sync 0xffffffff;\n", Kind::Race);
}

#[test]
fn a_shuffle_does_not_order_memory() {
    let wrong = "st.shared.u32 [%r2], %r0;\nshfl.sync.bfly.b32 %r7, %r0, 1, 31, 0xffffffff;\n\
        xor.b32 %r3, %r1, 4;\nmov.u32 %r4, tile;\nadd.u32 %r4, %r4, %r3;\n\
        ld.shared.u32 %r5, [%r4];";
    assert_eq!(kinds(1, 32, wrong), [Kind::Race]);
}

#[test]
fn lanes_that_write_different_values_to_one_byte_at_once_race() {
    assert_eq!(kinds(1, 32, "st.shared.u32 [tile], %r0;"), [Kind::Race]);
    assert_eq!(kinds(1, 32, "st.shared.u32 [tile], 7;"), []);
    assert_eq!(kinds(1, 1, "st.shared.u32 [tile], %r0;"), []);
}

#[test]
fn neighbouring_bytes_do_not_race() {
    let right = "mov.u32 %r4, tile;\nadd.u32 %r4, %r4, %r0;\nst.shared.u8 [%r4], %r0;\n\
        ld.shared.u8 %r5, [%r4];\nbar.sync 0;\nld.shared.u32 %r6, [tile];";
    assert_eq!(kinds(1, 64, right), []);
    assert!(kinds(1, 64, &right.replace("bar.sync 0;", "")).contains(&Kind::Race));
}

#[test]
fn a_named_barrier_orders_who_arrives_before_who_waits() {
    let right = "setp.lt.u32 %p1, %r0, 32;\n@%p1 bra P;\nbar.sync 1, 64;\n\
        ld.shared.u32 %r5, [tile+4];\nbra.uni E;\n\
        P:\nst.shared.u32 [%r2], %r0;\nbar.arrive 1, 64;\nE:";
    assert_eq!(kinds(1, 64, right), []);
    let late = right.replace(
        "st.shared.u32 [%r2], %r0;\nbar.arrive 1, 64;",
        "bar.arrive 1, 64;\nst.shared.u32 [%r2], %r0;",
    );
    assert!(kinds(1, 64, &late).contains(&Kind::Race));
}

#[test]
fn atomics_race_with_plain_accesses_and_not_with_each_other() {
    let right = "setp.ne.u32 %p1, %r0, 0;\n@!%p1 st.shared.u32 [tile], 0;\nbar.sync 0;\n\
        red.shared.add.u32 [tile], 1;\nbar.sync 1;\nld.shared.u32 %r5, [tile];";
    needs(1, 64, right, "bar.sync 1;\n", Kind::Race);
}

#[test]
fn a_histogram_without_atomics_races_in_a_loop() {
    let wrong = "st.shared.u32 [%r2], 0;\nbar.sync 0;\nand.b32 %r3, %r1, 12;\nmov.u32 %r4, tile;\n\
        add.u32 %r4, %r4, %r3;\nld.shared.u32 %r5, [%r4];\nadd.u32 %r5, %r5, 1;\nst.shared.u32 [%r4], %r5;";
    assert_eq!(kinds(1, 32, wrong), [Kind::Race]);
}

#[test]
fn lanes_meet_at_different_warp_barriers_with_one_mask() {
    // Even lanes write, odd ones read what their neighbours wrote, each behind a barrier of its own branch.
    let right = "and.b32 %r3, %r0, 1;\nsetp.eq.u32 %p1, %r3, 1;\n@%p1 bra ODD;\nst.shared.u32 [%r2], %r0;\n\
        bar.warp.sync 0xffffffff;\nbra.uni E;\nODD:\nbar.warp.sync 0xffffffff;\nld.shared.u32 %r5, [%r2+-4];\nE:";
    assert_eq!(kinds(1, 32, right), []);
    let late = right.replace(
        "st.shared.u32 [%r2], %r0;\nbar.warp.sync 0xffffffff;",
        "bar.warp.sync 0xffffffff;\nst.shared.u32 [%r2], %r0;",
    );
    assert_ne!(kinds(1, 32, &late), []);
}

#[test]
fn parts_of_a_warp_meet_by_masks_of_their_own() {
    let right = "setp.lt.u32 %p1, %r0, 16;\nselp.b32 %r6, 0xffff, 0xffff0000, %p1;\nst.shared.u32 [%r2], %r0;\n\
        bar.warp.sync %r6;\nxor.b32 %r3, %r1, 60;\nmov.u32 %r4, tile;\nadd.u32 %r4, %r4, %r3;\nld.shared.u32 %r5, [%r4];";
    needs(1, 32, right, "bar.warp.sync %r6;\n", Kind::Race);
    assert_eq!(kinds(1, 32, &right.replace("60;", "64;")), [Kind::Race], "the other half");
    assert_eq!(kinds(1, 32, "bar.warp.sync 0xfffffffe;"), [Kind::Barrier]);
}

use ptxsim::Kind;

use crate::{kinds, needs};

/// Block 0 writes data and raises a flag; block 1 waits for it and reads.
const MESSAGE: &str = "setp.ne.u32 %p1, %r19, 0;\n@%p1 bra W;\n\
    st.global.u32 [%x], 42;\nmembar.gl;\nst.volatile.global.u32 [%x+4096], 1;\nbra.uni E;\n\
    W:\nld.volatile.global.u32 %r5, [%x+4096];\nsetp.eq.u32 %p2, %r5, 0;\n@%p2 bra W;\n\
    fence.acq_rel.gpu;\nld.global.u32 %r6, [%x];\nE:";

#[test]
fn a_flag_carries_data_between_blocks_only_with_fences_on_both_sides() {
    needs(2, 1, MESSAGE, "membar.gl;\n", Kind::Race);
    needs(2, 1, MESSAGE, "fence.acq_rel.gpu;\n", Kind::Race);
}

#[test]
fn release_and_acquire_carry_data_between_blocks() {
    let right = "setp.ne.u32 %p1, %r19, 0;\n@%p1 bra W;\n\
        st.global.u32 [%x], 42;\nst.release.gpu.global.u32 [%x+4096], 1;\nbra.uni E;\n\
        W:\nld.acquire.gpu.global.u32 %r5, [%x+4096];\nsetp.eq.u32 %p2, %r5, 0;\n@%p2 bra W;\n\
        ld.global.u32 %r6, [%x];\nE:";
    assert_eq!(kinds(2, 1, right), []);
    assert_eq!(kinds(2, 1, &right.replace("st.release", "st.relaxed")), [Kind::Race]);
    assert_eq!(kinds(2, 1, &right.replace("ld.acquire", "ld.relaxed")), [Kind::Race]);
}

#[test]
fn the_last_block_may_read_what_all_wrote_before_their_tickets() {
    let right = "setp.ne.u32 %p1, %r0, 0;\nmul.wide.u32 %d5, %r19, 4;\nadd.u64 %d5, %d5, %x;\n\
        @%p1 bra S;\nst.global.u32 [%d5], %r19;\nmembar.gl;\n\
        atom.global.inc.u32 %r5, [%x+4096], 3;\nst.shared.u32 [tile], %r5;\nS:\nbar.sync 0;\n\
        ld.shared.u32 %r6, [tile];\nsetp.ne.u32 %p2, %r6, 3;\n@%p2 bra E;\n\
        and.b32 %r7, %r1, 12;\ncvt.u64.u32 %d6, %r7;\nadd.u64 %d6, %d6, %x;\nld.global.u32 %r8, [%d6];\nE:";
    needs(4, 64, right, "membar.gl;\n", Kind::Race);
}

#[test]
fn blocks_that_share_a_byte_race_though_they_run_apart() {
    let own = "mul.wide.u32 %d5, %r19, 4;\nadd.u64 %d5, %d5, %x;\nst.global.u32 [%d5], 1;";
    assert_eq!(kinds(3, 1, own), []);
    let next = format!("{own}\nld.global.u32 %r5, [%d5+4];");
    assert_eq!(kinds(3, 1, &next), [Kind::Race]);
    let same = own.replace("%r19, 4", "%r19, 3").replace(".u32 [%d5]", ".u8 [%d5+1]");
    assert_eq!(kinds(3, 1, &same), []);
    assert_eq!(kinds(3, 1, "st.global.u32 [%x], %r19;"), [Kind::Race]);
}

#[test]
fn blocks_may_read_the_same_and_add_to_the_same_atomically() {
    assert_eq!(kinds(3, 32, "ld.global.u32 %r5, [%x];\nred.global.add.u32 [%x+4], %r5;"), []);
}

#[test]
fn an_atomic_of_block_scope_does_not_reach_other_blocks() {
    assert_eq!(kinds(2, 32, "red.relaxed.cta.global.add.u32 [%x], 1;"), [Kind::Race]);
    assert_eq!(kinds(1, 64, "red.relaxed.cta.global.add.u32 [%x], 1;"), []);
}

#[test]
fn warps_of_a_block_share_global_memory_across_its_barriers() {
    let right = "st.global.u32 [%d1], %r0;\nbar.sync 0;\nld.global.u32 %r5, [%x+4];";
    needs(1, 64, right, "bar.sync 0;\n", Kind::Race);
}

#[test]
fn a_fence_of_the_block_does_not_reach_other_blocks() {
    assert_eq!(kinds(2, 1, &MESSAGE.replace("membar.gl", "membar.cta")), [Kind::Race]);
    let near = MESSAGE.replace("membar.gl;\nst.volatile.global.u32", "st.release.cta.global.u32");
    assert_eq!(kinds(2, 1, &near), [Kind::Race]);
}

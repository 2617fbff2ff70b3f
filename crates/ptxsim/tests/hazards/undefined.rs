//! Operands and lanes for which PTX defines nothing, ways that lead nowhere, assertions, and loops without end.

use ptxsim::Kind;

use crate::memory::one_warp;
use crate::seed::{Blamed, PRODUCT, Seed, at};

/// Half of a warp reads from one of its own lanes.
pub const SHUFFLE: Seed = one_warp(
    "setp.lt.u32 %p2, %r0, 16;
@!%p2 bra END;
shfl.sync.idx.b32 %r5, %r0, 3, 31, 65535;
END:",
);

#[test]
fn a_shuffle_reads_from_lanes_that_take_part() {
    let places = [at("shfl.sync", 0, 0, 0xffff)];
    SHUFFLE.finds(", 3, 31", ", 20, 31", Kind::Undefined, &places);
    // Who executes it is in its mask.
    SHUFFLE.finds("65535", "65534", Kind::Undefined, &[at("shfl.sync", 0, 0, 1)]);
}

#[test]
fn a_product_of_a_warp_takes_all_its_lanes() {
    let right = "mov.u32 %r5, 0;
setp.gt.u32 %p2, %r0, 40;
@%p2 bra END;
mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3}, {%r5, %r5}, {%r5}, {0f00000000, 0f00000000, 0f00000000, 0f00000000};
END:";
    let right =
        &right.replace("{0f00000000, 0f00000000, 0f00000000, 0f00000000}", "{%f4, %f4, %f4, %f4}");
    let right = format!("mov.f32 %f4, 0f00000000;\n{right}");
    let seed = one_warp(&right);
    // Those that have exited do not come.
    let places = [at("mma.sync", 0, 0, 0x7fff_ffff)];
    let wrong = "40;\n@%p2 exit;\n@%p2 bra END;";
    seed.finds("40;\n@%p2 bra END;", &wrong.replace("40", "30"), Kind::Undefined, &places);
}

#[test]
fn warps_of_a_warpgroup_issue_one_product() {
    let seed = Seed { shape: [1, 1, 128], right: PRODUCT };
    let wrong = "setp.ge.u32 %p2, %r0, 96;\n@%p2 add.u64 %d1, %d1, 8;\nwgmma.fence";
    let places = [0, 1, 2, 3].map(|warp| at("wgmma.mma_async", 0, warp, !0));
    seed.finds("wgmma.fence", wrong, Kind::Undefined, &places);
    // A descriptor leads to shared memory.
    seed.finds("%d1, 128;", "%d1, 8192;", Kind::Invalid, &places);
}

#[test]
fn a_cluster_has_no_block_beyond_its_last() {
    let right = "mov.u32 %r5, 1;\nmapa.shared::cluster.u32 %r6, %r4, %r5;";
    let seed = Seed { shape: [2, 2, 32], right };
    let places = [0, 1].map(|block| at("mapa", block, 0, !0));
    seed.finds("%r5, 1", "%r5, 2", Kind::Undefined, &places);
}

#[test]
fn copies_move_as_many_bytes_as_they_may() {
    let right = "mov.u32 %r5, 4;
cp.async.ca.shared.global [%r4], [%x], 8, %r5;
cp.async.wait_all;";
    let right = right.replace("[%r4]", "[%r6]").replacen(
        "mov",
        "shl.b32 %r6, %r0, 3;\nadd.u32 %r6, %r6, %r1;\nmov",
        1,
    );
    one_warp(&right).finds("%r5, 4", "%r5, 9", Kind::Undefined, &[at("cp.async.ca", 0, 0, !0)]);
    let bulk = "st.shared.u32 [%r4], %r0;
mov.u32 %r5, 64;
fence.proxy.async.shared::cta;
bar.sync 0;
@%p1 cp.async.bulk.global.shared::cta.bulk_group [%x], [%r1], %r5;
@%p1 cp.async.bulk.commit_group;
@%p1 cp.async.bulk.wait_group 0;";
    let places = [at("cp.async.bulk.global", 0, 0, 1)];
    one_warp(bulk).finds("%r5, 64", "%r5, 72", Kind::Undefined, &places);
}

/// Each lane goes one of two ways.
pub const TABLE: Seed = one_warp(
    "and.b32 %r5, %r0, 1;
WAYS: .branchtargets ONE, TWO;
brx.idx %r5, WAYS;
ONE:
mov.u32 %r6, 1;
TWO:
mov.u32 %r7, 1;",
);

#[test]
fn a_table_of_targets_has_an_end() {
    let places = [at("brx.idx", 0, 0, 0xcccc_cccc)];
    TABLE.finds("%r0, 1", "%r0, 3", Kind::Invalid, &places);
}

#[test]
fn a_call_by_address_leads_to_a_function() {
    let right = "mov.u64 %d1, nothing;
add.u64 %d1, %d1, 0;
P: .callprototype _ ();
call %d1, P;";
    let places = [at("call", 0, 0, !0)];
    one_warp(right).finds("%d1, 0", "%d1, 4096", Kind::Invalid, &places);
}

#[test]
fn a_tensor_map_is_one() {
    let right = "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 fence.mbarrier_init.release.cluster;
bar.sync 0;
mov.u32 %r5, 0;
mov.u64 %d1, %m;
@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 256;
@%p1 cp.async.bulk.tensor.1d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%d1, {%r5}], [%r2];
READ:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;";
    let places = [at("cp.async.bulk.tensor", 0, 0, 1)];
    one_warp(right).finds("%d1, %m", "%d1, %y", Kind::Invalid, &places);
}

#[test]
fn a_trap_is_told_with_its_lanes() {
    let right = "setp.gt.u32 %p2, %r0, 40;\n@%p2 trap;";
    one_warp(right).finds("40", "30", Kind::Trap, &[at("trap", 0, 0, 1 << 31)]);
}

/// `assert(threadIdx.x <= 40)`, as CUDA's headers have it.
pub const ASSERTION: Seed = one_warp(
    "setp.le.u32 %p2, %r0, 40;
mov.u64 %d1, words;
cvta.global.u64 %d1, %d1;
.param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e;
@%p2 bra FINE;
st.param.b64 [a], %d1; st.param.b64 [b], %d1; st.param.b32 [c], 7; st.param.b64 [d], %d1; st.param.b64 [e], 1;
call.uni __assertfail, (a, b, c, d, e);
FINE:",
);

#[test]
fn a_failed_assertion_is_told_with_its_words() {
    ASSERTION.finds("40", "30", Kind::Trap, &[at("call.uni", 0, 0, 1 << 31)]);
    let wrong = ASSERTION.right.replace("40", "30");
    let finding = Seed { right: &wrong, ..ASSERTION }.finding(Kind::Trap);
    assert!(finding.message.contains("assertion `hi` failed at hi:7"), "{finding}");
}

/// Counts to a hundred.
pub const LOOP: Seed = Seed {
    shape: [2, 1, 64],
    right: "mov.u32 %r5, 0;
NEXT:
add.u32 %r5, %r5, 1;
setp.lt.u32 %p2, %r5, 100;
@%p2 bra NEXT;",
};

/// Where any of its warps may be.
pub fn steps_of_loop() -> Vec<Blamed<'static>> {
    let lines = ["add.u32", "setp.lt.u32", "bra NEXT"];
    let of_warp = |block: u32, warp: u32| lines.map(|line| at(line, block, warp, !0));
    [of_warp(0, 0), of_warp(0, 1), of_warp(1, 0), of_warp(1, 1)].concat()
}

#[test]
fn a_loop_without_end_is_told_where_it_runs() {
    LOOP.finds("%r5, %r5, 1", "%r5, %r5, 0", Kind::Budget, &steps_of_loop());
    // Who spins for what nobody does, too.
    let right =
        "WAIT:\nld.volatile.global.u32 %r5, [%x];\nsetp.ne.u32 %p2, %r5, 0;\n@%p2 bra WAIT;";
    let places = ["ld.volatile", "setp.ne", "bra WAIT"].map(|line| at(line, 0, 0, !0));
    let wrong = ("@%p2 bra", "@!%p2 bra");
    Seed { shape: [1, 1, 32], right }.finds(wrong.0, wrong.1, Kind::Budget, &places);
}

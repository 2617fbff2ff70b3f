//! Addresses: out of bounds, misaligned, constant, and memory that nothing ever wrote.

use ptxsim::Kind;

use crate::copies::{STORE, STORE_OF_TILE};
use crate::seed::{PRODUCT, Seed, at};

pub const fn one_warp(right: &str) -> Seed<'_> {
    Seed { shape: [1, 1, 32], right }
}

#[test]
fn an_access_outside_names_the_nearest_allocation() {
    let right = "add.u64 %d1, %x, 65528;\n@%p1 ld.global.v2.u32 {%r5, %r6}, [%d1];";
    let seed = one_warp(right);
    seed.finds("65528", "65536", Kind::OutOfBounds, &[at("ld.global", 0, 0, 1)]);
    let beyond = right.replace("65528", "65536");
    let finding = one_warp(&beyond).finding(Kind::OutOfBounds);
    assert!(finding.message.contains("offset 65536 is outside x (65536 bytes)"), "{finding}");
    // Far away, and nowhere at all.
    let null = right.replace("add.u64 %d1, %x, 65528;", "mov.u64 %d1, 16;");
    let finding = one_warp(&null).finding(Kind::OutOfBounds);
    assert!(finding.message.contains("bytes before x (65536 bytes), the nearest"), "{finding}");
}

#[test]
fn an_access_outside_shared_memory_is_told_with_its_lanes() {
    let seed = one_warp("st.shared.u32 [%r4+3968], %r0;");
    // The tile has 4096 bytes and the barriers 64 more: four lanes reach beyond both.
    seed.finds("3968", "4048", Kind::OutOfBounds, &[at("st.shared.u32", 0, 0, 0xf << 28)]);
}

#[test]
fn a_misaligned_access_is_told_with_its_lanes() {
    let seed = one_warp("add.u32 %r5, %r4, 0;\nst.shared.u32 [%r5], %r0;");
    let wrong = "setp.ge.u32 %p2, %r0, 30;\nadd.u32 %r5, %r4, 0;\n@%p2 add.u32 %r5, %r5, 2;";
    seed.finds(
        "add.u32 %r5, %r4, 0;",
        wrong,
        Kind::Misaligned,
        &[at("st.shared.u32", 0, 0, 3 << 30)],
    );
}

#[test]
fn constants_are_not_written() {
    let right = "mov.u64 %d1, fixed;\ncvta.const.u64 %d1, %d1;\n@%p1 ld.u32 %r5, [%d1];";
    let places = [at("st.u32", 0, 0, 1)];
    one_warp(right).finds("ld.u32 %r5, [%d1]", "st.u32 [%d1], 5", Kind::ReadOnly, &places);
}

#[test]
fn memory_is_read_only_where_something_was_written() {
    let right = "st.shared.u32 [%r4], %r0;\nld.shared.u32 %r5, [%r4];";
    let places = [at("ld.shared.u32", 0, 0, !0)];
    one_warp(right).finds("[%r4], %r0", "[%r4+128], %r0", Kind::UninitializedMemory, &places);
}

#[test]
fn a_lane_reads_only_what_it_wrote_of_its_local_memory() {
    let right = "mov.u32 %r5, own;\nst.local.u32 [%r5+4], %r0;\nld.local.u32 %r6, [%r5+4];";
    let places = [at("ld.local.u32", 0, 0, !0)];
    one_warp(right).finds(
        "st.local.u32 [%r5+4]",
        "st.local.u32 [%r5+8]",
        Kind::UninitializedMemory,
        &places,
    );
    // Written by some lanes only.
    let places = [at("ld.local.u32", 0, 0, !1)];
    one_warp(right).finds("st.local", "@%p1 st.local", Kind::UninitializedMemory, &places);
}

/// Some lanes write a register, all read it.
pub const REGISTER: Seed = one_warp(
    "setp.lt.u32 %p2, %r0, 8;
mov.u32 %r5, 1;
@%p2 mov.u32 %r5, 3;
add.u32 %r6, %r5, 1;",
);

#[test]
fn a_register_is_read_only_after_it_was_written() {
    let places = [at("add.u32 %r6", 0, 0, !0xff)];
    REGISTER.finds("mov.u32 %r5, 1;\n", "", Kind::UninitializedRegister, &places);
}

#[test]
fn only_what_a_launch_declares_is_written() {
    for (right, blamed) in [
        ("@%p1 st.global.u32 [%x+8], %r0;", "st.global"),
        ("@%p1 red.global.add.u32 [%x+8], 1;", "red.global"),
        ("@%p1 atom.global.exch.b32 %r5, [%x+8], 1;", "atom.global"),
    ] {
        let places = [at(blamed, 0, 0, 1)];
        one_warp(right).finds("[%x", "[%y", Kind::ReadOnly, &places);
    }
    // What a copy writes late, too, and it is read all the same.
    let [wait, read] = ["cp.async.bulk.wait_group 0", "cp.async.bulk.wait_group.read"];
    let places = [STORE_OF_TILE, at(wait, 0, 0, 1), at(read, 0, 0, 1)];
    STORE.finds("[%x], [%r1]", "[%y], [%r1]", Kind::ReadOnly, &places);
    one_warp("@%p1 ld.global.u32 %r5, [%y];").holds();
}

#[test]
fn accumulators_are_read_only_after_their_product_was_waited_for() {
    let right = format!("{PRODUCT}\nadd.f32 %f5, %f0, %f0;\nwgmma.wait_group.sync.aligned 0;");
    let seed = Seed { shape: [1, 1, 128], right: &right };
    let places = [0, 1, 2, 3].map(|warp| at("add.f32", 0, warp, !0));
    let wait = "wgmma.wait_group.sync.aligned 0;\nadd";
    seed.finds(wait, "add", Kind::InFlight, &places);
    let product = [0, 1, 2, 3].map(|warp| at("wgmma.mma_async", 0, warp, !0));
    seed.finds("wgmma.fence.sync.aligned;\n", "", Kind::InFlight, &product);
}

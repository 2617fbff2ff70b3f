//! Copies that nobody waited for, and buffers that are used again too early.

use ptxsim::Kind;

use crate::seed::{Blamed, PRODUCT, Seed, at};

/// Each thread of two warps copies a word, and reads that of the other warp.
const COPIES: Seed = Seed {
    shape: [1, 1, 64],
    right: "mul.wide.u32 %d1, %r0, 4;
add.u64 %d1, %d1, %x;
cp.async.ca.shared.global [%r4], [%d1], 4;
cp.async.commit_group;
cp.async.wait_group 0;
ld.shared.u32 %r7, [%r4];
bar.sync 0;
xor.b32 %r5, %r4, 128;
ld.shared.u32 %r6, [%r5];
bar.sync 0;
st.shared.u32 [%r4+256], %r6;",
};

#[test]
fn a_copy_is_read_only_after_it_was_waited_for() {
    let places = [at("cp.async.ca", 0, 0, !0), at("ld.shared.u32 %r7", 0, 0, !0)];
    let more = [at("cp.async.ca", 0, 1, !0), at("ld.shared.u32 %r7", 0, 1, !0)];
    let others = [0, 1].map(|warp| at("ld.shared.u32 %r6", 0, warp, !0));
    COPIES.finds("wait_group 0", "wait_group 1", Kind::Race, &[places, more, others].concat());
}

#[test]
fn copies_of_other_threads_are_read_only_after_a_barrier() {
    let places = |warp: u32| [at("cp.async.ca", 0, warp, !0), at("ld.shared.u32 %r6", 0, warp, !0)];
    COPIES.finds("bar.sync 0;", "", Kind::Race, &[places(0), places(1)].concat());
}

#[test]
fn a_copy_that_is_in_flight_at_the_end_is_told() {
    let right =
        "cp.async.ca.shared.global [%r4], [%x], 4;\ncp.async.commit_group;\ncp.async.wait_all;";
    Seed { shape: [1, 1, 32], right }.finds(
        "cp.async.wait_all;",
        "",
        Kind::Abandoned,
        &[at("cp.async.ca", 0, 0, !0)],
    );
}

/// Thread 0 loads 512 bytes twice into one buffer, the second time when all have read the first.
const RING: Seed = Seed {
    shape: [1, 1, 128],
    right: "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 mbarrier.init.shared.b64 [%r2+8], 128;
fence.mbarrier_init.release.cluster;
bar.sync 0;
@!%p1 bra READ;
mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 512;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x], 512, [%r2];
READ:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;
ld.shared.u32 %r7, [%r4];
mbarrier.arrive.shared.b64 _, [%r2+8];
@!%p1 bra AGAIN;
FREE:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2+8], 0;
@!%p2 bra FREE;
mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 512;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x+512], 512, [%r2];
AGAIN:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 1;
@!%p2 bra AGAIN;
ld.shared.u32 %r8, [%r4];",
};

#[test]
fn a_buffer_is_filled_again_only_when_all_have_read_it() {
    let again = at(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x+512]",
        0,
        0,
        1,
    );
    let reader = |warp: u32| at("ld.shared.u32 %r7", 0, warp, !0);
    // Without the wait for the readers; and where the readers arrive before they read.
    let places = [again, reader(0), reader(1), reader(2), reader(3)];
    let wait = "mbarrier.try_wait.parity.shared.b64 %p2, [%r2+8], 0;\n@!%p2 bra FREE;\n";
    RING.finds(wait, "", Kind::Race, &places);
    let (read, arrive) = ("ld.shared.u32 %r7, [%r4];", "mbarrier.arrive.shared.b64 _, [%r2+8];");
    RING.finds(&format!("{read}\n{arrive}"), &format!("{arrive}\n{read}"), Kind::Race, &places);
}

#[test]
fn a_tile_is_read_only_after_its_barrier() {
    let once: Vec<&str> = RING.right.lines().take(11).collect();
    let once =
        once.join("\n") + "\nbar.sync 0;\n@%p1 mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;";
    let load = at(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x]",
        0,
        0,
        1,
    );
    let reader = |warp: u32| at("ld.shared.u32 %r7", 0, warp, !0);
    let places = [load, reader(0), reader(1), reader(2), reader(3)];
    let wait = "READ:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n@!%p2 bra READ;\n";
    Seed { right: &once, ..RING }.finds(wait, "READ:\n", Kind::Race, &places);
}

/// Thread 0 stores what all have written, and then all write again.
pub const STORE: Seed = Seed {
    shape: [1, 1, 64],
    right: "st.shared.u32 [%r4], %r0;
fence.proxy.async.shared::cta;
bar.sync 0;
@%p1 cp.async.bulk.global.shared::cta.bulk_group [%x], [%r1], 256;
@%p1 cp.async.bulk.commit_group;
@%p1 cp.async.bulk.wait_group.read 0;
bar.sync 0;
st.shared.u32 [%r4], 7;
@%p1 cp.async.bulk.wait_group 0;
@%p1 ld.global.u32 %r8, [%x];",
};

pub const STORE_OF_TILE: Blamed = at("cp.async.bulk.global", 0, 0, 1);

#[test]
fn a_stored_tile_is_written_again_only_after_it_was_read() {
    let writer = |warp: u32| at("st.shared.u32 [%r4], 7", 0, warp, !0);
    let places = [at("cp.async.bulk.global", 0, 0, 1), writer(0), writer(1)];
    STORE.finds("@%p1 cp.async.bulk.wait_group.read 0;", "", Kind::Race, &places);
    let arrived = "@%p1 cp.async.bulk.wait_group.read 0;\nbar.sync 0;";
    STORE.finds(arrived, "@%p1 cp.async.bulk.wait_group.read 0;", Kind::Race, &places);
}

#[test]
fn what_a_store_wrote_is_read_only_after_it_was_waited_for() {
    let places = [at("cp.async.bulk.global", 0, 0, 1), at("ld.global", 0, 0, 1)];
    STORE.finds("@%p1 cp.async.bulk.wait_group 0;", "", Kind::Race, &places);
    // The reads alone are not enough.
    STORE.finds("wait_group 0", "wait_group.read 0", Kind::Race, &places);
}

#[test]
fn a_store_that_is_in_flight_at_the_end_is_told() {
    let right = STORE.right.replace("\n@%p1 ld.global.u32 %r8, [%x];", "").replace(".read", "");
    let seed = Seed { right: &right, ..STORE };
    seed.finds(
        "@%p1 cp.async.bulk.commit_group;\n",
        "",
        Kind::Abandoned,
        &[at("cp.async.bulk.global", 0, 0, 1)],
    );
}

/// Thread 0 stores two tiles, one group each, and all write the first again when its store has read it.
const STAGES: Seed = Seed {
    shape: [1, 1, 64],
    right: "st.shared.u32 [%r4], %r0;
st.shared.u32 [%r4+256], %r0;
fence.proxy.async.shared::cta;
bar.sync 0;
@%p1 cp.async.bulk.global.shared::cta.bulk_group [%x], [%r1], 256;
@%p1 cp.async.bulk.commit_group;
add.u32 %r5, %r1, 256;
@%p1 cp.async.bulk.global.shared::cta.bulk_group [%x+256], [%r5], 256;
@%p1 cp.async.bulk.commit_group;
@%p1 cp.async.bulk.wait_group.read 1;
bar.sync 0;
st.shared.u32 [%r4], 7;
@%p1 cp.async.bulk.wait_group.read 0;
bar.sync 0;
st.shared.u32 [%r4+256], 7;
@%p1 cp.async.bulk.wait_group 0;",
};

#[test]
fn a_wait_for_reads_counts_groups_from_the_latest_on() {
    let first = at("cp.async.bulk.global.shared::cta.bulk_group [%x], [%r1]", 0, 0, 1);
    let second = at("cp.async.bulk.global.shared::cta.bulk_group [%x+256]", 0, 0, 1);
    let again = [0, 1].map(|warp| at("st.shared.u32 [%r4], 7", 0, warp, !0));
    for wrong in ["2", "5"] {
        let to = format!("wait_group.read {wrong}");
        STAGES.finds("wait_group.read 1", &to, Kind::Race, &[first, again[0], again[1]]);
    }
    let again = [0, 1].map(|warp| at("st.shared.u32 [%r4+256], 7", 0, warp, !0));
    STAGES.finds(
        "wait_group.read 0",
        "wait_group.read 1",
        Kind::Race,
        &[second, again[0], again[1]],
    );
    // Both stores in one group: its reads end together.
    let one = STAGES.right.replacen("@%p1 cp.async.bulk.commit_group;\n", "", 1);
    let again = [0, 1].map(|warp| at("st.shared.u32 [%r4], 7", 0, warp, !0));
    let right = one.replace("wait_group.read 1", "wait_group.read 0");
    let seed = Seed { right: &right, ..STAGES };
    seed.finds("wait_group.read 0", "wait_group.read 1", Kind::Race, &[first, again[0], again[1]]);
}

#[test]
fn groups_whose_reads_have_ended_are_still_to_write() {
    // The second wait for writes counts both groups, whatever the waits for reads were.
    let right =
        STAGES.right.replace("wait_group 0;", "wait_group 0;\n@%p1 ld.global.u32 %r8, [%x];");
    let seed = Seed { right: &right, ..STAGES };
    let first = at("cp.async.bulk.global.shared::cta.bulk_group [%x], [%r1]", 0, 0, 1);
    let read = at("ld.global.u32", 0, 0, 1);
    seed.finds("wait_group 0", "wait_group 2", Kind::Race, &[first, read]);
    let right = right.replace("wait_group 0", "wait_group 1");
    let right = right + "\n@%p1 cp.async.bulk.wait_group 0;";
    let seed = Seed { right: &right, ..STAGES };
    let second = at("cp.async.bulk.global.shared::cta.bulk_group [%x+256]", 0, 0, 1);
    seed.finds(
        "[%x];\n@%p1 cp.async.bulk.wait_group 0;",
        "[%x+256];\n@%p1 cp.async.bulk.wait_group 0;",
        Kind::Race,
        &[second, read],
    );
}

#[test]
fn operands_of_a_product_are_overwritten_only_after_it_was_waited_for() {
    let right = format!(
        "{PRODUCT}\nbar.sync 1;\nst.shared.u32 [%r5], %r6;\nwgmma.wait_group.sync.aligned 0;"
    );
    let seed = Seed { shape: [1, 1, 128], right: &right };
    let of_warp =
        |warp: u32| ["st.shared.u32", "wgmma.mma_async"].map(|line| at(line, 0, warp, !0));
    let places = [0, 1, 2, 3].map(of_warp).concat();
    let wait = "wgmma.wait_group.sync.aligned 0;\nbar.sync 1;";
    seed.finds(wait, "bar.sync 1;", Kind::Race, &places);
    // All four warps have to wait before one writes.
    seed.finds("bar.sync 1;\n", "", Kind::Race, &places);
    // A copy over operands of the group that is left in flight.
    let right = format!(
        "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 mbarrier.init.shared.b64 [%r2+8], 128;
fence.mbarrier_init.release.cluster;
{PRODUCT}
mbarrier.arrive.shared.b64 _, [%r2+8];
@!%p1 bra END;
FREE:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2+8], 0;
@!%p2 bra FREE;
mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 512;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x], 512, [%r2];
FULL:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra FULL;
END:
wgmma.wait_group.sync.aligned 0;"
    );
    let seed = Seed { right: &right, ..seed };
    let copy = at("cp.async.bulk.shared", 0, 0, 1);
    let wait = "wgmma.wait_group.sync.aligned 0;\nmbarrier.arrive";
    seed.finds(wait, "mbarrier.arrive", Kind::Race, &[copy, at("wgmma.mma_async", 0, 0, !0)]);
}

//! Blocks of a cluster that use each other's shared memory, and clusters that share global memory.

use ptxsim::Kind;

use crate::seed::{Seed, at};

/// Each block writes into the other's tile, and reads its own.
const EXCHANGE: Seed = Seed {
    shape: [2, 2, 32],
    right: "barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
xor.b32 %r5, %r3, 1;
mapa.shared::cluster.u32 %r6, %r4, %r5;
st.shared::cluster.u32 [%r6], %r0;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
ld.shared.u32 %r7, [%r4];
mov.u32 %r8, 3;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;",
};

const BARRIER: &str =
    "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n";

#[test]
fn blocks_of_a_cluster_exchange_values_only_across_its_barrier() {
    let of =
        |block: u32| [at("st.shared::cluster", block, 0, !0), at("ld.shared.u32", block, 0, !0)];
    let (from, to) = ("[%r6], %r0;\n".to_owned() + BARRIER, "[%r6], %r0;\n");
    let places = [of(0), of(1)].concat();
    EXCHANGE.finds(&from, to, Kind::Race, &places);
    // A barrier of the block is none of the cluster; and one that is passed relaxed orders no memory.
    EXCHANGE.finds(&from, &(to.to_owned() + "bar.sync 0;\n"), Kind::Race, &places);
    EXCHANGE.finds(&from, &from.replace(".release", ".relaxed"), Kind::Race, &places);
}

#[test]
fn blocks_of_a_cluster_that_write_one_word_race() {
    let right = "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;
mov.u32 %r5, 1;
mapa.shared::cluster.u32 %r6, %r4, %r5;
shl.b32 %r7, %r3, 7;
add.u32 %r6, %r6, %r7;
st.shared::cluster.u32 [%r6], %r3;
barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;";
    let places = [at("st.shared::cluster", 0, 0, !0), at("st.shared::cluster", 1, 0, !0)];
    let seed = Seed { shape: [2, 2, 32], right };
    seed.finds("add.u32 %r6, %r6, %r7;", "", Kind::Race, &places);
}

#[test]
fn a_block_stays_until_others_have_done_with_its_shared_memory() {
    // The read of the other's tile needs the barrier behind it.
    let right = "st.shared.u32 [%r4], %r0;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
xor.b32 %r5, %r3, 1;
mapa.shared::cluster.u32 %r6, %r4, %r5;
ld.shared::cluster.u32 %r7, [%r6];
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
mov.u32 %r8, 1;";
    let seed = Seed { shape: [2, 2, 32], right };
    seed.holds();
    let wrong = right.replacen(&format!("[%r6];\n{BARRIER}"), "[%r6];\n", 1);
    assert_ne!(wrong, right);
    // Whether it exits before or after the access.
    let kinds = Seed { right: &wrong, ..seed }.kinds();
    assert!(kinds.iter().all(|k| [Kind::Race, Kind::OutOfBounds].contains(k)), "{kinds:?}");
    let finding = Seed { right: &wrong, ..seed }.finding(kinds[0]);
    let told = ["has exited", "the block exits, and nothing orders that"];
    assert!(told.iter().any(|words| finding.message.contains(words)), "{finding}");
    assert!(finding.line > 0 && finding.source_line > 0, "{finding}");
}

#[test]
fn clusters_that_write_one_byte_of_global_memory_are_told_with_both_instructions() {
    let right = "mov.u32 %r5, %ctaid.x;
shl.b32 %r5, %r5, 8;
shl.b32 %r6, %r0, 2;
add.u32 %r5, %r5, %r6;
cvt.u64.u32 %d1, %r5;
add.u64 %d1, %d1, %x;
st.global.u32 [%d1], %r0;
st.global.u32 [%d1+16384], %r0;
ld.global.u32 %r7, [%d1+8192];";
    let seed = Seed { shape: [3, 1, 64], right };
    seed.holds();
    // Lane 31 of the second warp reads the first word of the next block, in the page in which all write.
    let read = |block: u32| at("ld.global.u32", block, 1, 1 << 31);
    let write = |block: u32| at("st.global.u32 [%d1], %r0", block, 0, 1);
    let places = [read(0), read(1), write(1), write(2)];
    seed.finds("[%d1+8192]", "[%d1+4]", Kind::Race, &places);
    // Half of a block's words are also the next one's.
    let write = |block: u32, warp: u32| at("st.global.u32 [%d1], %r0", block, warp, !0);
    let places = [write(0, 1), write(1, 0), write(1, 1), write(2, 0)];
    seed.finds("shl.b32 %r5, %r5, 8;", "shl.b32 %r5, %r5, 7;", Kind::Race, &places);
}

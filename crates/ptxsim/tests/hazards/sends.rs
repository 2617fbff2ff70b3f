//! What blocks send each other by st.async and red.async, used too early or by nobody.

use ptxsim::Kind;

use crate::seed::{Seed, at};

/// Each thread sends a word to the same place of the other block, which reads the tile when all of them have come, and
/// overwrites it by a copy after a fence between the proxies.
const SEND: Seed = Seed {
    shape: [2, 2, 32],
    right: "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 mbarrier.init.shared.b64 [%r2+8], 1;
fence.mbarrier_init.release.cluster;
st.shared.u32 [%r4], 9;
@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 128;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
xor.b32 %r5, %r3, 1;
mapa.shared::cluster.u32 %r6, %r4, %r5;
mapa.shared::cluster.u32 %r7, %r2, %r5;
st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r6], %r0, [%r7];
READ:
mbarrier.try_wait.parity.acquire.cluster.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;
ld.shared.u32 %r8, [%r4];
fence.proxy.async.shared::cta;
bar.sync 0;
@!%p1 bra AGAIN;
mbarrier.arrive.expect_tx.shared.b64 _, [%r2+8], 128;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x], 128, [%r2+8];
AGAIN:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2+8], 0;
@!%p2 bra AGAIN;
ld.shared.u32 %r9, [%r4];
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;",
};

const WAIT: &str =
    "mbarrier.try_wait.parity.acquire.cluster.shared.b64 %p2, [%r2], 0;\n@!%p2 bra READ;\n";

#[test]
fn what_another_block_sends_is_read_only_after_its_mbarrier() {
    // Waited for behind the read, so that only the order is wrong.
    let late = SEND.right.replacen(WAIT, "", 1).replace("READ:\n", "");
    let late = late.replacen("[%r4];\nfence", &format!("[%r4];\nREAD:\n{WAIT}fence"), 1);
    let send = "st.async.weak";
    let places = |block: u32| [at(send, 1 - block, 0, !0), at("ld.shared.u32 %r8", block, 0, !0)];
    SEND.finds(SEND.right, &late, Kind::Race, &[places(0), places(1)].concat());
    // A wait that acquires nothing orders nothing.
    SEND.finds("parity.acquire", "parity.relaxed", Kind::Race, &[places(0), places(1)].concat());
    // Before the cluster has met, the word is still written by its own block.
    let met = "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\nxor";
    let relaxed = met.replacen("release", "relaxed", 1);
    let own = |block: u32| [at(send, 1 - block, 0, !0), at("st.shared.u32", block, 0, !0)];
    SEND.finds(met, &relaxed, Kind::Race, &[own(0), own(1)].concat());
}

#[test]
fn what_was_sent_is_overwritten_by_a_copy_only_after_a_fence_between_the_proxies() {
    let copy = [0, 1].map(|block| at("cp.async.bulk.shared", block, 0, 1));
    let fence = "fence.proxy.async.shared::cta;\n";
    SEND.finds(fence, "", Kind::MissingProxyFence, &copy);
}

#[test]
fn a_store_that_nobody_waits_for_is_told() {
    let alone: Vec<&str> = SEND.right.lines().take(14).collect();
    let met = "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;";
    let alone = format!("{}\n{met}", alone.join("\n"));
    let sends = [0, 1].map(|block| at("st.async.weak", block, 0, !0));
    Seed { right: &alone, ..SEND }.finds(WAIT, "", Kind::Abandoned, &sends);
    let reduces = alone.replace("st.async.weak", "red.async.relaxed.cluster");
    let reduces = reduces.replace("bytes.u32 [%r6]", "bytes.add.u32 [%r6]");
    let sends = [0, 1].map(|block| at("red.async", block, 0, !0));
    Seed { right: &reduces, ..SEND }.finds(WAIT, "", Kind::Abandoned, &sends);
}

#[test]
fn lanes_that_store_one_word_race_and_lanes_that_reduce_it_do_not() {
    let one = SEND.right.replace("%r6, %r4, %r5;", "%r6, %r1, %r5;");
    let reduces = one.replace("st.async.weak", "red.async.relaxed.cluster");
    let reduces = reduces.replace("bytes.u32 [%r6]", "bytes.add.u32 [%r6]");
    let sends = [0, 1].map(|block| at("st.async.weak", block, 0, !0));
    let seed = Seed { right: &reduces, ..SEND };
    seed.finds(&reduces, &one, Kind::Race, &sends);
}

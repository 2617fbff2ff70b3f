//! Ordinary reads before a copy overwrites the bytes: what orders them before it is enough, and needs no fence between the
//! proxies; nothing at all is a race. Ordinary writes need the fence as well.

use ptxsim::Kind;

use crate::seed::{Blamed, Seed, at};

/// All write a tile, which a fence shows to the asynchronous proxy; all read it; then thread 0 copies over it. `ORDER` stands where
/// the reads are ordered before the copy.
const OVERWRITTEN: &str = "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 mbarrier.init.shared.b64 [%r2+8], 64;
@%p1 fence.mbarrier_init.release.cluster;
st.shared.u32 [%r4], %r0;
fence.proxy.async.shared::cta;
bar.sync 0;
xor.b32 %r5, %r4, 128;
ld.shared.u32 %r6, [%r5];
ORDER@!%p1 bra WAIT;
mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 256;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x], 256, [%r2];
WAIT:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra WAIT;
ld.shared.u32 %r7, [%r4];";

const COPY: Blamed = at("cp.async.bulk.shared", 0, 0, 1);

/// Ways in which reads are ordered before the copy, and each with the part that makes it one taken away.
const ORDERS: [(&str, &str); 4] = [
    ("bar.sync 3;\n", ""),
    (
        "mbarrier.arrive.release.cta.shared.b64 _, [%r2+8];
@!%p1 bra READ;
FREE:
mbarrier.try_wait.parity.acquire.cta.shared.b64 %p2, [%r2+8], 0;
@!%p2 bra FREE;
READ:\n",
        "mbarrier.arrive.relaxed.cta.shared.b64 _, [%r2+8];
@!%p1 bra READ;
FREE:
mbarrier.try_wait.parity.acquire.cta.shared.b64 %p2, [%r2+8], 0;
@!%p2 bra FREE;
READ:\n",
    ),
    (
        "setp.ge.u32 %p3, %r0, 32;\n@%p3 bar.arrive 1, 64;\n@!%p3 bar.sync 1, 64;\n",
        "bar.warp.sync -1;\n",
    ),
    (
        "barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;\n",
        "barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;\n",
    ),
];

#[test]
fn reads_that_are_ordered_before_a_copy_need_no_fence_and_others_race_with_it() {
    let reader = [0, 1].map(|warp| at("ld.shared.u32 %r6", 0, warp, !0));
    for (order, none) in ORDERS {
        let right = OVERWRITTEN.replace("ORDER", order);
        let seed = Seed { shape: [1, 1, 64], right: &right };
        seed.finds(order, none, Kind::Race, &[COPY, reader[0], reader[1]]);
    }
}

#[test]
fn what_a_thread_has_read_itself_may_be_overwritten_by_its_copy() {
    let own = OVERWRITTEN
        .replace("xor.b32 %r5, %r4, 128;\nld.shared", "mov.u32 %r5, %r1;\n@%p1 ld.shared");
    Seed { shape: [1, 1, 64], right: &own.replace("ORDER", "") }.holds();
}

#[test]
fn a_write_between_needs_the_fence_whatever_orders_it() {
    for (order, _) in [ORDERS[0], ORDERS[1]] {
        let order = format!("st.shared.u32 [%r5], %r6;\nfence.proxy.async.shared::cta;\n{order}");
        let right = OVERWRITTEN.replace("ORDER", &order);
        let right =
            right.replace("ld.shared.u32 %r6, [%r5];", "ld.shared.u32 %r6, [%r5];\nbar.sync 2;");
        let seed = Seed { shape: [1, 1, 64], right: &right };
        let wrong = "st.shared.u32 [%r5], %r6;\nfence.proxy.async.shared::cta;\n";
        seed.finds(wrong, "st.shared.u32 [%r5], %r6;\n", Kind::MissingProxyFence, &[COPY]);
    }
}

#[test]
fn reads_of_another_blocks_memory_are_ordered_by_an_arrival_there() {
    let right = "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 mbarrier.init.shared.b64 [%r2+8], 32;
fence.mbarrier_init.release.cluster;
st.shared.u32 [%r4], %r0;
fence.proxy.async.shared::cta;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
xor.b32 %r5, %r3, 1;
mapa.shared::cluster.u32 %r6, %r4, %r5;
mapa.shared::cluster.u32 %r7, %r2, %r5;
ld.shared::cluster.u32 %r8, [%r6];
mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r7+8];
@!%p1 bra WAIT;
FREE:
mbarrier.try_wait.parity.acquire.cluster.shared.b64 %p2, [%r2+8], 0;
@!%p2 bra FREE;
mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 128;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%x], 128, [%r2];
WAIT:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra WAIT;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;";
    let seed = Seed { shape: [2, 2, 32], right };
    let of = |block: u32| {
        [at("cp.async.bulk.shared", block, 0, 1), at("ld.shared::cluster", 1 - block, 0, !0)]
    };
    let places = [of(0), of(1)].concat();
    seed.finds(
        "arrive.release.cluster.shared",
        "arrive.relaxed.cluster.shared",
        Kind::Race,
        &places,
    );
}

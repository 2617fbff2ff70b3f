//! mbarriers, their initialization, and fences between proxies.

use ptxsim::Kind;

use crate::seed::{PRODUCT, Seed, at};

const LOAD: &str = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes";

#[test]
fn a_copy_needs_an_mbarrier_that_a_fence_has_shown() {
    let right = format!(
        "@%p1 mbarrier.init.shared.b64 [%r2], 1;
FENCE
bar.sync 0;
@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 16;
@%p1 {LOAD} [%r1], [%x], 16, [%r2];
READ:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;"
    );
    for fence in ["fence.mbarrier_init.release.cluster;", "fence.proxy.async.shared::cta;"] {
        let right = right.replace("FENCE", fence);
        let seed = Seed { shape: [1, 1, 64], right: &right };
        seed.finds(fence, "", Kind::MissingInitFence, &[at(LOAD, 0, 0, 1)]);
    }
}

/// Block 0 waits for threads of block 1, which arrive at its mbarrier.
pub const REMOTE: Seed = Seed {
    shape: [2, 2, 32],
    right: "@%p1 mbarrier.init.shared.b64 [%r2], 32;
fence.mbarrier_init.release.cluster;
barrier.cluster.arrive.relaxed.aligned;
barrier.cluster.wait.acquire.aligned;
setp.eq.u32 %p3, %r3, 0;
mov.u32 %r5, 0;
mapa.shared::cluster.u32 %r6, %r2, %r5;
mapa.shared::cluster.u32 %r7, %r4, %r5;
@%p3 bra READ;
st.shared::cluster.u32 [%r7], %r0;
mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r6];
bra.uni END;
READ:
mbarrier.try_wait.parity.acquire.cluster.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;
ld.shared.u32 %r8, [%r4];
END:
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;",
};

#[test]
fn other_blocks_need_an_mbarrier_that_a_fence_has_shown() {
    // Its own block waits for the barrier of the cluster, too.
    let init = at("mbarrier.init", 0, 0, 1);
    let (remote, own) =
        (at("mbarrier.arrive.release", 1, 0, !0), at("mbarrier.try_wait", 0, 0, !0));
    let fence = "fence.mbarrier_init.release.cluster;";
    REMOTE.finds(fence, "", Kind::MissingInitFence, &[init, remote, own]);
    // A barrier that releases shows it as well.
    let released = REMOTE.right.replace(fence, "").replace("arrive.relaxed", "arrive.release");
    Seed { right: &released, ..REMOTE }.holds();
}

#[test]
fn an_arrival_from_another_block_carries_what_was_before_it() {
    let places = [at("st.shared::cluster", 1, 0, !0), at("ld.shared.u32 %r8", 0, 0, !0)];
    let wait =
        "mbarrier.try_wait.parity.acquire.cluster.shared.b64 %p2, [%r2], 0;\n@!%p2 bra READ;\n";
    REMOTE.finds(wait, "", Kind::Race, &places);
    let (write, arrive) = (
        "st.shared::cluster.u32 [%r7], %r0;",
        "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r6];",
    );
    REMOTE.finds(&format!("{write}\n{arrive}"), &format!("{arrive}\n{write}"), Kind::Race, &places);
    REMOTE.finds(
        "arrive.release.cluster.shared::cluster",
        "arrive.relaxed.cluster.shared::cluster",
        Kind::Race,
        &places,
    );
    REMOTE.finds("try_wait.parity.acquire", "try_wait.parity.relaxed", Kind::Race, &places);
}

/// A warp hands a word for each lane to another through an mbarrier.
const HANDED: Seed = Seed {
    shape: [1, 1, 64],
    right: "@%p1 mbarrier.init.shared.b64 [%r2], 32;
bar.sync 0;
setp.ge.u32 %p3, %r0, 32;
@%p3 bra READ;
st.shared.u32 [%r4], %r0;
mbarrier.arrive.release.cta.shared.b64 _, [%r2];
bra.uni END;
READ:
mbarrier.try_wait.parity.acquire.cta.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;
ld.shared.u32 %r8, [%r4+-128];
END:",
};

#[test]
fn an_mbarrier_orders_who_arrives_before_who_waits() {
    let places = [at("st.shared.u32", 0, 0, !0), at("ld.shared.u32 %r8", 0, 1, !0)];
    let wait = "mbarrier.try_wait.parity.acquire.cta.shared.b64 %p2, [%r2], 0;\n@!%p2 bra READ;\n";
    HANDED.finds(wait, "", Kind::Race, &places);
    HANDED.finds("arrive.release", "arrive.relaxed", Kind::Race, &places);
    let (write, arrive) =
        ("st.shared.u32 [%r4], %r0;", "mbarrier.arrive.release.cta.shared.b64 _, [%r2];");
    HANDED.finds(&format!("{write}\n{arrive}"), &format!("{arrive}\n{write}"), Kind::Race, &places);
}

#[test]
fn an_mbarrier_is_used_only_after_its_initialization() {
    let right = HANDED.right.replace("@%p3 bra READ;", "bar.sync 1;\n@%p3 bra READ;");
    let right = right.replacen("bar.sync 0;\n", "", 1);
    let seed = Seed { right: &right, ..HANDED };
    seed.holds();
    // Who is first decides whether it shows as a race or as a use of nothing.
    let wrong = right.replace("bar.sync 1;\n", "");
    let kinds = Seed { right: &wrong, ..HANDED }.kinds();
    assert!(kinds.iter().all(|k| [Kind::Race, Kind::Mbarrier].contains(k)), "{kinds:?}");
}

#[test]
fn only_mbarrier_instructions_touch_a_living_mbarrier() {
    let right = "@%p1 mbarrier.init.shared.b64 [%r2], 1;\nbar.sync 0;
@%p1 mbarrier.inval.shared.b64 [%r2];
@%p1 st.shared.u32 [%r2+4], 0;
@%p1 ld.shared.u32 %r8, [%r2+4];";
    let seed = Seed { shape: [1, 1, 32], right };
    let places = [at("st.shared.u32", 0, 0, 1)];
    seed.finds("@%p1 mbarrier.inval.shared.b64 [%r2];", "", Kind::Mbarrier, &places);
    let read = [at("ld.shared.u32", 0, 0, 1)];
    seed.finds("@%p1 mbarrier.inval.shared.b64 [%r2];", "", Kind::Mbarrier, &read);
}

#[test]
fn more_arrivals_than_a_phase_takes_are_told() {
    let right =
        "@%p1 mbarrier.init.shared.b64 [%r2], 2;\n@%p1 mbarrier.arrive.shared.b64 _, [%r2], 2;";
    let seed = Seed { shape: [1, 1, 32], right };
    seed.finds("_, [%r2], 2", "_, [%r2], 3", Kind::Mbarrier, &[at("mbarrier.arrive", 0, 0, 1)]);
}

/// All write a tile, and thread 0 stores it.
const STORE: Seed = Seed {
    shape: [1, 1, 64],
    right: "st.shared.u32 [%r4], %r0;
fence.proxy.async.shared::cta;
bar.sync 0;
@%p1 cp.async.bulk.global.shared::cta.bulk_group [%x], [%r1], 256;
@%p1 cp.async.bulk.commit_group;
@%p1 cp.async.bulk.wait_group 0;",
};

#[test]
fn a_store_sees_what_threads_wrote_only_after_a_fence_between_the_proxies() {
    let places = [at("cp.async.bulk.global", 0, 0, 1)];
    let fence = "fence.proxy.async.shared::cta;";
    STORE.finds(fence, "", Kind::MissingProxyFence, &places);
    // Before the write it is of no use.
    let write = "st.shared.u32 [%r4], %r0;";
    STORE.finds(
        &format!("{write}\n{fence}"),
        &format!("{fence}\n{write}"),
        Kind::MissingProxyFence,
        &places,
    );
    // A fence of memory is none between proxies.
    STORE.finds(fence, "fence.acq_rel.cta;", Kind::MissingProxyFence, &places);
    // Without the barrier it is a race.
    let writer = at("st.shared.u32", 0, 1, !0);
    STORE.finds("bar.sync 0;", "", Kind::Race, &[places[0], writer]);
}

#[test]
fn a_load_over_what_threads_wrote_needs_a_fence_between_the_proxies() {
    let right = format!(
        "@%p1 mbarrier.init.shared.b64 [%r2], 1;
@%p1 fence.mbarrier_init.release.cluster;
st.shared.u32 [%r4], 0;
fence.proxy.async.shared::cta;
bar.sync 0;
@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 256;
@%p1 {LOAD} [%r1], [%x], 256, [%r2];
READ:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;
ld.shared.u32 %r8, [%r4];"
    );
    let seed = Seed { shape: [1, 1, 64], right: &right };
    let fence = "fence.proxy.async.shared::cta;";
    seed.finds(fence, "", Kind::MissingProxyFence, &[at(LOAD, 0, 0, 1)]);
}

#[test]
fn a_product_sees_what_threads_wrote_only_after_a_fence_between_the_proxies() {
    let seed = Seed { shape: [1, 1, 128], right: PRODUCT };
    let product = |warp: u32| at("wgmma.mma_async", 0, warp, !0);
    let places = [0, 1, 2, 3].map(product);
    let fence = "fence.proxy.async.shared::cta;";
    seed.finds(fence, "", Kind::MissingProxyFence, &places);
}

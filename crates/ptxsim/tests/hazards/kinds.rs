//! Every kind of finding has a seeded mistake beside a right twin.

use ptxsim::Kind;

use crate::copies::{STORE, STORE_OF_TILE};
use crate::memory::{REGISTER, one_warp};
use crate::seed::{Blamed, PRODUCT, Seed, at};
use crate::undefined::{ASSERTION, LOOP, SHUFFLE, TABLE, steps_of_loop};
use crate::{barriers, waits};

/// A right kernel, what is replaced in it by what, and who is to blame then.
type Mistake = (Seed<'static>, &'static str, &'static str, Vec<Blamed<'static>>);

/// One of this kind.
fn mistake(kind: Kind) -> Mistake {
    let warpgroup = Seed { shape: [1, 1, 128], right: PRODUCT };
    let products = [0, 1, 2, 3].map(|warp| at("wgmma.mma_async", 0, warp, !0)).into();
    let word = one_warp("@%p1 st.global.u32 [%x+65532], %r0;");
    let store = vec![at("st.global.u32", 0, 0, 1)];
    match kind {
        Kind::OutOfBounds => (word, "65532", "65536", store),
        Kind::Misaligned => (word, "65532", "65530", store),
        Kind::ReadOnly => (word, "[%x", "[%y", store),
        Kind::UninitializedMemory => {
            let right = "st.shared.u32 [%r4], %r0;\nbar.sync 0;\nld.shared.u32 %r5, [%r4+0];";
            (one_warp(right), "%r4+0", "%r4+4", vec![at("ld.shared.u32", 0, 0, 1 << 31)])
        }
        Kind::UninitializedRegister => {
            (REGISTER, "mov.u32 %r5, 1;\n", "", vec![at("add.u32 %r6", 0, 0, !0xff)])
        }
        Kind::Race => {
            let again = [0, 1].map(|warp| at("st.shared.u32 [%r4], 7", 0, warp, !0));
            let places = [again[0], again[1], STORE_OF_TILE];
            (STORE, "@%p1 cp.async.bulk.wait_group.read 0;", "", places.into())
        }
        Kind::MissingProxyFence => {
            (STORE, "fence.proxy.async.shared::cta;", "", vec![STORE_OF_TILE])
        }
        Kind::MissingInitFence => {
            let places = [
                at("mbarrier.init", 0, 0, 1),
                at("mbarrier.arrive.release", 1, 0, !0),
                at("mbarrier.try_wait", 0, 0, !0),
            ];
            (barriers::REMOTE, "fence.mbarrier_init.release.cluster;", "", places.into())
        }
        Kind::Mbarrier => {
            let seed = one_warp("@%p1 mbarrier.init.shared.b64 [%r2], 1;");
            (seed, "[%r2], 1;", "[%r2], 0;", vec![at("mbarrier.init", 0, 0, 1)])
        }
        Kind::Barrier => {
            let places = [at("bar.sync 1, 96", 0, 1, !0), at("bar.sync 1, 64", 0, 0, !0)];
            (waits::NAMED, "bar.sync 1, 64", "bar.sync 1, 96", places.into())
        }
        Kind::InFlight => (warpgroup, "wgmma.fence.sync.aligned;\n", "", products),
        Kind::Abandoned => (warpgroup, "wgmma.wait_group.sync.aligned 0;", "", products),
        Kind::Deadlock => {
            let low = vec![at("bar.sync 1, 64", 0, 0, !0)];
            (waits::NAMED, "bar.sync 1, 64;\nbra", "bra", low)
        }
        Kind::Budget => (LOOP, "%r5, %r5, 1", "%r5, %r5, 0", steps_of_loop()),
        Kind::Trap => (ASSERTION, "40", "30", vec![at("call.uni", 0, 0, 1 << 31)]),
        Kind::Undefined => (SHUFFLE, ", 3, 31", ", 20, 31", vec![at("shfl.sync", 0, 0, 0xffff)]),
        Kind::Invalid => (TABLE, "%r0, 1", "%r0, 3", vec![at("brx.idx", 0, 0, 0xcccc_cccc)]),
        new => panic!("there is no seeded mistake of kind {new:?}: add one"),
    }
}

#[test]
fn every_kind_is_found_and_a_right_twin_gives_nothing() {
    for kind in Kind::ALL {
        let (seed, from, to, places) = mistake(*kind);
        seed.finds(from, to, *kind, &places);
    }
}

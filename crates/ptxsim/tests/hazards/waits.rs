//! Waits that never end, and what is told of all who wait.

use ptxsim::Kind;

use crate::seed::{Seed, at};

#[test]
fn lanes_of_a_warp_come_to_one_barrier_together() {
    let right = "setp.lt.u32 %p2, %r0, 8;\n@%p2 bra SOME;\nSOME:\nbar.sync 0;";
    let wrong = "@%p2 bra SOME;\nbar.sync 1;\nbra.uni END;\nSOME:\nbar.sync 0;\nEND:";
    let seed = Seed { shape: [1, 1, 32], right };
    let places = [at("bar.sync 1", 0, 0, !0xff), at("bar.sync 0", 0, 0, 0xff)];
    seed.finds("@%p2 bra SOME;\nSOME:\nbar.sync 0;", wrong, Kind::Barrier, &places);
}

/// Two warps meet at a named barrier.
pub const NAMED: Seed = Seed {
    shape: [1, 1, 64],
    right: "setp.lt.u32 %p2, %r0, 32;
@%p2 bra LOW;
bar.sync 1, 64;
bra.uni END;
LOW:
bar.sync 1, 64;
END:",
};

#[test]
fn threads_tell_a_named_barrier_the_same_count() {
    let places = [at("bar.sync 1, 96", 0, 1, !0), at("bar.sync 1, 64", 0, 0, !0)];
    NAMED.finds("bar.sync 1, 64;", "bar.sync 1, 96;", Kind::Barrier, &places);
}

/// Four warps and two blocks; each waits for something else.
const WAITS: Seed = Seed {
    shape: [2, 2, 160],
    right: "@%p1 mbarrier.init.shared.b64 [%r2], 160;
fence.mbarrier_init.release.cluster;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
mbarrier.arrive.shared.b64 _, [%r2];
shr.u32 %r5, %r0, 5;
setp.eq.u32 %p2, %r5, 0;
@%p2 bra PHASE;
setp.eq.u32 %p2, %r5, 1;
@%p2 bra NAMED;
setp.eq.u32 %p2, %r5, 2;
@%p2 bra CLUSTER;
setp.eq.u32 %p2, %r5, 3;
@%p2 bra PRODUCT;
bra.uni END;
PHASE:
mbarrier.try_wait.parity.shared.b64 %p3, [%r2], 0;
@!%p3 bra PHASE;
bra.uni END;
NAMED:
bar.sync 3, 32;
bra.uni END;
CLUSTER:
mov.u32 %r6, 0;
bra.uni END;
PRODUCT:
wgmma.fence.sync.aligned;
END:
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;",
};

#[test]
fn a_deadlock_tells_the_state_of_every_waiting_warp() {
    WAITS.holds();
    let wrong =
        WAITS.right.replace("[%r2], 0;\n@!%p3", "[%r2], 1;\n@!%p3").replacen("160;", "161;", 1);
    let wrong =
        wrong.replace("[%r2], 1;", "[%r2], 0;").replace("bar.sync 3, 32;", "bar.sync 3, 64;");
    let wrong = wrong.replace("wgmma", "setp.lt.u32 %p4, %r0, 100;\n@%p4 bra PHASE;\nwgmma");
    let finding = Seed { right: &wrong, ..WAITS }.finding(Kind::Deadlock);
    let lines: Vec<&str> = finding.message.lines().collect();
    let says = |block: u32, warp: u32, words: &str| {
        let who = format!("block ({block}, 0, 0) warp {warp} ");
        let found = lines.iter().any(|line| line.contains(&who) && line.contains(words));
        assert!(found, "block {block} warp {warp}: {words} in {}", finding.message);
    };
    for block in 0..2 {
        says(
            block,
            0,
            &format!("phase 0 of the mbarrier at 0x1400 of block {block}, where 1 of 161 arrivals"),
        );
        says(block, 1, "barrier 3, where 32 of 64 threads have arrived");
        says(block, 2, "the cluster's barrier, where 128 of 320 threads have arrived");
        says(block, 3, "lanes 0xffffffff to come here");
        says(block, 3, "`wgmma.fence.sync.aligned`");
        says(block, 4, "`barrier.cluster.wait.acquire.aligned`");
    }
}

#[test]
fn a_wait_that_may_give_up_is_tried_again() {
    let right = "@%p1 mbarrier.init.shared.b64 [%r2], 32;
bar.sync 0;
setp.ge.u32 %p3, %r0, 32;
@%p3 bra READ;
st.shared.u32 [%r4], %r0;
mbarrier.arrive.shared.b64 _, [%r2];
bra.uni END;
READ:
mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
@!%p2 bra READ;
ld.shared.u32 %r8, [%r4+-128];
END:";
    let seed = Seed { shape: [1, 1, 64], right };
    seed.holds();
    assert_eq!(seed.kinds_in_a_hurry(), []);
    let once = right.replace("@!%p2 bra READ;\n", "");
    let kinds = Seed { right: &once, ..seed }.kinds_in_a_hurry();
    assert!(kinds.contains(&Kind::Race), "{kinds:?}");
    // A phase that never ends shows as a deadlock all the same.
    let never = right.replacen("[%r2], 32", "[%r2], 33", 1);
    let kinds = Seed { right: &never, ..seed }.kinds_in_a_hurry();
    assert_eq!(kinds, [Kind::Deadlock; 8]);
}

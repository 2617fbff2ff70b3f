//! Barriers of a block and of lanes, and fences.

use crate::{lanes, launch, refusal};
use ptxsim::{Error, Finding, Kind, Options};

/// Results of `threads` threads, the same for several seeds.
fn block(declarations: &str, body: &str, threads: u32) -> Vec<u64> {
    let run = |seed| {
        let options = Options { seed, ..Options::default() };
        let (out, report) = launch(declarations, body, threads, &options).unwrap();
        assert_eq!(report.findings, [], "{body}");
        out
    };
    let first = run(0);
    (1..4).for_each(|seed| assert_eq!(run(seed), first));
    first
}

fn fault(body: &str, threads: u32) -> Finding {
    match launch("", body, threads, &Options::default()) {
        Err(Error::Finding(finding)) => *finding,
        other => panic!("expected a finding, not {other:?}: {body}"),
    }
}

#[test]
fn what_was_stored_before_a_barrier_is_read_after_it() {
    let body = "shl.b32 %r1, %r0, 2; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u32 [%r1], %r0; bar.sync 0; \
                mov.u32 %r3, %ntid.x; sub.u32 %r4, %r3, %r0; sub.u32 %r4, %r4, 1; shl.b32 %r4, %r4, 2; \
                add.u32 %r4, %r4, %r2; ld.shared.u32 %r5, [%r4]; cvt.u64.u32 %d2, %r5; st.u64 [%d1], %d2;";
    for threads in [32, 100, 128] {
        let expected: Vec<u64> = (0..threads as u64).rev().collect();
        assert_eq!(block(".shared .b32 s[128];", body, threads), expected);
    }
}

#[test]
fn a_counted_barrier_lets_producers_go_on() {
    // Warp 0 arrives and does not wait; warp 1 waits for both; warp 2 takes no part.
    let body = "setp.lt.u32 %p1, %r0, 32; setp.ge.u32 %p2, %r0, 64; @%p2 ret; @!%p1 bra W; \
                setp.eq.u32 %p3, %r0, 0; @%p3 st.shared.u32 [s], 41; bar.arrive 3, 64; ret; \
                W: bar.sync 3, 64; ld.shared.u32 %r1, [s]; add.u32 %r1, %r1, 1; cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;";
    let out = block(".shared .b32 s;", body, 96);
    assert_eq!((out[0], out[32], out[63], out[64]), (0, 42, 42, 0));
}

#[test]
fn reductions_at_a_barrier_have_the_votes_of_all_threads_twice_in_a_row() {
    let body = "setp.lt.u32 %p1, %r0, 10; bar.red.popc.u32 %r1, 0, %p1; bar.red.popc.u32 %r2, 0, !%p1; \
                bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, %p1; selp.b32 %r3, 1000, 0, %p2; selp.b32 %r4, 5000, 0, %p3; \
                mul.lo.u32 %r2, %r2, 10000; add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3; add.u32 %r1, %r1, %r4; \
                cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;";
    assert_eq!(block("", body, 96), [86 * 10_000 + 5_000 + 10; 96]);
}

#[test]
fn threads_that_have_exited_are_not_waited_for() {
    let body = "setp.gt.u32 %p1, %r0, 39; @%p1 ret; bar.sync 0; mov.u64 %d2, 7; st.u64 [%d1], %d2;";
    let out = block("", body, 128);
    assert_eq!((out[39], out[40]), (7, 0));
}

#[test]
fn lanes_that_came_apart_may_arrive_at_a_barrier_that_is_not_aligned() {
    let body = "setp.lt.u32 %p1, %r0, 5; @%p1 bra L; barrier.sync 0; bra M; L: barrier.sync 0; M: \
                mov.u64 %d2, 1; st.u64 [%d1], %d2;";
    assert_eq!(block("", body, 64), [1; 64]);
    lanes("", "bar.warp.sync -1; barrier.cta.sync.aligned 1; bar.cta.sync 2, 32;");
}

#[test]
fn a_barrier_that_not_all_reach_is_told_with_all_who_wait() {
    let half = fault("setp.lt.u32 %p1, %r0, 16; @%p1 bar.sync 0; bar.sync 1;", 32);
    assert_eq!(half.kind, Kind::Barrier, "{half}");
    let other = fault("setp.lt.u32 %p1, %r0, 32; @%p1 bra L; bar.sync 2; ret; L: bar.sync 5;", 64);
    assert_eq!(other.kind, Kind::Deadlock);
    assert!(other.message.contains("barrier 2, where 32 of 64 threads have arrived"), "{other}");
    assert!(other.message.contains("barrier 5"), "{other}");
}

#[test]
fn counts_must_agree_and_fit() {
    let differ = "setp.lt.u32 %p1, %r0, 32; selp.b32 %r1, 64, 96, %p1; bar.sync 1, %r1;";
    assert_eq!(fault(differ, 96).kind, Kind::Barrier);
    assert_eq!(fault("bar.sync 1, 33;", 32).kind, Kind::Barrier);
    assert_eq!(fault("bar.sync %r0;", 32).kind, Kind::Barrier);
    assert_eq!(fault("mov.u32 %r1, 16; bar.sync %r1;", 32).kind, Kind::Barrier);
}

#[test]
fn fences_are_taken_and_those_of_other_proxies_refused() {
    lanes(
        "",
        "membar.cta; membar.gl; membar.sys; fence.acq_rel.gpu; fence.sc.cluster; fence.proxy.alias; fence.proxy.async; \
         fence.proxy.async.shared::cta; fence.mbarrier_init.release.cluster;",
    );
    assert!(refusal("", "fence.proxy.tensormap::generic.release.gpu;").contains("fence.proxy"));
}

//! Branches, calls, barriers of forward progress.

use crate::{fault, lanes, launch};
use ptxsim::{Error, Kind, Options};

#[test]
fn lanes_that_came_apart_meet_again() {
    let body = "and.b32 %r1, %r0, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bra A; mov.u32 %r2, 10; bra B; A: mov.u32 %r2, 20; \
                B: activemask.b32 %r3; cvt.u64.u32 %d2, %r3; shl.b64 %d2, %d2, 8; cvt.u64.u32 %d3, %r2; \
                add.u64 %d2, %d2, %d3; st.u64 [%d1], %d2;";
    for (lane, value) in lanes("", body).iter().enumerate() {
        assert_eq!(*value, 0xFFFF_FFFF << 8 | if lane % 2 == 0 { 20 } else { 10 });
    }
}

#[test]
fn loops_of_different_length_end_one_by_one() {
    let body = "mov.u32 %r1, 0; L: add.u32 %r1, %r1, 1; setp.le.u32 %p1, %r1, %r0; @%p1 bra L; cvt.u64.u32 %d2, %r1; \
                st.u64 [%d1], %d2;";
    for (lane, value) in lanes("", body).iter().enumerate() {
        assert_eq!(*value, lane as u64 + 1);
    }
}

#[test]
fn a_lane_that_spins_lets_the_others_go_on() {
    // Each lane takes a lock within the warp: with the lanes in lockstep nobody would ever give it back.
    let body = "L: atom.shared.cas.b32 %r1, [lock], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra L; \
                ld.volatile.shared.u32 %r2, [n]; add.u32 %r2, %r2, 1; st.volatile.shared.u32 [n], %r2; \
                atom.shared.exch.b32 %r3, [lock], 0; cvt.u64.u32 %d2, %r2; st.u64 [%d1], %d2;";
    let init = "setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [lock], 0; @%p1 st.shared.u32 [n], 0; bar.sync 0;";
    let mut options = Options::default();
    options.checks.races = false;
    for seed in 0..4 {
        options.seed = seed;
        let shared = ".shared .b32 lock; .shared .b32 n;";
        let (mut out, _) = launch(shared, &format!("{init} {body}"), 32, &options).unwrap();
        out.sort_unstable();
        assert_eq!(out, (1..33).collect::<Vec<u64>>());
    }
}

#[test]
fn tables_of_targets_send_each_lane_its_way() {
    let body = "and.b32 %r1, %r0, 1; T: .branchtargets A, B; brx.idx %r1, T; A: mov.u64 %d2, 1; bra E; \
                B: mov.u64 %d2, 2; E: st.u64 [%d1], %d2;";
    assert_eq!(lanes("", body)[..4], [1, 2, 1, 2]);
    let beyond = "T: .branchtargets A; brx.idx %r0, T; A: ret;";
    assert_eq!(fault("", beyond).kind, Kind::Invalid);
}

const SQUARE: &str = ".func (.param .b32 r) square(.param .b32 x) { .reg .b32 %a; ld.param.b32 %a, [x]; \
                      mul.lo.s32 %a, %a, %a; st.param.b32 [r], %a; ret; }\n\
                      .func (.reg .b32 r) twice(.reg .b32 x) { add.s32 r, x, x; ret; }";

#[test]
fn functions_take_parameters_in_memory_and_in_registers() {
    let body = "{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r0; call.uni (b), square, (a); ld.param.b32 %r1, [b]; } \
                call (%r2), twice, (%r1); cvt.u64.u32 %d2, %r2; st.u64 [%d1], %d2;";
    for (lane, value) in lanes(SQUARE, body).iter().enumerate() {
        assert_eq!(*value, 2 * (lane * lane) as u64);
    }
}

#[test]
fn functions_are_called_through_pointers_by_diverging_lanes() {
    let functions = ".func (.param .b32 r) one(.param .b32 x) { .reg .b32 %a; ld.param.b32 %a, [x]; add.s32 %a, %a, 1; \
                     st.param.b32 [r], %a; ret; }";
    let body = "mov.u64 %d3, square; mov.u64 %d4, one; setp.lt.u32 %p1, %r0, 8; selp.b64 %d5, %d3, %d4, %p1; \
                { P: .callprototype (.param .b32 _) _ (.param .b32 _); .param .b32 a; .param .b32 b; st.param.b32 [a], %r0; \
                call (b), %d5, (a), P; ld.param.b32 %r1, [b]; } cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;";
    for (lane, value) in lanes(&format!("{SQUARE}\n{functions}"), body).iter().enumerate() {
        assert_eq!(*value as usize, if lane < 8 { lane * lane } else { lane + 1 });
    }
}

#[test]
fn recursion_is_a_finding() {
    let function = ".func again() { call again; ret; }";
    let finding = fault(function, "call again;");
    assert_eq!(finding.kind, Kind::Invalid);
    assert!(finding.message.contains("again"));
}

#[test]
fn traps_end_the_execution_and_exits_only_the_lane() {
    assert_eq!(fault("", "setp.eq.u32 %p1, %r0, 3; @%p1 trap;").lanes, 8);
    let body = "setp.gt.u32 %p1, %r0, 3; @%p1 exit; bar.warp.sync 0xF; st.u64 [%d1], 1;";
    assert_eq!(lanes("", body).iter().sum::<u64>(), 4);
}

#[test]
fn an_endless_loop_uses_its_budget_up() {
    let options = Options { budget: 10_000, ..Options::default() };
    match launch("", "L: bra L;", 32, &options) {
        Err(Error::Finding(finding)) => assert_eq!(finding.kind, Kind::Budget),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lanes_that_wait_for_each_other_in_vain_are_a_deadlock() {
    let body = "setp.eq.u32 %p1, %r0, 0; @%p1 bra A; bar.warp.sync 0xFFFFFFFF; bra E; \
                A: bar.warp.sync 0x1; L: ld.volatile.shared.u32 %r1, [s]; E: bar.warp.sync 0xF0000001;";
    let finding = fault(".shared .b32 s;", body);
    assert_eq!(finding.kind, Kind::Deadlock);
    assert!(finding.message.contains("bar.warp.sync"), "{finding}");
}

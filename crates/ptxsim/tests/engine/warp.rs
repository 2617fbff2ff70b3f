//! What lanes do together: shuffles, votes, matches, reductions, elections.

use crate::{fault, lanes, launch};
use ptxsim::{Kind, Options};

/// `operation` leaves its result in `%r1`.
fn words(operation: &str) -> Vec<u32> {
    let body = format!("{operation} cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;");
    lanes("", &body).into_iter().map(|value| value as u32).collect()
}

/// The lanes of `mask` for which `f` holds.
fn ballot(mask: u32, f: impl Fn(u32) -> bool) -> u32 {
    (0..32).filter(|lane| mask >> lane & 1 == 1 && f(*lane)).fold(0, |m, lane| m | 1 << lane)
}

#[test]
fn shuffles_read_within_segments_of_every_width() {
    for width in [1, 2, 8, 16, 32u32] {
        for by in [0, 1, 3, 15, 31u32] {
            for mode in ["idx", "up", "down", "bfly"] {
                let clamp = (32 - width) << 8 | if mode == "up" { 0 } else { 31 };
                let found = words(&format!(
                    "mul.lo.u32 %r2, %r0, 7; shfl.sync.{mode}.b32 %r3|%p1, %r2, {by}, {clamp}, -1; \
                     selp.b32 %r4, 1000, 0, %p1; add.u32 %r1, %r3, %r4;"
                ));
                for (lane, found) in found.into_iter().enumerate() {
                    let lane = lane as u32;
                    let (first, end) = (lane / width * width, lane / width * width + width);
                    let source = match mode {
                        "idx" => Some(first + by % width),
                        "up" => lane.checked_sub(by).filter(|source| *source >= first),
                        "down" => Some(lane + by).filter(|source| *source < end),
                        _ => Some(lane ^ by).filter(|source| *source < end),
                    };
                    let expected = source.map_or(7 * lane, |source| 7 * source + 1000);
                    assert_eq!(found, expected, "{mode} by {by} width {width} lane {lane}");
                }
            }
        }
    }
}

#[test]
fn votes_count_only_the_lanes_of_the_mask() {
    let odd = "and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 1;";
    let all = ballot(!0, |lane| lane % 2 == 1);
    assert_eq!(words(&format!("{odd} vote.sync.ballot.b32 %r1, %p1, -1;")), [all; 32]);
    assert_eq!(words(&format!("{odd} vote.sync.ballot.b32 %r1, !%p1, -1;")), [!all; 32]);
    let vote = |kind: &str, guard: &str| {
        words(&format!("{guard} vote.sync.{kind}.pred %p2, %p1, -1; selp.b32 %r1, 1, 0, %p2;"))[9]
    };
    assert_eq!(["all", "any", "uni"].map(|kind| vote(kind, odd)), [0, 1, 0]);
    let always = "setp.ge.u32 %p1, %r0, 0;";
    assert_eq!(["all", "any", "uni"].map(|kind| vote(kind, always)), [1, 1, 1]);
    let never = "setp.lt.u32 %p1, %r0, 0;";
    assert_eq!(["all", "any", "uni"].map(|kind| vote(kind, never)), [0, 0, 1]);
}

#[test]
fn matches_find_equal_lanes_and_whether_all_are() {
    let found = words("and.b32 %r2, %r0, 3; match.any.sync.b32 %r1, %r2, -1;");
    for (lane, found) in found.into_iter().enumerate() {
        assert_eq!(found, ballot(!0, |other| other % 4 == lane as u32 % 4));
    }
    let found = words(
        "cvt.u64.u32 %d2, %r0; shr.u64 %d2, %d2, 4; shl.b64 %d2, %d2, 40; match.any.sync.b64 %r1, %d2, -1;",
    );
    assert_eq!((found[3], found[20]), (0xffff, 0xffff_0000));
    let all = |value: &str| {
        words(&format!("{value} match.all.sync.b32 %r3|%p1, %r2, -1; selp.b32 %r1, %r3, 5, %p1;"))
    };
    assert_eq!(all("mov.u32 %r2, 9;"), [!0; 32]);
    assert_eq!(all("mov.u32 %r2, %r0;"), [5; 32]);
}

#[test]
fn reductions_and_elections_have_one_result() {
    let value = "sub.s32 %r2, %r0, 16;";
    let reduce = |kind: &str| words(&format!("{value} redux.sync.{kind} %r1, %r2, -1;"))[13] as i32;
    assert_eq!(reduce("add.s32"), -16);
    assert_eq!((reduce("min.s32"), reduce("max.s32")), (-16, 15));
    assert_eq!((reduce("min.u32"), reduce("max.u32")), (0, -1));
    assert_eq!((reduce("and.b32"), reduce("or.b32"), reduce("xor.b32")), (0, -1, 0));
    let float = "cvt.rn.f32.s32 %f1, %r2; redux.sync.max.abs.f32 %f2, %f1, -1; mov.b32 %r1, %f2;";
    assert_eq!(words(&format!("{value} {float}")), [16f32.to_bits(); 32]);
    let elect = "setp.gt.u32 %p1, %r0, 4; @!%p1 bra E; elect.sync %r2|%p2, 0xffffffe0; selp.b32 %r1, %r2, 77, %p2; \
                 bra F; E: mov.u32 %r1, 0; F:";
    let found = words(elect);
    assert_eq!((found[4], found[5], found[6]), (0, 5, 77));
}

#[test]
fn lanes_that_came_apart_meet_for_a_shuffle_and_halves_with_masks_of_their_own_do_not_wait() {
    let apart = "setp.lt.u32 %p1, %r0, 11; @%p1 bra L; mov.u32 %r2, 1; bra M; L: mov.u32 %r2, 2; \
                 M: shfl.sync.bfly.b32 %r1, %r2, 31, 31, -1;";
    let found = words(apart);
    assert_eq!((found[0], found[20], found[21]), (1, 1, 2));
    let halves = "setp.lt.u32 %p1, %r0, 16; selp.b32 %r3, 0xffff, 0xffff0000, %p1; mov.u32 %r2, %r0; \
                  shfl.sync.down.b32 %r1, %r2, 1, 0x100f, %r3;";
    let found = words(halves);
    assert_eq!((found[0], found[15], found[16], found[31]), (1, 15, 17, 31));
    let active = words("setp.lt.u32 %p1, %r0, 8; mov.u32 %r1, 0; @%p1 activemask.b32 %r1;");
    assert_eq!((active[0], active[8]), (0xff, 0));
}

#[test]
fn what_a_shuffle_leaves_undefined_is_told() {
    let body = "setp.gt.u32 %p1, %r0, 15; @%p1 ret; shfl.sync.idx.b32 %r1, %r0, 20, 31, 0xffff; \
                cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;";
    let (_, report) = launch("", body, 32, &Options::default()).unwrap();
    assert_eq!((report.findings[0].kind, report.findings[0].lanes), (Kind::Undefined, 0xffff));
    let outside = fault("", "shfl.sync.idx.b32 %r1, %r0, 0, 31, 0xfffe;");
    assert_eq!((outside.kind, outside.lanes), (Kind::Undefined, 1));
}

#[test]
fn lanes_meet_at_different_instructions_with_the_same_qualifiers_and_mask() {
    // Odd lanes take their operands from other registers, and leave their results in others.
    let with = |low: &str, high: &str| {
        words(&format!(
            "and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 1; mul.lo.u32 %r3, %r0, 3; add.u32 %r4, %r0, 100; \
             setp.lt.u32 %p3, %r0, 9; mov.u32 %r9, 1; mov.u32 %r10, 31; \
             @%p1 bra ODD; {low} bra J; ODD: {high} mov.u32 %r1, %r6; J:"
        ))
    };
    let found = with(
        "shfl.sync.bfly.b32 %r1, %r3, 1, 31, -1;",
        "shfl.sync.bfly.b32 %r6, %r4, %r9, %r10, -1;",
    );
    assert_eq!((found[0], found[1], found[30], found[31]), (101, 0, 131, 90));
    let found = with("vote.sync.ballot.b32 %r1, %p3, -1;", "vote.sync.ballot.b32 %r6, !%p3, -1;");
    let expected = ballot(!0, |lane| (lane < 9) == (lane % 2 == 0));
    assert_eq!(found, [expected; 32]);
    let found = with("redux.sync.add.u32 %r1, %r3, -1;", "redux.sync.add.u32 %r6, %r4, -1;");
    let sum = (0..32).map(|lane| if lane % 2 == 0 { 3 * lane } else { lane + 100 }).sum::<u32>();
    assert_eq!(found, [sum; 32]);
    let found = with(
        "mov.u32 %r3, 5; match.any.sync.b32 %r1, %r3, -1;",
        "mov.u32 %r4, 5; match.any.sync.b32 %r6, %r4, -1;",
    );
    assert_eq!(found, [!0; 32]);
    let found =
        with("match.all.sync.b32 %r1|%p4, %r9, -1;", "match.all.sync.b32 %r6|%p4, %r10, -1;");
    assert_eq!(found, [0; 32]);
    let found = with("elect.sync %r1|%p4, -1;", "elect.sync %r6|%p4, -1;");
    assert_eq!(found, [0; 32]);
    let found = with(
        "mov.u64 %d2, 7; match.any.sync.b64 %r1, %d2, -1;",
        "mov.u64 %d3, 8; match.any.sync.b64 %r6, %d3, -1;",
    );
    assert_eq!((found[0], found[1]), (0x5555_5555, 0xaaaa_aaaa));
}

#[test]
fn lanes_do_not_meet_with_other_qualifiers_or_masks() {
    for (low, high) in [
        ("shfl.sync.up.b32 %r1, %r0, 1, 0, -1;", "shfl.sync.down.b32 %r1, %r0, 1, 31, -1;"),
        ("vote.sync.any.pred %p2, %p1, -1;", "vote.sync.all.pred %p2, %p1, -1;"),
        ("bar.warp.sync -1;", "bar.warp.sync 0x7fffffff;"),
        ("bar.warp.sync -1;", "vote.sync.any.pred %p2, %p1, -1;"),
    ] {
        let body = format!("setp.lt.u32 %p1, %r0, 16; @%p1 bra L; {high} bra J; L: {low} J:");
        let finding = fault("", &body);
        let kinds = [Kind::Deadlock, Kind::Barrier];
        assert!(kinds.contains(&finding.kind), "{finding}");
    }
}

#[test]
fn lanes_meet_in_a_function_that_they_called_from_different_places() {
    let function = ".func (.reg .b32 r) sum(.reg .b32 x) { redux.sync.add.u32 r, x, -1; ret; }";
    let body = "setp.lt.u32 %p1, %r0, 5; @%p1 bra L; call (%r1), sum, (%r0); bra J; L: call (%r1), sum, (%r0); \
                J: cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;";
    assert_eq!(lanes(function, body), [496; 32]);
}

//! cp.async.

use ptxsim::{Kind, Options};

use crate::launch::*;

/// Each of 32 threads copies with `copy` (from `%rd2` to `%r3`, of `size` bytes) and writes out what arrived.
fn copied(size: usize, copy: &str) -> Vec<u8> {
    let words = size / 4;
    let mut body = format!(
        "mul.lo.u32 %r4, %r0, {size};\nadd.u32 %r3, %r1, %r4;\ncvt.u64.u32 %rd3, %r4;\n\
         add.u64 %rd2, %rd0, %rd3;\nadd.u64 %rd4, %rd1, %rd3;\n{copy}\n\
         cp.async.commit_group;\ncp.async.wait_group 0;\n"
    );
    for k in 0..words {
        let at = 4 * k;
        body += &format!("ld.shared.u32 %r10, [%r3+{at}];\nst.global.u32 [%rd4+{at}], %r10;\n");
    }
    right(&body, [1, 32], &pattern(32 * size), 32 * size).out
}

#[test]
fn copies_of_every_size_bring_their_bytes() {
    for (size, how) in [(4, "ca"), (8, "ca"), (16, "ca"), (16, "cg")] {
        let copy = format!("cp.async.{how}.shared.global.L2::128B [%r3], [%rd2], {size};");
        assert_eq!(copied(size, &copy), pattern(32 * size));
    }
}

#[test]
fn bytes_that_are_not_read_are_zeros() {
    for size in [4, 8, 16] {
        let copy = format!(
            "rem.u32 %r5, %r0, {};\ncp.async.ca.shared::cta.global [%r3], [%rd2], {size}, %r5;",
            size + 1
        );
        let mut expected = pattern(32 * size);
        for (lane, part) in expected.chunks_mut(size).enumerate() {
            part[lane % (size + 1)..].fill(0);
        }
        assert_eq!(copied(size, &copy), expected);
    }
}

#[test]
fn an_ignored_source_gives_zeros_wherever_it_points() {
    let copy = "setp.ge.u32 %p1, %r0, 16;\n@%p1 mov.u64 %rd2, 64;\n\
                cp.async.cg.shared.global [%r3], [%rd2], 16, %p1;";
    let mut expected = pattern(512);
    expected[256..].fill(0);
    assert_eq!(copied(16, copy), expected);
}

/// Two copies in two groups, a wait for all but the latest `left`, and what thread 0 reads then.
fn two_groups(left: u32) -> Ran {
    let body = format!(
        "cp.async.ca.shared.global [%r1], [%rd0], 4;\ncp.async.commit_group;\n\
         cp.async.ca.shared.global [%r1+4], [%rd0+4], 4;\ncp.async.commit_group;\n\
         cp.async.wait_group {left};\nld.shared.v2.u32 {{%r3, %r4}}, [%r1];\n\
         st.global.v2.u32 [%rd1], {{%r3, %r4}};\ncp.async.wait_all;"
    );
    run_with(&body, [1, 1], &pattern(8), 8, &Options::default()).unwrap()
}

#[test]
fn a_wait_leaves_the_latest_groups() {
    assert_eq!(two_groups(0).out, pattern(8));
    assert_eq!(two_groups(0).findings, []);
    // What was not waited for is not there.
    assert_eq!(two_groups(1).kinds(), [Kind::UninitializedMemory, Kind::Race]);
    assert_eq!(two_groups(1).out[..4], pattern(8)[..4]);
    assert_ne!(two_groups(1).out[4..], pattern(8)[4..]);
}

#[test]
fn copies_that_nobody_waits_for_are_found() {
    let body = "cp.async.ca.shared.global [%r1], [%rd0], 4;\ncp.async.commit_group;";
    let ran = run_with(body, [1, 1], &pattern(4), 4, &Options::default()).unwrap();
    assert_eq!(ran.kinds(), [Kind::Abandoned]);
}

#[test]
fn lanes_count_groups_of_their_own() {
    // Lane 1 commits one group more than lane 0: leaving one means another copy for each.
    let body = "mul.lo.u32 %r3, %r0, 4;\nadd.u32 %r3, %r1, %r3;\n\
                cp.async.ca.shared.global [%r3], [%rd0], 4;\ncp.async.commit_group;\n\
                setp.eq.u32 %p1, %r0, 1;\n@%p1 cp.async.commit_group;\ncp.async.wait_group 1;\n\
                setp.eq.u32 %p2, %r0, 1;\n@%p2 ld.shared.u32 %r4, [%r3];\n@%p2 st.global.u32 [%rd1], %r4;\ncp.async.wait_all;";
    let ran = right(body, [1, 2], &pattern(4), 4);
    assert_eq!(ran.out, pattern(4));
}

#[test]
fn an_mbarrier_follows_copies() {
    for (how, count) in [(".noinc", 32), ("", 1)] {
        // Without .noinc the phase waits for one arrival more, which the copy makes.
        let arrive = if count == 32 { "" } else { "@%p1 mbarrier.arrive.shared.b64 _, [%r2];\n" };
        let body = format!(
            "setp.eq.u32 %p1, %r0, 0;\n@%p1 mbarrier.init.shared.b64 [%r2], {count};\nbar.sync 0;\n\
             mul.lo.u32 %r4, %r0, 4;\nadd.u32 %r3, %r1, %r4;\ncvt.u64.u32 %rd3, %r4;\n\
             add.u64 %rd2, %rd0, %rd3;\nadd.u64 %rd4, %rd1, %rd3;\n\
             cp.async.ca.shared.global [%r3], [%rd2], 4;\n\
             cp.async.mbarrier.arrive{how}.shared.b64 [%r2];\n{arrive}\
             WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n@!%p2 bra WAIT;\n\
             xor.b32 %r5, %r3, 124;\nld.shared.u32 %r6, [%r5];\nst.global.u32 [%rd4], %r6;"
        );
        let expected: Vec<u8> = pattern(128).chunks(4).rev().flatten().copied().collect();
        assert_eq!(right(&body, [1, 32], &pattern(128), 128).out, expected, "{how}");
    }
}

#[test]
fn mistakes_are_found_at_the_copy() {
    let wait = "cp.async.wait_all;";
    let odd = fault(
        &format!("cp.async.ca.shared.global [%r1], [%rd0+2], 4;\n{wait}"),
        [1, 1],
        &pattern(8),
    );
    assert_eq!(odd.kind, Kind::Misaligned);
    let outside = fault(
        &format!("cp.async.cg.shared.global [%r1], [%rd0+16], 16;\n{wait}"),
        [1, 1],
        &pattern(16),
    );
    assert_eq!(outside.kind, Kind::OutOfBounds);
    assert!(outside.message.contains("the copy that PTX line"), "{outside}");
    let more = fault(
        &format!("cp.async.cg.shared.global [%r1], [%rd0], 16, 17;\n{wait}"),
        [1, 1],
        &pattern(16),
    );
    assert_eq!(more.kind, Kind::Undefined);
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    assert!(refusal("cp.async.cg.shared.global [%r1], [%rd0], 8;").contains("8 bytes"));
    assert!(refusal("cp.async.ca.global.shared [%rd0], [%r1], 8;").contains("copies other than"));
}

//! mbarrier.

use ptxsim::Kind;

use crate::launch::*;

/// Thread 0 initializes a barrier of `count` arrivals, all meet, then `body` goes on; `%p1` is set in thread 0.
fn body(count: u32, body: &str) -> String {
    format!(
        "setp.eq.u32 %p1, %r0, 0;\n@%p1 mbarrier.init.shared::cta.b64 [%r2], {count};\n\
         bar.sync 0;\n{body}"
    )
}

/// Waits for the end of the phase of this parity, at a label of its own.
fn wait(label: &str, parity: u32) -> String {
    format!(
        "{label}:\nmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p2, [%r2], {parity};\n\
         @!%p2 bra {label};\n"
    )
}

#[test]
fn threads_meet_phase_after_phase() {
    // In each of 3 phases a thread reads what another wrote before the phase ended.
    let mut text = String::from(
        "shl.b32 %r4, %r0, 2;\nadd.u32 %r3, %r1, %r4;\nmov.u32 %r5, %r0;\n\
         add.u32 %r6, %r0, 1;\nrem.u32 %r6, %r6, 64;\nshl.b32 %r6, %r6, 2;\nadd.u32 %r6, %r1, %r6;\n",
    );
    for phase in 0..3 {
        let offset = 256 * phase;
        text += &format!(
            "st.shared.u32 [%r3+{offset}], %r5;\nmbarrier.arrive.release.cta.shared::cta.b64 %rd5, [%r2];\n"
        );
        text += &wait(&format!("W{phase}"), phase & 1);
        text += &format!("ld.shared.u32 %r7, [%r6+{offset}];\nadd.u32 %r5, %r5, %r7;\n");
    }
    text += "cvt.u64.u32 %rd3, %r4;\nadd.u64 %rd4, %rd1, %rd3;\nst.global.u32 [%rd4], %r5;";
    let mut expected: Vec<u32> = (0..64).collect();
    for _ in 0..3 {
        expected = (0..64).map(|i| expected[i] + expected[(i + 1) % 64]).collect();
    }
    assert_eq!(right(&body(64, &text), [1, 64], &[0; 4], 256).words(), expected);
}

#[test]
fn states_tell_phases_and_pending_arrivals() {
    // One thread, three arrivals: what each state says, and whether its phase has ended.
    let text = body(
        3,
        "mbarrier.arrive.shared.b64 %rd5, [%r2];\n\
         mbarrier.arrive.noComplete.shared.b64 %rd6, [%r2], 1;\n\
         mbarrier.test_wait.shared.b64 %p3, [%r2], %rd5;\nselp.u32 %r10, 1, 0, %p3;\n\
         mbarrier.arrive.shared.b64 %rd7, [%r2], 1;\n\
         mbarrier.test_wait.shared.b64 %p3, [%r2], %rd5;\nselp.u32 %r11, 1, 0, %p3;\n\
         mbarrier.try_wait.shared.b64 %p3, [%r2], %rd7, 1000;\nselp.u32 %r12, 1, 0, %p3;\n\
         mbarrier.pending_count.b64 %r13, %rd5;\nmbarrier.pending_count.b64 %r14, %rd6;\n\
         mbarrier.pending_count.b64 %r15, %rd7;\n\
         st.global.v2.u32 [%rd1], {%r10, %r11};\nst.global.v4.u32 [%rd1+16], {%r12, %r13, %r14, %r15};\n\
         mbarrier.inval.shared.b64 [%r2];\nmbarrier.init.shared.b64 [%r2], 1;\n\
         mbarrier.test_wait.parity.shared.b64 %p3, [%r2], 1;\nselp.u32 %r16, 1, 0, %p3;\n\
         st.global.u32 [%rd1+8], %r16;",
    );
    let words = right(&text, [1, 1], &[0; 4], 32).words();
    assert_eq!(words, [0, 1, 1, 0, 1, 3, 2, 1]);
}

#[test]
fn dropped_threads_are_not_waited_for() {
    let text = body(
        2,
        &format!(
            "@!%p1 mbarrier.arrive_drop.shared.b64 %rd5, [%r2];\n@!%p1 bra END;\n\
             mbarrier.arrive.shared.b64 _, [%r2];\n{}mbarrier.arrive.shared.b64 _, [%r2];\n{}\
             mov.u32 %r9, 7;\nst.global.u32 [%rd1], %r9;\nEND:",
            wait("A", 0),
            wait("B", 1)
        ),
    );
    assert_eq!(right(&text, [1, 2], &[0; 4], 4).words(), [7]);
}

#[test]
fn bytes_are_waited_for() {
    let text = body(
        1,
        &format!(
            "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 96;\n\
             @%p1 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r2], 32;\n\
             setp.eq.u32 %p3, %r0, 33;\n\
             @%p3 mbarrier.complete_tx.shared::cta.b64 [%r2], 128;\n{}\
             @%p1 st.global.u32 [%rd1], %r1;",
            wait("A", 0)
        ),
    );
    // Seeds let the completion come before the expectation, too.
    right(&text, [1, 64], &[0; 4], 4);
}

#[test]
fn other_blocks_arrive_through_mapped_addresses() {
    let text = format!(
        "setp.eq.u32 %p1, %r0, 0;\nmov.u32 %r20, %cluster_ctarank;\n\
         @%p1 mbarrier.init.shared::cta.b64 [%r2], 4;\nfence.mbarrier_init.release.cluster;\n\
         barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n\
         mov.u32 %r21, 0;\nNEXT:\nmapa.shared::cluster.u32 %r22, %r2, %r21;\n\
         @%p1 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r22];\n\
         add.u32 %r21, %r21, 1;\nsetp.lt.u32 %p3, %r21, 4;\n@%p3 bra NEXT;\n{}\
         mul.wide.u32 %rd5, %r20, 4;\nadd.u64 %rd5, %rd1, %rd5;\nadd.u32 %r20, %r20, 5;\n\
         @%p1 st.global.u32 [%rd5], %r20;\n\
         barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;",
        wait("A", 0)
    );
    assert_eq!(right(&text, [4, 32], &[0; 4], 16).words(), [5, 6, 7, 8]);
}

#[test]
fn a_wait_for_the_wrong_parity_is_a_deadlock_that_tells_the_barriers_state() {
    let arrive = "mbarrier.arrive.shared.b64 _, [%r2];\n";
    let finding =
        fault(&body(64, &(arrive.to_owned() + &wait("A", 0) + &wait("B", 1))), [1, 64], &[0; 4]);
    assert_eq!(finding.kind, Kind::Deadlock);
    assert!(finding.message.contains("phase 1 of the mbarrier"), "{}", finding.message);
    assert!(finding.message.contains("64 of 64 arrivals and 0 bytes"), "{}", finding.message);
    assert_eq!(finding.message.matches("mbarrier.try_wait").count(), 2, "{}", finding.message);
}

#[test]
fn bytes_that_never_come_are_a_deadlock_that_tells_how_many() {
    let text = body(
        1,
        &format!(
            "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 96;\n\
             @%p1 mbarrier.complete_tx.shared::cta.b64 [%r2], 64;\n{}",
            wait("A", 0)
        ),
    );
    let finding = fault(&text, [1, 32], &[0; 4]);
    assert_eq!(finding.kind, Kind::Deadlock);
    assert!(finding.message.contains("0 of 1 arrivals and 32 bytes"), "{}", finding.message);
}

#[test]
fn misuse_is_an_error() {
    let misused = |text: &str, words: &str| {
        let finding = fault(&body(1, text), [1, 1], &[0; 4]);
        assert_eq!(finding.kind, Kind::Mbarrier, "{finding}");
        assert!(finding.message.contains(words), "{finding}");
    };
    misused("mbarrier.init.shared.b64 [%r2], 1;", "initialized again");
    misused("mbarrier.init.shared.b64 [%r2+8], 0;", "a count of 0");
    misused("mbarrier.init.shared.b64 [%r2+8], 1048576;", "a count of 1048576");
    misused("mbarrier.arrive.shared.b64 _, [%r2+8];", "not initialized");
    misused(
        "mbarrier.inval.shared.b64 [%r2];\nmbarrier.arrive.shared.b64 _, [%r2];",
        "not initialized",
    );
    misused("mbarrier.arrive.shared.b64 _, [%r2], 2;", "2 arrivals");
    misused("mbarrier.arrive.noComplete.shared.b64 %rd5, [%r2], 1;", ".noComplete");
    misused("mbarrier.expect_tx.relaxed.cta.shared.b64 [%r2], 1048576;", "out of range");
    misused("mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 2;", "parity 0 or 1");
    misused(
        "mov.u64 %rd5, 8388608;\nmbarrier.test_wait.shared.b64 %p2, [%r2], %rd5;",
        "the state is of phase 8",
    );
    let odd = fault("mbarrier.init.shared.b64 [%r2+4], 1;", [1, 1], &[0; 4]);
    assert_eq!(odd.kind, Kind::Misaligned);
    let global = fault("mbarrier.init.b64 [%rd0], 1;", [1, 1], &[0; 8]);
    assert_eq!(global.kind, Kind::OutOfBounds);
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let other = "mbarrier.arrive.shared::cluster.b64 %rd5, [%r2];";
    assert!(refusal(other).contains("another block's"));
    let remote = "mbarrier.test_wait.shared::cluster.b64 %p1, [%r2], %rd5;";
    assert!(refusal(remote).contains("a block's own"));
}

//! Stores and reductions into another block that tell its mbarrier: st.async, red.async.

use ptxsim::Kind;

use crate::launch::*;

const TELLS: &str = "shared::cluster.mbarrier::complete_tx::bytes";

/// Two blocks of 32 threads: each lane fills 16 bytes of `tile`, all meet, `send` goes from `%r10` to `%r13` and `%rd10`, `%rd11`
/// (lane and block in each) to the other's tile at `%r23` with its mbarrier at `%r24`, and each reads its own when `bytes` have come.
fn exchange(send: &str, bytes: u32) -> String {
    format!(
        "setp.eq.u32 %p1, %r0, 0;\nmov.u32 %r20, %cluster_ctarank;\n\
         @%p1 mbarrier.init.shared.b64 [%r2], 1;\n\
         shl.b32 %r3, %r0, 4;\nadd.u32 %r3, %r1, %r3;\n\
         mov.u32 %r4, 100;\nst.shared.v4.u32 [%r3], {{%r4, %r4, %r4, %r4}};\n\
         @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], {bytes};\n\
         barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n\
         mad.lo.u32 %r10, %r20, 64, %r0;\nadd.u32 %r11, %r10, 1000;\nadd.u32 %r12, %r10, 2000;\nadd.u32 %r13, %r10, 3000;\n\
         mov.b64 %rd10, {{%r10, %r11}};\nmov.b64 %rd11, {{%r12, %r13}};\nxor.b32 %r22, %r20, 1;\n\
         mapa.shared::cluster.u32 %r23, %r3, %r22;\nmapa.shared::cluster.u32 %r24, %r2, %r22;\n\
         {send}\n\
         WAIT:\nmbarrier.try_wait.parity.acquire.cluster.shared.b64 %p2, [%r2], 0;\n@!%p2 bra WAIT;\n\
         ld.shared.v4.u32 {{%r4, %r5, %r6, %r7}}, [%r3];\nmad.lo.u32 %r8, %r20, 32, %r0;\nmul.wide.u32 %rd5, %r8, 16;\n\
         add.u64 %rd5, %rd1, %rd5;\nst.global.v4.u32 [%rd5], {{%r4, %r5, %r6, %r7}};\n\
         barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;"
    )
}

/// What each lane of both blocks reads where `of` gives what the other sends.
fn words(of: impl Fn(u32) -> [u32; 4]) -> Vec<u32> {
    (0..64).flat_map(|k| of((1 - k / 32) * 64 + k % 32)).collect()
}

#[test]
fn words_and_vectors_reach_the_other_block() {
    type Form = (&'static str, u32, fn(u32) -> [u32; 4]);
    let forms: [Form; 7] = [
        (".b32 [%r23], %r10", 4, |x| [x, 100, 100, 100]),
        (".s32 [%r23+4], -5", 4, |_| [100, -5i32 as u32, 100, 100]),
        (".u64 [%r23+8], %rd10", 8, |x| [100, 100, x, x + 1000]),
        (".v2.u32 [%r23], {%r10, %r13}", 8, |x| [x, x + 3000, 100, 100]),
        (".v4.b32 [%r23], {%r10, %r11, %r12, %r13}", 16, |x| [x, x + 1000, x + 2000, x + 3000]),
        (".v2.b64 [%r23], {%rd11, %rd10}", 16, |x| [x + 2000, x + 3000, x, x + 1000]),
        (".b64 [%r23], %rd11", 8, |x| [x + 2000, x + 3000, 100, 100]),
    ];
    for (form, bytes, want) in forms {
        let body = exchange(&format!("st.async.weak.{TELLS}{form}, [%r24];"), 32 * bytes);
        let ran = right(&body, [2, 32], &[0; 4], 1024);
        assert_eq!(ran.words(), words(want), "{form}");
        assert_eq!(ran.counters.get("st_async_bytes"), u64::from(64 * bytes));
        assert_eq!(ran.counters.get("red_async_bytes"), 0);
    }
}

#[test]
fn generic_addresses_of_another_block_are_taken() {
    let send = "cvta.shared::cluster.u64 %rd7, %rd6;\ncvta.shared::cluster.u64 %rd9, %rd8;\n\
                st.async.mbarrier::complete_tx::bytes.u32 [%rd7], %r10, [%rd9];";
    let send = format!("cvt.u64.u32 %rd6, %r23;\ncvt.u64.u32 %rd8, %r24;\n{send}");
    let ran = right(&exchange(&send, 128), [2, 32], &[0; 4], 1024);
    assert_eq!(ran.words(), words(|x| [x, 100, 100, 100]));
}

#[test]
fn every_reduction_is_made_in_the_other_block() {
    type Form = (&'static str, fn(u32, u32) -> u32);
    let forms: [Form; 10] = [
        ("add.u32", u32::wrapping_add),
        ("add.s32", u32::wrapping_add),
        ("min.u32", |a, b| a.min(b)),
        ("max.u32", |a, b| a.max(b)),
        ("min.s32", |a, b| (a as i32).min(b as i32) as u32),
        ("max.s32", |a, b| (a as i32).max(b as i32) as u32),
        ("and.b32", |a, b| a & b),
        ("or.b32", |a, b| a | b),
        ("xor.b32", |a, b| a ^ b),
        ("inc.u32", |a, b| if a >= b { 0 } else { a + 1 }),
    ];
    for (form, want) in forms {
        let send = format!(
            "sub.u32 %r10, %r10, 20;\nred.async.relaxed.cluster.{TELLS}.{form} [%r23], %r10, [%r24];"
        );
        let ran = right(&exchange(&send, 128), [2, 32], &[0; 4], 1024);
        let all = words(|x| [want(100, x.wrapping_sub(20)), 100, 100, 100]);
        assert_eq!(ran.words(), all, "{form}");
        assert_eq!(ran.counters.get("red_async_bytes"), 256, "{form}");
    }
    let send = format!("red.async.relaxed.cluster.{TELLS}.dec.u32 [%r23], 7, [%r24];");
    let ran = right(&exchange(&send, 128), [2, 32], &[0; 4], 1024);
    assert_eq!(ran.words(), words(|_| [7, 100, 100, 100]));
    let send = format!("red.async.relaxed.cluster.{TELLS}.add.u64 [%r23], %rd10, [%r24];");
    let ran = right(&exchange(&send, 256), [2, 32], &[0; 4], 1024);
    assert_eq!(ran.words(), words(|x| [100 + x, 1100 + x, 100, 100]));
}

#[test]
fn lanes_reduce_one_word_in_whatever_order() {
    let to_one = "mapa.shared::cluster.u32 %r23, %r1, %r22;\n";
    let send = format!("{to_one}red.async.relaxed.cluster.{TELLS}.add.u32 [%r23], %r10, [%r24];");
    let ran = right(&exchange(&send, 128), [2, 32], &[0; 4], 1024);
    let sum = |block: u32| 100 + 32 * 64 * (1 - block) + 31 * 16;
    assert_eq!((ran.words()[0], ran.words()[128]), (sum(0), sum(1)));
}

#[test]
fn bytes_that_do_not_come_are_waited_for_and_said() {
    let send = format!("@%p1 st.async.weak.{TELLS}.u32 [%r23], %r10, [%r24];");
    let finding = fault(&exchange(&send, 8), [2, 32], &[0; 4]);
    assert_eq!(finding.kind, Kind::Deadlock);
    assert!(finding.message.contains("0 of 1 arrivals and 4 bytes"), "{finding}");
}

#[test]
fn only_memory_and_mbarrier_of_one_other_block_are_defined() {
    let own = format!("st.async.weak.{TELLS}.u32 [%r3], %r10, [%r2];");
    let own = format!(
        "mapa.shared::cluster.u32 %r23, %r3, %r20;\nmapa.shared::cluster.u32 %r24, %r2, %r20;\n{}",
        own.replace("%r3]", "%r23]").replace("%r2]", "%r24]")
    );
    let finding = fault(&exchange(&own, 128), [2, 32], &[0; 4]);
    assert_eq!(finding.kind, Kind::Undefined);
    assert!(finding.message.contains("own block"), "{finding}");
    let apart = format!(
        "mapa.shared::cluster.u32 %r24, %r2, %r20;\nst.async.weak.{TELLS}.u32 [%r23], %r10, [%r24];"
    );
    let finding = fault(&exchange(&apart, 128), [2, 32], &[0; 4]);
    assert_eq!(finding.kind, Kind::Undefined);
    assert!(finding.message.contains("the mbarrier is of block"), "{finding}");
    let odd = format!("st.async.weak.{TELLS}.v2.u32 [%r23+4], {{%r10, %r11}}, [%r24];");
    assert_eq!(fault(&exchange(&odd, 256), [2, 32], &[0; 4]).kind, Kind::Misaligned);
}

#[test]
fn forms_that_do_not_exist_or_end_with_the_block_are_refused_by_name() {
    let told = |form: &str, words: &str| {
        let why = refusal(form);
        assert!(why.contains(words), "{form}: {why}");
    };
    told("st.async.release.gpu.global.u32 [%rd1], %r2;", "end of a block");
    told("red.async.release.gpu.global.add.u32 [%rd1], %r2;", "end of a block");
    told(
        &format!("st.async.weak.{TELLS}.v4.b64 [%r1], {{%rd1, %rd1, %rd1, %rd1}}, [%r2];"),
        "4 of",
    );
    told(&format!("st.async.weak.{TELLS}.b16 [%r1], %h1, [%r2];"), "1 of");
    told(&format!("red.async.relaxed.cluster.{TELLS}.min.u64 [%r1], %rd1, [%r2];"), "1 of");
    told(&format!("red.async.relaxed.cluster.{TELLS}.exch.b32 [%r1], %r3, [%r2];"), "1 of");
    told("st.async.weak.shared::cluster.u32 [%r1], %r3, [%r2];", "complete_tx");
    told(
        "st.async.weak.shared::cta.mbarrier::complete_tx::bytes.u32 [%r1], %r3, [%r2];",
        "another",
    );
}

//! Loads, stores, atomics and state spaces.

use crate::{double, fault, lanes, launch, refusal};
use ptxsim::{Kind, Options};

#[test]
fn widths_extend_and_vectors_keep_their_order() {
    let shared = ".shared .align 16 .b8 s[512];";
    let body = "mov.u32 %r1, s; shl.b32 %r2, %r0, 4; add.u32 %r1, %r1, %r2; \
                st.shared.v4.u32 [%r1], {0x80818283, 2, 3, %r0}; \
                ld.shared.s8 %r3, [%r1+3]; ld.shared.u16 %r4, [%r1+2]; ld.shared.v2.b64 {%d3, %d4}, [%r1]; \
                shr.u64 %d4, %d4, 32; cvt.s64.s32 %d5, %r3; add.u64 %d4, %d4, %d5; cvt.u64.u32 %d6, %r4; \
                add.u64 %d4, %d4, %d6; st.u64 [%d1], %d4;";
    for (lane, value) in lanes(shared, body).iter().enumerate() {
        assert_eq!(*value, (lane as u64).wrapping_add(0xFFFF_FFFF_FFFF_FF80).wrapping_add(0x8081));
    }
}

#[test]
fn a_narrow_load_fills_a_wide_register() {
    let shared = ".shared .align 8 .b8 s[8];";
    let body = "setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [s], 0xFF80; bar.sync 0; \
                ld.shared.s8 %d2, [s]; ld.shared.u8 %d3, [s+1]; add.u64 %d2, %d2, %d3; st.u64 [%d1], %d2;";
    assert_eq!(lanes(shared, body)[3], 255 - 128);
}

#[test]
fn variables_begin_with_their_initializers() {
    let module = ".const .align 4 .b32 c[3] = {5, 6, 7}; .global .align 8 .u64 p = c; .global .align 4 .f32 f = 1.5;";
    assert_eq!(double_with(module, "ld.const.u32 %r1, [c+8]; cvt.u64.u32 %d2, %r1;"), 7);
    assert_eq!(
        double_with(module, "ld.global.u64 %d3, [p]; ld.u32 %r1, [%d3+4]; cvt.u64.u32 %d2, %r1;"),
        6
    );
    assert_eq!(
        double_with(module, "ld.global.u32 %r1, [f]; cvt.u64.u32 %d2, %r1;"),
        1.5f32.to_bits() as u64
    );
}

fn double_with(declarations: &str, body: &str) -> u64 {
    lanes(declarations, &format!("{body} st.u64 [%d1], %d2;"))[0]
}

#[test]
fn constants_cannot_be_written() {
    let finding = fault(".const .b32 c = 5;", "mov.u64 %d2, c; st.u32 [%d2], 1;");
    assert_eq!(finding.kind, Kind::ReadOnly);
}

#[test]
fn local_memory_belongs_to_each_thread() {
    let body = ".local .align 8 .b8 l[16]; mov.u64 %d2, l; cvta.local.u64 %d2, %d2; st.u32 [%d2+4], %r0; \
                ld.local.u32 %r1, [l+4]; isspacep.local %p1, %d2; isspacep.shared %p2, %d2; \
                selp.u32 %r2, 100, 0, %p1; selp.u32 %r3, 1000, 0, %p2; add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3; \
                cvt.u64.u32 %d3, %r1; st.u64 [%d1], %d3;";
    for (lane, value) in lanes("", body).iter().enumerate() {
        assert_eq!(*value, lane as u64 + 100);
    }
}

#[test]
fn generic_addresses_find_their_space_lane_by_lane() {
    let body = "mov.u64 %d2, s; cvta.shared.u64 %d2, %d2; mul.wide.u32 %d3, %r0, 8; add.u64 %d2, %d2, %d3; \
                and.b32 %r1, %r0, 1; setp.eq.u32 %p1, %r1, 0; selp.b64 %d4, %d2, %d1, %p1; cvt.u64.u32 %d5, %r0; \
                st.u64 [%d4], %d5; ld.u64 %d6, [%d4]; bar.warp.sync 0xFFFFFFFF; add.u64 %d6, %d6, 1; st.u64 [%d1], %d6;";
    for (lane, value) in lanes(".shared .align 8 .b8 s[256];", body).iter().enumerate() {
        assert_eq!(*value, lane as u64 + 1);
    }
}

#[test]
fn atomics_take_turns_and_return_what_was_there() {
    let sum =
        "atom.global.add.u64 %d3, [%d0], 1; setp.eq.u32 %p1, %r0, 0; @!%p1 st.u64 [%d1], %d3;";
    let out = lanes("", sum);
    assert_eq!(out[0], 32);
    let mut seen: Vec<u64> = out[1..].to_vec();
    seen.sort_unstable();
    assert!(seen.windows(2).all(|w| w[0] < w[1]));
    let cases: &[(&str, u64)] = &[
        ("atom.cas.b32 %r1, [%d1], 0, 9;", 9),
        ("atom.cas.b32 %r1, [%d1], 1, 9;", 0),
        ("atom.exch.b64 %d3, [%d1], 77;", 77),
        ("atom.max.s32 %r1, [%d1], -5;", 0),
        ("atom.min.s32 %r1, [%d1], -5;", 0xFFFF_FFFB),
        ("red.or.b32 [%d1], 6;", 6),
        ("red.inc.u32 [%d1], 3; red.inc.u32 [%d1], 3;", 2),
        ("red.dec.u32 [%d1], 3;", 3),
        ("red.add.f32 [%d1], 0f3F800000; red.add.f32 [%d1], 0f3F800000;", 0x4000_0000),
        ("red.add.noftz.f16x2 [%d1], 0x3C003C00;", 0x3C00_3C00),
        ("red.global.add.v2.f32 [%d1], {%f1, %f1};", 0x3F80_0000_3F80_0000),
        ("mov.b16 %h1, 5; mov.b16 %h2, 0; atom.cas.b16 %h3, [%d1+2], %h2, %h1;", 5 << 16),
    ];
    for (operation, expected) in cases {
        let out = lanes("", &format!("mov.f32 %f1, 0f3F800000; {operation}"));
        assert_eq!(out[5], *expected, "{operation}");
    }
}

#[test]
fn accesses_outside_or_across_are_findings() {
    let cases: &[(&str, Kind, u32)] = &[
        ("ld.u64 %d2, [%d1+8];", Kind::OutOfBounds, 1 << 31),
        ("ld.u64 %d2, [%d0+-8];", Kind::OutOfBounds, !0),
        ("ld.u32 %r1, [%d1+2];", Kind::Misaligned, !0),
        ("ld.shared.u32 %r1, [0];", Kind::OutOfBounds, !0),
        ("mov.u64 %d2, 0; ld.u32 %r1, [%d2];", Kind::OutOfBounds, !0),
        ("ld.local.u32 %r1, [0];", Kind::OutOfBounds, !0),
    ];
    for (body, kind, lanes) in cases {
        let finding = fault("", body);
        assert_eq!((finding.kind, finding.lanes), (*kind, *lanes), "{body}: {finding}");
    }
}

#[test]
fn reads_of_bytes_never_written_are_reported_and_go_on() {
    let body = "ld.shared.u32 %r1, [s]; st.u32 [%d1], 3;";
    let (out, report) = launch(".shared .b32 s;", body, 32, &Options::default()).unwrap();
    assert_eq!(out[0], 3);
    assert_eq!(report.findings[0].kind, Kind::UninitializedMemory);
}

#[test]
fn hints_to_caches_change_nothing() {
    let body = "createpolicy.fractional.L2::evict_last.b64 %d3, 0f3F800000; prefetch.global.L2 [%d1]; \
                st.global.L1::no_allocate.L2::cache_hint.u64 [%d1], 5, %d3; \
                ld.global.ca.L2::128B.u64 %d2, [%d1];";
    assert_eq!(double(body), 5);
    assert!(refusal("", "ld.global.bogus.u32 %r1, [%d1];").contains("bogus"));
}

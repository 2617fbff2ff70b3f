//! Arithmetic on each lane by itself. Expected values are worked out by hand from the PTX ISA's definitions.

use crate::{double, lanes, refusal, word};

#[test]
fn integers_wrap_saturate_and_multiply_as_their_modifiers_say() {
    let cases: &[(&str, u32)] = &[
        ("add.s32 %r1, 2147483647, 1;", 0x8000_0000),
        ("add.sat.s32 %r1, 2147483647, 1;", 0x7FFF_FFFF),
        ("sub.sat.s32 %r1, -2147483648, 1;", 0x8000_0000),
        ("add.u16 %h1, 65535, 2; cvt.u32.u16 %r1, %h1;", 1),
        ("add.s16x2 %r1, 0x7FFFFFFF, 0x00010001;", 0x8000_0000),
        ("mul.hi.s32 %r1, -2, 3;", 0xFFFF_FFFF),
        ("mul.hi.u32 %r1, -2, 3;", 2),
        ("mul.wide.s16 %r1, -2, 3;", 0xFFFF_FFFA),
        ("mul.wide.u16 %r1, 65534, 3;", 196_602),
        ("mul24.lo.s32 %r1, 0xFFFFFF, 5;", 0xFFFF_FFFB),
        ("mul24.hi.u32 %r1, 0xFFFFFF, 0xFFFFFF;", 0xFFFF_FE00),
        ("mad.hi.s32 %r1, 0x40000000, 8, 5;", 7),
        ("mad.hi.sat.s32 %r1, 0x40000000, 8, 0x7FFFFFFF;", 0x7FFF_FFFF),
        ("sad.s32 %r1, -3, 4, 10;", 17),
        ("div.s32 %r1, -7, 2;", -3i32 as u32),
        ("rem.s32 %r1, -7, 2;", -1i32 as u32),
        ("div.s16 %h1, -7, 2; cvt.s32.s16 %r1, %h1;", -3i32 as u32),
        ("min.s32 %r1, -7, 2;", -7i32 as u32),
        ("max.u32 %r1, -7, 2;", -7i32 as u32),
        ("max.s32.relu %r1, -7, -2;", 0),
        ("min.s16x2 %r1, 0xFFFF0003, 0x00010002;", 0xFFFF_0002),
        ("abs.s32 %r1, -7;", 7),
        ("neg.s32 %r1, 7;", -7i32 as u32),
        ("dp4a.s32.s32 %r1, 0xFF010203, 0x01FF0405, 100;", 100 - 1 - 1 + 8 + 15),
        ("dp4a.u32.u32 %r1, 0xFF010203, 0x01FF0405, 0;", 255 + 255 + 8 + 15),
        ("dp2a.lo.s32.s32 %r1, 0xFFFF0002, 0x0000FF03, 1;", 1 + 6 + 1),
        ("dp2a.hi.u32.u32 %r1, 0x00030002, 0x05040000, 0;", 8 + 15),
    ];
    for (operation, expected) in cases {
        assert_eq!(word(operation), *expected, "{operation}");
    }
    assert_eq!(double("mul.wide.s32 %d2, -2, 3;"), -6i64 as u64);
    assert_eq!(double("mad.wide.u32 %d2, 0xFFFFFFFF, 2, 5;"), 0x2_0000_0003);
    assert_eq!(double("mul.hi.u64 %d2, -1, 2;"), 1);
    assert_eq!(double("mov.b64 %d3, -9; div.s64 %d2, %d3, 2;"), -4i64 as u64);
}

#[test]
fn carries_run_through_a_chain() {
    let chain = "add.cc.u32 %r1, 0xFFFFFFFF, 1; addc.cc.u32 %r2, 0xFFFFFFFF, 0; addc.u32 %r3, 0, 0; \
                 shl.b32 %r3, %r3, 8; or.b32 %r1, %r1, %r2; or.b32 %r1, %r1, %r3;";
    assert_eq!(word(chain), 0x100);
    let borrow = "sub.cc.u32 %r1, 0, 1; subc.u32 %r2, 5, 1; add.u32 %r1, %r1, %r2;";
    assert_eq!(word(borrow), 2);
    let product = "mad.lo.cc.u32 %r2, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF; madc.hi.u32 %r1, 0xFFFFFFFF, 0xFFFFFFFF, 0;";
    assert_eq!(word(product), 0xFFFF_FFFF);
}

#[test]
fn bits_move_as_the_isa_says() {
    let cases: &[(&str, u32)] = &[
        ("shl.b32 %r1, 1, 32;", 0),
        ("shr.s32 %r1, -8, 40;", 0xFFFF_FFFF),
        ("shr.u32 %r1, -8, 1;", 0x7FFF_FFFC),
        ("shf.l.wrap.b32 %r1, 0x80000000, 1, 33;", 3),
        ("shf.r.clamp.b32 %r1, 1, 0xABCD, 40;", 0xABCD),
        (
            "lop3.b32 %r1, 0xFF00FF00, 0xF0F0F0F0, 0xCCCCCCCC, 0x96;",
            0xFF00_FF00 ^ 0xF0F0_F0F0 ^ 0xCCCC_CCCC,
        ),
        ("prmt.b32 %r1, 0x33221100, 0x77665544, 0x7610;", 0x7766_1100),
        ("prmt.b32 %r1, 0x33228100, 0, 0x9910;", 0xFFFF_8100),
        ("prmt.b32.f4e %r1, 0x33221100, 0x77665544, 1;", 0x4433_2211),
        ("prmt.b32.b4e %r1, 0x33221100, 0x77665544, 1;", 0x6677_0011),
        ("prmt.b32.rc8 %r1, 0x33221100, 0, 2;", 0x2222_2222),
        ("prmt.b32.ecl %r1, 0x33221100, 0, 2;", 0x3322_2222),
        ("prmt.b32.ecr %r1, 0x33221100, 0, 1;", 0x1111_1100),
        ("prmt.b32.rc16 %r1, 0x33221100, 0, 1;", 0x3322_3322),
        ("popc.b32 %r1, 0xF0F;", 8),
        ("clz.b32 %r1, 0;", 32),
        ("brev.b32 %r1, 1;", 0x8000_0000),
        ("bfind.u32 %r1, 0x100;", 8),
        ("bfind.s32 %r1, -1;", 0xFFFF_FFFF),
        ("bfind.shiftamt.u32 %r1, 0x100;", 23),
        ("bfe.u32 %r1, 0xABCD, 4, 8;", 0xBC),
        ("bfe.s32 %r1, 0xABCD, 4, 8;", 0xFFFF_FFBC),
        ("bfe.s32 %r1, 0x80000000, 28, 16;", 0xFFFF_FFF8),
        ("bfi.b32 %r1, 0xFF, 0, 8, 4;", 0xF00),
        ("fns.b32 %r1, 0xF0, 0, 2;", 5),
        ("fns.b32 %r1, 0xF0, 7, -2;", 6),
        ("fns.b32 %r1, 0xF0, 0, 9;", 0xFFFF_FFFF),
        ("bmsk.clamp.b32 %r1, 4, 40;", 0xFFFF_FFF0),
        ("bmsk.wrap.b32 %r1, 4, 36;", 0xF0),
        ("szext.clamp.s32 %r1, 0x80, 8;", 0xFFFF_FF80),
        ("szext.wrap.u32 %r1, 0xFFFF, 40;", 0xFF),
        ("cnot.b32 %r1, 0;", 1),
    ];
    for (operation, expected) in cases {
        assert_eq!(word(operation), *expected, "{operation}");
    }
    assert_eq!(double("mov.b64 %d3, 0x123456789ABCDEF0; bfe.u64 %d2, %d3, 8, 16;"), 0xBCDE);
    assert_eq!(double("mov.b64 %d3, -1; shr.u64 %d2, %d3, 60;"), 15);
}

#[test]
fn floats_round_flush_and_saturate() {
    let f = |x: f32| x.to_bits();
    let cases: &[(&str, u32)] = &[
        ("add.f32 %r1, 0f3F800000, 0f33800000;", f(1.0)),
        ("add.rp.f32 %r1, 0f3F800000, 0f33800000;", f(1.0) + 1),
        ("add.rz.f32 %r1, 0fBF800000, 0fB3800000;", f(-1.0)),
        ("add.sat.f32 %r1, 0f3F800000, 0f3F800000;", f(1.0)),
        ("mul.ftz.f32 %r1, 0f00000001, 0f3F800000;", 0),
        ("mul.f32 %r1, 0f00000001, 0f3F800000;", 1),
        ("fma.rn.f32 %r1, 0f40000000, 0f40400000, 0f3F800000;", f(7.0)),
        ("div.rn.f32 %r1, 0f3F800000, 0f40400000;", f(1.0 / 3.0)),
        ("sqrt.rn.f32 %r1, 0f40000000;", f(2f32.sqrt())),
        ("min.f32 %r1, 0f7FC00000, 0f3F800000;", f(1.0)),
        ("min.NaN.f32 %r1, 0f7FC00000, 0f3F800000;", 0x7FFF_FFFF),
        ("max.f32 %r1, 0f80000000, 0f00000000;", 0),
        ("min.xorsign.abs.f32 %r1, 0fC0000000, 0f3F800000;", f(-1.0)),
        ("max.f32 %r1, 0f3F800000, 0f40400000, 0f40000000;", f(3.0)),
        ("sub.f32 %r1, 0f7F800000, 0f7F800000;", 0x7FFF_FFFF),
        ("neg.f32 %r1, 0f3F800000;", f(-1.0)),
        ("abs.ftz.f32 %r1, 0f80000001;", 0),
        ("copysign.f32 %r1, 0fBF800000, 0f40000000;", f(-2.0)),
        ("ex2.approx.f32 %r1, 0f40400000;", f(8.0)),
        ("lg2.approx.f32 %r1, 0f41000000;", f(3.0)),
        ("rcp.approx.ftz.f32 %r1, 0f40800000;", f(0.25)),
        ("rsqrt.approx.f32 %r1, 0f40800000;", f(0.5)),
    ];
    for (operation, expected) in cases {
        assert_eq!(
            word(&operation.replace("%r1", "%f1").replacen(';', "; mov.b32 %r1, %f1;", 1)),
            *expected,
            "{operation}"
        );
    }
    let pair = "mov.b64 %d3, {0x3F800000, 0x40000000}; fma.rn.f32x2 %d2, %d3, %d3, %d3;";
    assert_eq!(double(pair), (f(6.0) as u64) << 32 | f(2.0) as u64);
    let e = "mov.f64 %e1, 0d3FF0000000000000; div.rn.f64 %e2, %e1, 0d4008000000000000; mov.b64 %d2, %e2;";
    assert_eq!(double(e), (1.0f64 / 3.0).to_bits());
}

#[test]
fn halves_add_packed_and_alone() {
    assert_eq!(word("fma.rn.f16x2 %r1, 0x3C004000, 0x40004000, 0x3C003C00;"), 0x4200_4500);
    assert_eq!(word("add.f16 %h1, 0x3C00, 0x4000; cvt.u32.u16 %r1, %h1;"), 0x4200);
    assert_eq!(word("fma.rn.relu.bf16x2 %r1, 0xBF803F80, 0x3F803F80, 0x00000000;"), 0x0000_3F80);
    assert_eq!(word("max.bf16x2 %r1, 0xBF803F80, 0x3F804000;"), 0x3F80_4000);
}

#[test]
fn comparisons_combine_and_give_two_predicates() {
    let pick = "selp.u32 %r2, 1, 0, %p1; selp.u32 %r3, 2, 0, %p2; or.b32 %r1, %r2, %r3;";
    let cases: &[(&str, u32)] = &[
        ("setp.lt.s32 %p1|%p2, -1, 0;", 1),
        ("setp.lt.u32 %p1|%p2, -1, 0;", 2),
        ("setp.eq.f32 %p1|%p2, 0f7FC00000, 0f7FC00000;", 2),
        ("setp.equ.f32 %p1|%p2, 0f7FC00000, 0f3F800000;", 1),
        ("setp.num.f32 %p1|%p2, 0f7FC00000, 0f3F800000;", 2),
        ("setp.ne.u32 %p3, 1, 1; setp.eq.or.u32 %p1|%p2, 3, 4, !%p3;", 3),
        ("setp.eq.u32 %p3, 1, 1; setp.eq.xor.u32 %p1|%p2, 3, 3, %p3;", 2),
        ("setp.gt.f16x2 %p1|%p2, 0x3C004000, 0x3C003C00;", 1),
        ("setp.eq.u32 %p3, 1, 1; and.pred %p1, %p3, %p3; not.pred %p2, %p3;", 1),
        ("testp.subnormal.f32 %p1, 0f00000001; testp.normal.f32 %p2, 0f00000000;", 3),
    ];
    for (operation, expected) in cases {
        assert_eq!(word(&format!("{operation} {pick}")), *expected, "{operation}");
    }
    assert_eq!(word("set.gt.u32.s32 %r1, 3, 2;"), !0);
    assert_eq!(word("set.gt.f32.s32 %f1, 3, 2; mov.b32 %r1, %f1;"), 1f32.to_bits());
    assert_eq!(word("slct.u32.s32 %r1, 7, 8, -1;"), 8);
}

#[test]
fn conversions_extend_round_and_limit() {
    let cases: &[(&str, u32)] = &[
        ("mov.b32 %r2, 0x1FF; cvt.s8.s32 %h1, %r2; cvt.s32.s16 %r1, %h1;", 0xFFFF_FFFF),
        ("mov.b32 %r2, 0x180; cvt.s32.s8 %r1, %r2;", 0xFFFF_FF80),
        ("mov.b32 %r2, 0x180; cvt.u32.u8 %r1, %r2;", 0x80),
        ("mov.b32 %r2, 300; cvt.sat.u8.u32 %r1, %r2;", 255),
        ("mov.b32 %r2, -300; cvt.sat.s8.s32 %r1, %r2;", 0xFFFF_FF80),
        ("cvt.rni.s32.f32 %r1, 0f40200000;", 2),
        ("cvt.rpi.s32.f32 %r1, 0f40200000;", 3),
        ("cvt.rzi.u32.f32 %r1, 0fBF800000;", 0),
        ("cvt.rzi.s32.f32 %r1, 0f7FC00000;", 0),
        ("cvt.rzi.s32.f32 %r1, 0f7F800000;", 0x7FFF_FFFF),
        ("cvt.rn.f32.u32 %f1, -1; mov.b32 %r1, %f1;", 4294967296f32.to_bits()),
        ("cvt.rn.f16.f32 %h1, 0f3F800000; cvt.u32.u16 %r1, %h1;", 0x3C00),
        ("cvt.rn.bf16x2.f32 %r1, 0f3F800000, 0f40000000;", 0x3F80_4000),
        ("cvt.rn.satfinite.e4m3x2.f32 %h1, 0f3F800000, 0f7F000000; cvt.u32.u16 %r1, %h1;", 0x387E),
        ("mov.b16 %h1, 0x3838; cvt.rn.f16x2.e4m3x2 %r1, %h1;", 0x3C00_3C00),
        ("cvt.rna.tf32.f32 %r1, 0f3F801000;", 0x3F80_2000),
        ("cvt.rmi.f32.f32 %f1, 0fBFC00000; mov.b32 %r1, %f1;", (-2f32).to_bits()),
        ("cvt.rn.f32.f64 %f1, 0d3FF8000000000000; mov.b32 %r1, %f1;", 1.5f32.to_bits()),
    ];
    for (operation, expected) in cases {
        assert_eq!(word(operation), *expected, "{operation}");
    }
    assert_eq!(double("mov.b32 %r2, -1; cvt.s64.s32 %d2, %r2;"), !0);
    assert_eq!(double("mov.b32 %r2, -1; cvt.u64.u32 %d2, %r2;"), 0xFFFF_FFFF);
    assert_eq!(double("cvt.rzi.s64.f64 %d2, 0dC008000000000000;"), -3i64 as u64);
}

#[test]
fn vectors_pack_and_unpack() {
    assert_eq!(word("mov.b32 %r1, {1, 2};"), 0x2_0001);
    assert_eq!(
        word("mov.b32 %r2, 0x12345678; mov.b32 {%h1, %h2}, %r2; mov.b32 %r1, {%h2, %h1};"),
        0x5678_1234
    );
    assert_eq!(double("mov.b64 %d2, {1, 2, 3, 4};"), 0x4_0003_0002_0001);
    assert_eq!(word("mov.b64 %d3, 0x500000007; mov.b64 {_, %r1}, %d3;"), 5);
    let wide =
        ".reg .b128 %q; mov.b128 %q, {%d0, %d1}; mov.b128 {%d3, %d4}, %q; sub.u64 %d2, %d4, %d3;";
    assert_eq!(double(wide), 56);
}

#[test]
fn guards_switch_lanes_off() {
    let out = lanes(
        "",
        "setp.lt.u32 %p1, %r0, 5; mov.u64 %d2, 1; @%p1 mov.u64 %d2, 2; @!%p1 add.u64 %d2, %d2, 6; st.u64 [%d1], %d2;",
    );
    for (lane, value) in out.iter().enumerate() {
        assert_eq!(*value, if lane < 5 { 2 } else { 7 });
    }
}

#[test]
fn a_form_that_is_not_executed_is_refused_by_name() {
    for body in [
        "add.f32.bogus %f1, %f1, %f1;",
        "sin.f32 %f1, %f1;",
        "mul.s32 %r1, %r1, %r1;",
        "vadd4.u32.u32.u32 %r1, %r1, %r1, %r1;",
    ] {
        let why = refusal("", body);
        let mnemonic = body.split(' ').next().unwrap();
        assert!(why.contains(mnemonic) && why.contains("PTX line 8"), "{why}");
    }
}

#[test]
fn conversions_are_those_that_ptxas_takes() {
    let types = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f16", "bf16", "f32", "f64"];
    let register = |ty: &str| match ty {
        "u32" | "s32" => "%r1",
        "f32" => "%f1",
        "u64" | "s64" => "%d2",
        "f64" => "%e1",
        _ => "%h1",
    };
    let module = |form: &str| {
        let parts: Vec<&str> = form.rsplit('.').collect();
        let [to, from] = [register(parts[1]), register(parts[0])];
        let text = format!(
            ".version 8.6\n.target sm_90a\n.address_size 64\n.visible .entry k() {{ .reg .b16 %h<2>; .reg .b32 %r<2>; \
             .reg .f32 %f<2>; .reg .b64 %d<3>; .reg .f64 %e<2>; {form} {to}, {from}; ret; }}"
        );
        ptxsim::Module::parse(&text).unwrap()
    };
    let takes = |form: &str| module(form).resolve("k").is_ok();
    let mut count = 0;
    for to in types {
        for from in types {
            for round in ["", ".rn", ".rz", ".rm", ".rp", ".rna", ".rni", ".rzi", ".rmi", ".rpi"] {
                for ftz in ["", ".ftz"] {
                    for limit in ["", ".sat", ".relu", ".satfinite"] {
                        count += takes(&format!("cvt{round}{ftz}{limit}.{to}.{from}")) as u32;
                    }
                }
            }
        }
    }
    // As ptxas 13.0.88 says for sm_90a of all 11520.
    assert_eq!(count, 802);
    for refused in [
        "cvt.rn.bf16.u8",
        "cvt.rn.bf16.s8",
        "cvt.rni.u8.bf16",
        "cvt.rzi.s8.bf16",
        "cvt.rni.sat.u16.bf16",
        "cvt.rn.f32.f16",
        "cvt.f16.f32",
        "cvt.sat.u32.u16",
        "cvt.rn.ftz.f64.s32",
        "cvt.rna.f32.s32",
    ] {
        assert!(!takes(refused), "{refused}");
    }
    for taken in [
        "cvt.rn.bf16.u16",
        "cvt.rzi.s16.bf16",
        "cvt.rn.f32.bf16",
        "cvt.sat.u16.s8",
        "cvt.rmi.ftz.sat.f32.f32",
    ] {
        assert!(takes(taken), "{taken}");
    }
}

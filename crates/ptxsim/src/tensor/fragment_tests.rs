//! The formulas of the PTX ISA, one shape after the other as they are printed there, against the one pattern of the module.

use super::*;
use Element::*;

type Formula = fn(usize, usize, usize) -> (usize, usize);

/// What a fragment is, its layout, elements a lane, and row and column of element i by `groupID` g and `threadID_in_group` t.
type Row = (&'static str, Layout, usize, Formula);

/// Multiplicands A.
const A: [Row; 17] = [
    ("m8n8k4 f64, 9.7.14.5.2", Layout::a(F64, 8, 4), 1, |g, t, _| (g, t)),
    ("m8n8k16 s8, 9.7.14.5.3", Layout::a(S8, 8, 16), 4, |g, t, i| (g, t * 4 + i)),
    ("m8n8k32 s4, 9.7.14.5.4", Layout::a(S4, 8, 32), 8, |g, t, i| (g, t * 8 + i)),
    ("m8n8k128 b1, 9.7.14.5.5", Layout::a(B1, 8, 128), 32, |g, t, i| (g, t * 32 + i)),
    ("m16n8k4 tf32, 9.7.14.5.6", Layout::a(Tf32, 16, 4), 2, |g, t, i| {
        (if i == 0 { g } else { g + 8 }, t)
    }),
    ("m16n8k4 f64, 9.7.14.5.6", Layout::a(F64, 16, 4), 2, |g, t, i| {
        (if i == 0 { g } else { g + 8 }, t)
    }),
    ("m16n8k8 f16, 9.7.14.5.7", Layout::a(F16, 16, 8), 4, |g, t, i| {
        (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1))
    }),
    ("m16n8k8 tf32, 9.7.14.5.7", Layout::a(Tf32, 16, 8), 4, |g, t, i| {
        (if i == 0 || i == 2 { g } else { g + 8 }, if i < 2 { t } else { t + 4 })
    }),
    ("m16n8k8 f64, 9.7.14.5.7", Layout::a(F64, 16, 8), 4, |g, t, i| {
        (if i == 0 || i == 2 { g } else { g + 8 }, if i < 2 { t } else { t + 4 })
    }),
    ("m16n8k16 bf16, 9.7.14.5.8", Layout::a(Bf16, 16, 16), 8, |g, t, i| {
        let row = if i < 2 || (4..6).contains(&i) { g } else { g + 8 };
        (row, if i < 4 { t * 2 + (i & 1) } else { t * 2 + (i & 1) + 8 })
    }),
    ("m16n8k16 f64, 9.7.14.5.8", Layout::a(F64, 16, 16), 8, |g, t, i| {
        if i % 2 == 0 { (g, i * 2 + t) } else { (g + 8, i * 2 - 2 + t) }
    }),
    ("m16n8k16 u8, 9.7.14.5.9", Layout::a(U8, 16, 16), 8, |g, t, i| {
        (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3))
    }),
    ("m16n8k32 u4, 9.7.14.5.10", Layout::a(U4, 16, 32), 16, |g, t, i| {
        (if i < 8 { g } else { g + 8 }, t * 8 + (i & 7))
    }),
    ("m16n8k32 s8, e4m3, 9.7.14.5.10", Layout::a(E4m3, 16, 32), 16, |g, t, i| {
        let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
        (row, if i < 8 { t * 4 + (i & 3) } else { t * 4 + (i & 3) + 16 })
    }),
    ("m16n8k64 s4, 9.7.14.5.11", Layout::a(S4, 16, 64), 32, |g, t, i| {
        let row = if i < 8 || (16..24).contains(&i) { g } else { g + 8 };
        (row, if i < 16 { t * 8 + (i & 7) } else { t * 8 + (i & 7) + 32 })
    }),
    ("m16n8k128 b1, 9.7.14.5.12", Layout::a(B1, 16, 128), 64, |g, t, i| {
        (if i < 32 { g } else { g + 8 }, t * 32 + (i & 31))
    }),
    ("m16n8k256 b1, 9.7.14.5.13", Layout::a(B1, 16, 256), 128, |g, t, i| {
        let row = if i < 32 || (64..96).contains(&i) { g } else { g + 8 };
        (row, if i < 64 { t * 32 + (i & 31) } else { t * 32 + (i & 31) + 128 })
    }),
];

/// Multiplicands B: row is k and column is n, as the ISA has it.
const B: [Row; 15] = [
    ("m8n8k4 f64", Layout::b(F64, 8, 4), 1, |g, t, _| (t, g)),
    ("m8n8k16 s8", Layout::b(S8, 8, 16), 4, |g, t, i| (t * 4 + i, g)),
    ("m8n8k32 s4", Layout::b(S4, 8, 32), 8, |g, t, i| (t * 8 + i, g)),
    ("m16n8k4 tf32", Layout::b(Tf32, 8, 4), 1, |g, t, _| (t, g)),
    ("m16n8k8 f16", Layout::b(F16, 8, 8), 2, |g, t, i| (t * 2 + i, g)),
    ("m16n8k8 tf32", Layout::b(Tf32, 8, 8), 2, |g, t, i| (if i == 0 { t } else { t + 4 }, g)),
    ("m16n8k8 f64", Layout::b(F64, 8, 8), 2, |g, t, i| (if i == 0 { t } else { t + 4 }, g)),
    ("m16n8k16 f16", Layout::b(F16, 8, 16), 4, |g, t, i| {
        (if i < 2 { t * 2 + (i & 1) } else { t * 2 + (i & 1) + 8 }, g)
    }),
    ("m16n8k16 f64", Layout::b(F64, 8, 16), 4, |g, t, i| (t + i * 4, g)),
    ("m16n8k16 s8", Layout::b(S8, 8, 16), 4, |g, t, i| (t * 4 + i, g)),
    ("m16n8k32 s8", Layout::b(E5m2, 8, 32), 8, |g, t, i| {
        (if i < 4 { t * 4 + (i & 3) } else { t * 4 + (i & 3) + 16 }, g)
    }),
    ("m16n8k32 u4", Layout::b(U4, 8, 32), 8, |g, t, i| (t * 8 + (i & 7), g)),
    ("m16n8k64 s4", Layout::b(S4, 8, 64), 16, |g, t, i| {
        (if i < 8 { t * 8 + (i & 7) } else { t * 8 + (i & 7) + 32 }, g)
    }),
    ("m16n8k128 b1", Layout::b(B1, 8, 128), 32, |g, t, i| (t * 32 + i, g)),
    ("m16n8k256 b1", Layout::b(B1, 8, 256), 64, |g, t, i| {
        (if i < 32 { t * 32 + (i & 31) } else { t * 32 + (i & 31) + 128 }, g)
    }),
];

/// Accumulators; those of `wgmma` by the figures of 9.7.15.5.1.1, within a warp's 16 rows.
const C: [Row; 6] = [
    ("m8n8k4 f64", Layout::c(F64, 8, 8), 2, |g, t, i| (g, t * 2 + (i & 1))),
    ("m8n8k16 s32", Layout::c(S32, 8, 8), 2, |g, t, i| (g, t * 2 + i)),
    ("m16n8 f32", Layout::c(F32, 16, 8), 4, |g, t, i| {
        (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1))
    }),
    ("m16n8 f16", Layout::c(F16, 16, 8), 4, |g, t, i| {
        (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1))
    }),
    ("wgmma m64n24 f32", Layout::c(F32, 16, 24), 12, |g, t, i| {
        (g + if i % 4 < 2 { 0 } else { 8 }, t * 2 + (i & 1) + i / 4 * 8)
    }),
    ("wgmma m64n24 f16", Layout::c(F16, 16, 24), 12, |g, t, i| {
        (g + if i % 4 < 2 { 0 } else { 8 }, t * 2 + (i & 1) + i / 4 * 8)
    }),
];

fn check(rows: &[Row], transposed: bool) {
    for (name, layout, elements, formula) in rows {
        assert_eq!(layout.registers() * layout.per_register, *elements, "{name}");
        let mut seen = vec![0; layout.rows() * layout.columns()];
        for lane in 0..32 {
            for i in 0..*elements {
                let (row, column) = layout.place(lane, i);
                let want = formula(lane / 4, lane % 4, i);
                let got = if transposed { (column, row) } else { (row, column) };
                assert_eq!(got, want, "{name}, lane {lane}, element {i}");
                seen[row * layout.columns() + column] += 1;
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{name} covers the matrix once");
    }
}

#[test]
fn multiplicands_a_lie_as_the_isa_prints() {
    check(&A, false);
}

#[test]
fn multiplicands_b_lie_as_the_isa_prints() {
    check(&B, true);
}

#[test]
fn accumulators_lie_as_the_isa_prints() {
    check(&C, false);
}

#[test]
fn a_wgmma_holds_a_in_four_registers_and_d_in_half_or_a_quarter_of_n() {
    for (element, k) in [(F16, 16), (Bf16, 16), (Tf32, 8), (E4m3, 32), (S8, 32), (B1, 256)] {
        assert_eq!(Layout::a(element, 16, k).registers(), 4);
    }
    for n in (8..=256).step_by(8) {
        assert_eq!(Layout::c(F32, 16, n).registers(), n / 2);
        assert_eq!(Layout::c(F16, 16, n).registers(), n / 4);
    }
}

#[test]
fn the_four_products_of_m8n8k4_are_each_covered_once() {
    // Figures of 9.7.14.5.1: lane 17 has row 5 of A by rows and column 1 by columns, lane 3 of the accumulator starts at
    // row 1, column 2.
    assert_eq!(quad::a(17, 2, false), (5, 2));
    assert_eq!(quad::a(17, 2, true), (6, 1));
    assert_eq!(quad::b(18, 1, false), (2, 5));
    assert_eq!(quad::b(18, 1, true), (1, 6));
    assert_eq!(quad::c_f32(3, 0), (1, 2));
    assert_eq!(quad::c_f32(16, 7), (6, 5));
    assert_eq!([0, 4, 9, 15, 16, 31].map(quad::product), [0, 1, 2, 3, 0, 3]);
    type Place = fn(usize, usize) -> (usize, usize);
    let places: [(Place, usize); 6] = [
        (|l, i| quad::a(l, i, false), 4),
        (|l, i| quad::a(l, i, true), 4),
        (|l, i| quad::b(l, i, false), 4),
        (|l, i| quad::b(l, i, true), 4),
        (quad::c_f16, 8),
        (quad::c_f32, 8),
    ];
    for (place, elements) in places {
        for q in 0..4 {
            let mut seen = std::collections::HashSet::new();
            for lane in (0..32).filter(|&lane| quad::product(lane) == q) {
                seen.extend((0..elements).map(|i| place(lane, i)));
            }
            assert_eq!(seen.len(), 8 * elements);
        }
    }
}

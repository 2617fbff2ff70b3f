//! `mma.sync` in all its forms.

use ptxsim::num::{Rounding, double};
use ptxsim::tensor::element::Element;
use ptxsim::tensor::form::{self, Form};
use ptxsim::tensor::fragment::{Layout, quad};
use ptxsim::tensor::warp::{layouts, multiply_registers};

use crate::warp::*;

/// D of the pure product, which has tests of its own against exact sums.
fn expected(form: &Form, a: &[u32], b: &[u32], c: &[u32]) -> Vec<u32> {
    let (a, b, c) = (registers(a), registers(b), registers(c));
    let mut d = vec![[0; 32]; layouts(form)[3].registers()];
    multiply_registers(
        form,
        &a.iter().collect::<Vec<_>>(),
        &b.iter().collect::<Vec<_>>(),
        &c.iter().collect::<Vec<_>>(),
        &mut d,
    );
    d.concat()
}

fn check(text: &str) {
    let form = form::mma(&text.split('.').collect::<Vec<_>>()).expect(text);
    let [na, nb, nc, nd] = layouts(&form).map(Layout::registers);
    let (shape, types) = text.split_once('.').unwrap();
    let body = load(0, 10, na)
        + &load(1, 20, nb)
        + &load(2, 30, nc)
        + &format!(
            "mma.sync.aligned.{shape}.row.col.{types} {}, {}, {}, {};\n",
            list("r", 40, nd),
            list("r", 10, na),
            list("r", 20, nb),
            list("r", 30, nc)
        )
        + &store(3, 40, nd);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let inputs = [words(&mut random, na), words(&mut random, nb), words(&mut random, nc)];
    let got = execute(&entry(4, "sm_90a", &body), &inputs, 32 * nd).expect(text);
    assert_eq!(got, expected(&form, &inputs[0], &inputs[1], &inputs[2]), "{text}");
}

#[test]
fn every_form_of_mma_takes_its_operands_in_order() {
    for text in [
        "m16n8k8.f16.f16.f16.f16",
        "m16n8k16.f32.f16.f16.f32",
        "m16n8k8.f32.bf16.bf16.f32",
        "m16n8k16.f32.bf16.bf16.f32",
        "m16n8k4.f32.tf32.tf32.f32",
        "m16n8k8.f32.tf32.tf32.f32",
        "m16n8k16.f16.e4m3.e5m2.f16",
        "m16n8k32.f32.e5m2.e4m3.f32",
        "m8n8k16.s32.s8.u8.s32",
        "m16n8k16.satfinite.s32.u8.s8.s32",
        "m16n8k32.s32.u8.u8.s32",
        "m8n8k32.s32.s4.s4.s32",
        "m16n8k32.s32.u4.s4.s32",
        "m16n8k64.satfinite.s32.s4.u4.s32",
        "m8n8k128.s32.b1.b1.s32.xor.popc",
        "m16n8k128.s32.b1.b1.s32.and.popc",
        "m16n8k256.s32.b1.b1.s32.xor.popc",
    ] {
        check(text);
    }
}

#[test]
fn products_of_doubles_are_those_of_a_chain_of_fused_multiply_adds() {
    for (m, k, rounding) in [
        (8, 4, ""),
        (16, 4, ".rn"),
        (16, 8, ""),
        (16, 16, ""),
        (8, 4, ".rz"),
        (16, 8, ".rm"),
        (16, 16, ".rp"),
    ] {
        let (la, lb) = (Layout::a(Element::F64, m, k), Layout::b(Element::F64, 8, k));
        let lc = Layout::c(Element::F64, m, 8);
        let counts = [la.registers(), lb.registers(), lc.registers()];
        let mut body = String::from("add.s64 %rd0, %rd0, %rd39;\nadd.s64 %rd1, %rd1, %rd39;\n");
        body += "add.s64 %rd2, %rd2, %rd39;\nadd.s64 %rd3, %rd3, %rd39;\n";
        for (p, count) in counts.into_iter().enumerate() {
            for i in 0..count {
                body += &format!("ld.global.f64 %fd{}, [%rd{p}+{}];\n", 10 * p + i, 256 * i);
            }
        }
        body += &format!(
            "mma.sync.aligned.m{m}n8k{k}.row.col{rounding}.f64.f64.f64.f64 {}, {}, {}, {};\n",
            list("fd", 30, counts[2]),
            list("fd", 0, counts[0]),
            list("fd", 10, counts[1]),
            list("fd", 20, counts[2])
        );
        for i in 0..counts[2] {
            body += &format!("st.global.f64 [%rd3+{}], %fd{};\n", 256 * i, 30 + i);
        }
        let mut random = Random(77);
        let mut numbers = |count: usize| -> Vec<f64> {
            (0..32 * count).map(|_| random.next() as f64 / 3e9 - 0.5).collect()
        };
        let inputs = counts.map(&mut numbers);
        let bits = |v: &Vec<f64>| -> Vec<u32> {
            v.iter().flat_map(|x| [x.to_bits() as u32, (x.to_bits() >> 32) as u32]).collect()
        };
        let got = execute(&entry(4, "sm_90a", &body), &inputs.each_ref().map(bits), 64 * counts[2])
            .unwrap();
        let find = |layout: Layout, row: usize, column: usize| -> usize {
            let mut places =
                (0..layout.registers()).flat_map(|i| (0..32).map(move |lane| (lane, i)));
            let found = |&(lane, i): &(usize, usize)| layout.place(lane, i) == (row, column);
            let (lane, i) = places.find(found).unwrap();
            32 * i + lane
        };
        for row in 0..m {
            for column in 0..8 {
                let at = find(lc, row, column);
                let terms = |p| (inputs[0][find(la, row, p)], inputs[1][find(lb, column, p)]);
                let mode = Rounding::parse(rounding.trim_start_matches('.')).unwrap_or_default();
                let want = (0..k).fold(inputs[2][at].to_bits(), |sum, p| {
                    double::fma(terms(p).0.to_bits(), terms(p).1.to_bits(), sum, mode)
                });
                let got = got[2 * at] as u64 | (got[2 * at + 1] as u64) << 32;
                assert_eq!(got, want, "m{m}k{k}{rounding} {row} {column}");
            }
        }
    }
}

#[test]
fn the_four_products_of_m8n8k4_are_computed_in_every_layout() {
    for (layouts, by_columns) in [
        ("row.col", [false, true]),
        ("row.row", [false, false]),
        ("col.col", [true, true]),
        ("col.row", [true, false]),
    ] {
        let body = load(0, 10, 2)
            + &load(1, 20, 2)
            + &load(2, 30, 8)
            + &format!(
                "mma.sync.aligned.m8n8k4.{layouts}.f32.f16.f16.f32 {}, {}, {}, {};\n",
                list("r", 40, 8),
                list("r", 10, 2),
                list("r", 20, 2),
                list("r", 30, 8)
            )
            + &store(3, 40, 8);
        // Small integers as halves: sums are exact.
        let mut random = Random(5);
        let mut halves = |count: usize| -> Vec<u32> {
            let small = [0x0000u32, 0x3c00, 0x4000, 0x4200, 0xbc00, 0xc000, 0x4400, 0xc200];
            (0..32 * count)
                .map(|_| {
                    let x = random.next();
                    small[x as usize & 7] | small[x as usize >> 3 & 7] << 16
                })
                .collect()
        };
        let (a, b) = (halves(2), halves(2));
        let c: Vec<u32> = (0..256).map(|i| (i as f32).to_bits()).collect();
        let got =
            execute(&entry(4, "sm_80", &body), &[a.clone(), b.clone(), c.clone()], 256).unwrap();
        let half = |words: &[u32], lane: usize, i: usize| {
            Element::F16.widen(words[i / 2 * 32 + lane] >> (16 * (i % 2)))
        };
        for lane in 0..32 {
            for i in 0..8 {
                let (row, column) = quad::c_f32(lane, i);
                let mut want = f32::from_bits(c[32 * i + lane]);
                for la in (0..32).filter(|&l| quad::product(l) == quad::product(lane)) {
                    for ia in 0..4 {
                        let (r, k) = quad::a(la, ia, by_columns[0]);
                        for lb in (0..32).filter(|&l| quad::product(l) == quad::product(lane)) {
                            for ib in 0..4 {
                                if (r, quad::b(lb, ib, by_columns[1])) == (row, (k, column)) {
                                    want += half(&a, la, ia) * half(&b, lb, ib);
                                }
                            }
                        }
                    }
                }
                assert_eq!(f32::from_bits(got[32 * i + lane]), want, "{layouts} {lane} {i}");
            }
        }
    }
}

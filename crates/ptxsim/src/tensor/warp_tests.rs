//! Every form of `mma.sync` with 32-bit registers against sums in `f64` or integers, element by element through the layouts
//! that `fragment` holds against the ISA.

use super::*;
use crate::tensor::form;
use Element::*;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }

    /// A register with finite numbers of moderate size.
    fn word(&mut self, element: Element) -> u32 {
        let x = self.next();
        match element {
            // Exponents within a few of the bias, sign and mantissa free.
            F16 => x & 0x83ff_83ff | 0x3800_3800 | (x >> 3 & 0x0400_0400),
            Bf16 => x & 0x80ff_80ff | 0x3f00_3f00,
            Tf32 | F32 => x & 0x80ff_ffff | 0x3f00_0000,
            E4m3 => x & 0x9f9f_9f9f | 0x2020_2020,
            E5m2 => x & 0x8f8f_8f8f | 0x3030_3030,
            _ => x,
        }
    }

    fn registers(&mut self, element: Element, count: usize) -> Vec<Lanes> {
        (0..count).map(|_| std::array::from_fn(|_| self.word(element))).collect()
    }
}

/// The matrix that registers hold, as numbers; entries by the layout, bits by the element.
fn matrix(element: Element, layout: Layout, words: &[Lanes]) -> Vec<f64> {
    let mut out = vec![f64::NAN; layout.rows() * layout.columns()];
    for lane in 0..32 {
        for i in 0..words.len() * layout.per_register {
            let (row, column) = layout.place(lane, i);
            let bits = element.bits();
            let word = words[i / layout.per_register][lane] >> (bits * (i % layout.per_register));
            out[row * layout.columns() + column] = match element {
                S32 => word as i32 as f64,
                B1 => (word & 1) as f64,
                _ => element.widen(word) as f64,
            };
        }
    }
    out
}

fn refer(words: &[Lanes]) -> Vec<&Lanes> {
    words.iter().collect()
}

fn run(form: &Form, a: &[Lanes], b: &[Lanes], c: &[Lanes]) -> Vec<Lanes> {
    let mut d = vec![[0; 32]; layouts(form)[3].registers()];
    multiply_registers(form, &refer(a), &refer(b), &refer(c), &mut d);
    d
}

fn check(text: &str) {
    let parts: Vec<&str> = text.split('.').collect();
    let form = form::mma(&parts).or_else(|| form::wmma(&parts)).expect(text);
    let [la, lb, lc, ld] = layouts(&form);
    let mut random = Random(0x1234_5678_9abc_def1);
    let a = random.registers(form.a, la.registers());
    let b = random.registers(form.b, lb.registers());
    let c = random.registers(form.c, lc.registers());
    let d = run(&form, &a, &b, &c);
    let (wa, wb) = (matrix(form.a, la, &a), matrix(form.b, lb, &b));
    let (wc, wd) = (matrix(form.c, lc, &c), matrix(form.d, ld, &d));
    for i in 0..form.m {
        for j in 0..form.n {
            let (mut sum, mut scale) = (0.0, wc[i * form.n + j].abs());
            for k in 0..form.k {
                let (x, y) = (wa[i * form.k + k], wb[j * form.k + k]);
                let product = match form.bit_op {
                    Some(BitOp::Xor) => (x != y) as u32 as f64,
                    _ => x * y,
                };
                sum += product;
                scale += product.abs();
            }
            let (c, got) = (wc[i * form.n + j], wd[i * form.n + j]);
            if form.d == S32 {
                let exact = c as i64 + sum as i64;
                let clamped = exact.clamp(i32::MIN as i64, i32::MAX as i64) as i32;
                let want = if form.saturate { clamped } else { exact as i32 };
                assert_eq!(got as i32, want, "{text} {i} {j}");
            } else {
                let ku = form.k as f64 * 2f64.powi(-24);
                let last = if form.d == F16 { 2f64.powi(-11) * (c + sum).abs() } else { 0.0 };
                let bound = ku / (1.0 - ku) * scale * 1.01 + last;
                assert!((got - (c + sum)).abs() <= bound, "{text} {i} {j}: {got} {}", c + sum);
            }
        }
    }
}

#[test]
fn every_form_of_mma_computes_its_product() {
    for shape in ["m16n8k8", "m16n8k16"] {
        check(&format!("{shape}.f16.f16.f16.f16"));
        check(&format!("{shape}.f32.f16.f16.f32"));
        check(&format!("{shape}.f32.bf16.bf16.f32"));
    }
    for shape in ["m16n8k4", "m16n8k8"] {
        check(&format!("{shape}.f32.tf32.tf32.f32"));
    }
    for shape in ["m16n8k16", "m16n8k32"] {
        for types in ["e4m3.e4m3", "e4m3.e5m2", "e5m2.e4m3", "e5m2.e5m2"] {
            check(&format!("{shape}.f32.{types}.f32"));
            check(&format!("{shape}.f16.{types}.f16"));
        }
    }
    for (bits, shapes) in
        [(8, ["m8n8k16", "m16n8k16", "m16n8k32"]), (4, ["m8n8k32", "m16n8k32", "m16n8k64"])]
    {
        for shape in shapes {
            for (x, y) in [('s', 's'), ('s', 'u'), ('u', 's'), ('u', 'u')] {
                check(&format!("{shape}.s32.{x}{bits}.{y}{bits}.s32"));
                check(&format!("{shape}.satfinite.s32.{x}{bits}.{y}{bits}.s32"));
            }
        }
    }
    for shape in ["m8n8k128", "m16n8k128", "m16n8k256"] {
        check(&format!("{shape}.s32.b1.b1.s32.xor.popc"));
        check(&format!("{shape}.s32.b1.b1.s32.and.popc"));
    }
}

#[test]
fn every_form_of_wmma_computes_its_product() {
    for shape in ["m16n16k16", "m32n8k16", "m8n32k16"] {
        for types in ["f16.f16", "f16.f32", "f32.f16", "f32.f32"] {
            check(&format!("{shape}.{types}"));
        }
        check(&format!("{shape}.f32.bf16.bf16.f32"));
        check(&format!("{shape}.s32.u8.u8.s32"));
    }
    check("m16n16k8.f32.tf32.tf32.f32");
    check("m8n8k32.s32.s4.s4.s32");
    check("m8n8k128.s32.b1.b1.s32.xor.popc");
}

#[test]
fn largest_integers_stay_exact() {
    for (text, word) in [
        ("m16n8k32.s32.u8.u8.s32", 0xffff_ffff),
        ("m16n8k32.s32.s8.s8.s32", 0x8080_8080),
        ("m16n8k64.s32.u4.u4.s32", 0xffff_ffffu32),
    ] {
        let form = form::mma(&text.split('.').collect::<Vec<_>>()).unwrap();
        let [la, lb, lc, _] = layouts(&form);
        let (a, b) = (vec![[word; 32]; la.registers()], vec![[word; 32]; lb.registers()]);
        let c = vec![[7; 32]; lc.registers()];
        let element = form.a.widen(word) as i64;
        let want = element * element * form.k as i64 + 7;
        assert_eq!(run(&form, &a, &b, &c), vec![[want as u32; 32]; 4]);
    }
}

#[test]
fn infinities_and_nans_spread_over_their_row_and_nan_has_one_pattern() {
    let form = form::mma(&["m16n8k16", "f32", "bf16", "bf16", "f32"]).unwrap();
    let mut a = vec![[0x3f80_3f80u32; 32]; 4];
    let b = vec![[0x3f80_3f80u32; 32]; 2];
    let c = vec![[0u32; 32]; 4];
    // Row 2 of A begins with lane 8: infinity; row 3 with lane 12: a NaN with a payload; row 4: infinities of both signs.
    a[0][8] = 0x3f80_7f80;
    a[0][12] = 0x3f80_7fc1;
    a[0][16] = 0xff80_7f80;
    let d = run(&form, &a, &b, &c);
    for (lane, &got) in d[0].iter().enumerate() {
        let want = match lane / 4 {
            2 => f32::INFINITY.to_bits(),
            3 | 4 => 0x7fff_ffff,
            _ => 16f32.to_bits(),
        };
        assert_eq!(got, want, "lane {lane}");
    }
    assert_eq!(d[2], [16f32.to_bits(); 32]);
}

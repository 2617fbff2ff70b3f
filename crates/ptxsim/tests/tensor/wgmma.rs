//! `wgmma` in all its forms: every shape and type, A from both places, both majors, all swizzles.

use ptxsim::Options;
use ptxsim::tensor::element::Element;
use ptxsim::tensor::form::{self, Form};
use ptxsim::tensor::fragment::Layout;
use ptxsim::tensor::product::BitOp;

use crate::image::*;
use crate::warp::Random;

impl Random {
    /// Bits of an element of moderate size.
    fn element(&mut self, element: Element) -> u32 {
        let x = self.next();
        match element {
            Element::F16 => x & 0x83ff | 0x3800 | (x >> 6 & 0x0400),
            Element::Bf16 => x & 0x80ff | 0x3f00,
            Element::Tf32 => x & 0x80ff_ffff | 0x3f00_0000,
            Element::E4m3 => x & 0x9f | 0x20,
            Element::E5m2 => x & 0x8f | 0x30,
            Element::B1 => x & 1,
            _ => x & 0xff,
        }
    }
}

fn value(element: Element, bits: u32) -> f64 {
    if element == Element::B1 { (bits & 1) as f64 } else { element.widen(bits) as f64 }
}

/// One product: what is chosen for it.
pub struct Case<'t> {
    text: &'t str,
    registers: bool,
    transposed: [usize; 2],
    modes: [usize; 2],
    scale: bool,
    negate: [bool; 2],
}

impl Case<'_> {
    pub fn new(text: &str) -> Case<'_> {
        Case {
            text,
            registers: false,
            transposed: [0; 2],
            modes: [3; 2],
            scale: true,
            negate: [false; 2],
        }
    }

    fn form(&self) -> Form {
        form::wgmma(&self.text.split('.').collect::<Vec<_>>()).expect(self.text)
    }

    pub fn instruction(&self) -> String {
        let form = self.form();
        let d = list(D, Layout::c(form.d, 16, form.n).registers());
        let a = if self.registers { list(A, 4) } else { "%rd10".into() };
        let mut text = format!("wgmma.mma_async.sync.aligned.{} {d}, {a}, %rd11, %p0", self.text);
        if form.d != Element::S32 {
            let sign = |negative: bool| if negative { -1 } else { 1 };
            text += &format!(", {}, {}", sign(self.negate[0]), sign(self.negate[1]));
            if form.a.bits() == 16 {
                if !self.registers {
                    text += &format!(", {}", self.transposed[0]);
                }
                text += &format!(", {}", self.transposed[1]);
            }
        }
        text + ";\n"
    }

    fn check(&self, options: &Options) {
        let form = self.form();
        let (m, n, k) = (64, form.n, form.k);
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut matrix = |element: Element, count: usize| -> Vec<u32> {
            (0..count).map(|_| random.element(element)).collect()
        };
        let (a, b) = (matrix(form.a, m * k), matrix(form.b, n * k));
        let layout = Layout::c(form.d, 16, n);
        let d = matrix(
            if form.d == Element::F16 { Element::F16 } else { Element::Tf32 },
            128 * layout.registers(),
        );
        let d: Vec<u32> = match form.d {
            // Two numbers a register.
            Element::F16 => d.iter().map(|x| x | x << 16).collect(),
            _ => d,
        };
        let images = [
            Image::new(self.transposed[0], self.modes[0], 64),
            Image::new(self.transposed[1], self.modes[1], n as u32),
        ];
        let b_at = images[0].bytes;
        let mut image = vec![0u8; (b_at + images[1].bytes) as usize];
        images[0].fill(form.a, &a, k, &mut image);
        images[1].fill(form.b, &b, k, &mut image[b_at as usize..]);
        let la = Layout::a(form.a, 16, k);
        let mut fragments = vec![0u32; 512];
        for thread in 0..128 {
            for i in 0..4 * la.per_register {
                let (row, p) = la.place(thread % 32, i);
                let bits = a[(thread / 32 * 16 + row) * k + p];
                fragments[i / la.per_register * 128 + thread] |=
                    bits << (form.a.bits() * (i % la.per_register));
            }
        }
        let scale = if self.scale { 1 } else { 0 };
        let body = format!(
            "setp.ne.u32 %p0, {scale}, 0;\nwgmma.fence.sync.aligned;\n{}wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n",
            self.instruction()
        );
        let text = kernel(
            image.len() as u32,
            layout.registers(),
            images[0].descriptor(),
            images[1].descriptor(),
            b_at,
            &body,
        );
        let inputs = Inputs { image, d: d.clone(), a: fragments };
        let (report, got) =
            launch(&text, &inputs, options).unwrap_or_else(|e| panic!("{}: {e}", self.text));
        assert_eq!(report.findings, [], "{}", self.text);
        for thread in 0..128 {
            for i in 0..layout.registers() * layout.per_register {
                let (row, column) = layout.place(thread % 32, i);
                let row = thread / 32 * 16 + row;
                let at = i / layout.per_register * 128 + thread;
                let shift = 16 * (i % layout.per_register);
                let read = |words: &[u32]| match form.d {
                    Element::S32 => words[at] as i32 as f64,
                    Element::F16 => Element::F16.widen(words[at] >> shift) as f64,
                    _ => f32::from_bits(words[at]) as f64,
                };
                let c = if self.scale { read(&d) } else { 0.0 };
                let (mut sum, mut size) = (0.0, c.abs());
                for p in 0..k {
                    let (x, y) = (value(form.a, a[row * k + p]), value(form.b, b[column * k + p]));
                    assert!(form.bit_op.is_none_or(|op| op == BitOp::And));
                    sum += x * y;
                    size += (x * y).abs();
                }
                let sum = if self.negate[0] != self.negate[1] { -sum } else { sum };
                let (got, want) = (read(&got), c + sum);
                if form.d == Element::S32 {
                    let exact = want as i64;
                    let clamped = exact.clamp(i32::MIN as i64, i32::MAX as i64);
                    let want = if form.saturate { clamped as i32 } else { exact as i32 };
                    assert_eq!(got as i32, want, "{} {row} {column}", self.text);
                } else {
                    let ku = k as f64 * 2f64.powi(-24);
                    let last =
                        if form.d == Element::F16 { 2f64.powi(-11) * want.abs() } else { 0.0 };
                    let bound = 1.01 * ku * size + last;
                    assert!(
                        (got - want).abs() <= bound,
                        "{} {row} {column}: {got} {want}",
                        self.text
                    );
                }
            }
        }
    }
}

#[test]
fn every_type_is_multiplied_from_shared_memory_and_from_registers() {
    for n in [8, 32, 64, 240, 256] {
        for (types, k) in [
            ("f32.f16.f16", 16),
            ("f16.f16.f16", 16),
            ("f32.bf16.bf16", 16),
            ("f32.tf32.tf32", 8),
            ("f32.e4m3.e4m3", 32),
            ("f32.e4m3.e5m2", 32),
            ("f16.e5m2.e4m3", 32),
            ("f16.e5m2.e5m2", 32),
            ("s32.s8.s8", 32),
            ("s32.s8.u8", 32),
            ("satfinite.s32.u8.s8", 32),
            ("s32.u8.u8", 32),
            ("s32.b1.b1.and.popc", 256),
        ] {
            let text = format!("m64n{n}k{k}.{types}");
            for registers in [false, true] {
                Case { registers, ..Case::new(&text) }.check(&Options::default());
            }
        }
    }
}

#[test]
fn every_n_is_multiplied() {
    for n in (8..=256).step_by(8) {
        let text = format!("m64n{n}k16.f32.bf16.bf16");
        Case { modes: [n / 8 % 4; 2], ..Case::new(&text) }.check(&Options::default());
    }
}

#[test]
fn both_majors_are_read_in_every_swizzle() {
    for mode in 0..16 {
        for transposed in 0..4 {
            for registers in [false, true] {
                let case = Case {
                    registers,
                    transposed: [transposed & 1, transposed >> 1],
                    modes: [mode % 4, mode / 4],
                    ..Case::new("m64n96k16.f32.bf16.bf16")
                };
                case.check(&Options::default());
            }
        }
        // Other widths are K-major alone.
        for text in ["m64n64k8.f32.tf32.tf32", "m64n64k32.s32.s8.s8"] {
            Case { modes: [mode % 4, mode / 4], ..Case::new(text) }.check(&Options::default());
        }
    }
}

#[test]
fn d_is_overwritten_without_scale_and_operands_are_negated_on_request() {
    for text in ["m64n16k16.f32.f16.f16", "m64n16k8.f32.tf32.tf32", "m64n16k32.f16.e4m3.e4m3"] {
        for code in 0..8 {
            let case = Case {
                scale: code & 1 == 1,
                negate: [code & 2 != 0, code & 4 != 0],
                registers: code % 3 == 0,
                ..Case::new(text)
            };
            case.check(&Options::default());
        }
    }
}

#[test]
fn products_that_end_early_give_the_same() {
    for seed in 0..8 {
        let options = Options { seed, late: false, ..Options::default() };
        Case::new("m64n64k16.f32.bf16.bf16").check(&options);
        Case { registers: true, ..Case::new("m64n32k32.s32.s8.s8") }.check(&options);
    }
}

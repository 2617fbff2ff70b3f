//! Blocks of `mma.sync`, one a form: operands by chance, sums in `f64`.
//!
//! Integer sums are exact. Of floating-point ones PTX says little: products are exact, and sums are made in an order and with a
//! precision that hardware chooses. What has been found out by measuring (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior
//! of NVIDIA tensor cores", 2021) is that terms are truncated at, or a few bits below, the last place of the greatest; for 8-bit
//! floats Hopper keeps about 14 bits (DeepSeek-V3 technical report, 3.3.2). So each of k + 1 terms and the result may miss one unit
//! of that place of Σ|a||b| + |c|; a unit is `2^-22`, `2^-12`, `2^-10` for results in `f16`, and `2^-52` for `f64`.

use super::{Block, Expected, Number, Tolerance, Value};
use crate::tensor::element::Element;
use crate::tensor::form::{self, Form};
use crate::tensor::fragment::{Layout, quad};
use crate::tensor::warp::layouts;

/// Blocks for the lines `SM VERSION FORM`.
///
/// # Panics
/// Where the table, which is part of this crate, is damaged.
pub(super) fn blocks(table: &str) -> impl Iterator<Item = Block> {
    table.lines().map(|line| block(line).expect("a line has a target, a version and a form"))
}

fn block(line: &str) -> Option<Block> {
    let mut words = line.split(' ');
    let sm = words.next()?.parse().ok()?;
    let (major, minor) = words.next()?.split_once('.')?;
    let text = words.next()?;
    let form = form::mma(&text.split('.').collect::<Vec<_>>())?;
    let fragments = Fragment::all(&form);
    let (shape, types) = text.split_once('.')?;
    let name = format!("mma.sync.aligned.{shape}.row.col.{types}");
    // Operands A, B, C, then D, each register after the other, 32 lanes each.
    let width = if form.d == Element::F64 { 8 } else { 4 };
    let first = |p: usize| 32 * width * fragments[..p].iter().map(|f| f.registers).sum::<usize>();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ line.len() as u64);
    let mut memory = Vec::new();
    for fragment in &fragments[..3] {
        for _ in 0..32 * fragment.registers {
            memory.extend(&fragment.random(&mut random, form.saturate).to_le_bytes()[..width]);
        }
    }
    let results = expected(&form, &fragments, &memory, first(3), width);
    memory.resize(first(4), 0);
    let mut body = format!(
        ".reg .b64 at, t; .reg .b32 i;\nld.param.u64 at, [rows];\nmov.u32 i, %tid.x;\n\
         mul.wide.u32 t, i, {width};\nadd.s64 at, at, t;\n"
    );
    let name_all =
        |(x, f): (char, &Fragment)| (0..f.registers).map(|i| format!("{x}{i}")).collect();
    let operands: Vec<Vec<String>> = "abcd".chars().zip(&fragments).map(name_all).collect();
    for (registers, fragment) in operands.iter().zip(&fragments) {
        body += &format!(".reg .{} {};\n", fragment.ty(), registers.join(", "));
    }
    for (p, registers) in operands.iter().enumerate().take(3) {
        for (i, register) in registers.iter().enumerate() {
            let offset = first(p) + 32 * width * i;
            body += &format!("ld.global.{} {register}, [at+{offset}];\n", fragments[p].ty());
        }
    }
    let [a, b, c, d] = [0, 1, 2, 3].map(|p| operands[p].join(", "));
    body += &format!("{name} {{{d}}}, {{{a}}}, {{{b}}}, {{{c}}};");
    for (i, register) in operands[3].iter().enumerate() {
        let offset = first(3) + 32 * width * i;
        body += &format!("\nst.global.{} [at+{offset}], {register};", fragments[3].ty());
    }
    let version = (major.parse().ok()?, minor.parse().ok()?);
    Some(Block {
        name,
        group: "product",
        grid: 1,
        cluster: 1,
        threads: 32,
        memory,
        maps: Vec::new(),
        results,
        body,
        sm,
        version,
    })
}

/// One operand.
struct Fragment {
    element: Element,
    registers: usize,
    /// Elements of a register.
    packed: usize,
    /// Product, row and column (of B its transpose) of an element of a lane.
    place: Box<dyn Fn(usize, usize) -> (usize, usize, usize)>,
}

impl Fragment {
    fn all(form: &Form) -> [Fragment; 4] {
        let elements = [form.a, form.b, form.c, form.d];
        if (form.m, form.a) == (8, Element::F16) {
            return std::array::from_fn(|p| Fragment::quad(elements[p], p));
        }
        let layouts = layouts(form);
        std::array::from_fn(|p| {
            let layout: Layout = layouts[p];
            let place = move |lane: usize, i: usize| {
                let (row, column) = layout.place(lane, i);
                (0, row, column)
            };
            let (registers, packed) = (layout.registers(), layout.per_register);
            Fragment { element: elements[p], registers, packed, place: Box::new(place) }
        })
    }

    /// Operands of `m8n8k4` on `f16`, row by column.
    fn quad(element: Element, p: usize) -> Fragment {
        let place = move |lane: usize, i: usize| {
            let (row, column) = match (p, element) {
                (0, _) => quad::a(lane, i, false),
                (1, _) => {
                    let (k, n) = quad::b(lane, i, true);
                    (n, k)
                }
                (_, Element::F32) => quad::c_f32(lane, i),
                _ => quad::c_f16(lane, i),
            };
            (quad::product(lane), row, column)
        };
        let packed = if element == Element::F32 { 1 } else { 2 };
        let registers = if p < 2 { 2 } else { 8 / packed };
        Fragment { element, registers, packed, place: Box::new(place) }
    }

    fn ty(&self) -> &'static str {
        match self.element {
            Element::F64 => "f64",
            Element::F32 => "f32",
            _ => "b32",
        }
    }

    /// A register by chance; addends are near the end of their range where sums saturate.
    fn random(&self, random: &mut Random, saturate: bool) -> u64 {
        match self.element {
            Element::S32 if saturate => 0x7fff_f000 + (random.next() & 0x1fff),
            Element::S32 => random.next() & 0xffff,
            element => moderate(element, random.next()),
        }
    }

    /// Every element with its place.
    fn each(&self, memory: &[u8], width: usize, mut take: impl FnMut((usize, usize, usize), f64)) {
        let bits = self.element.bits();
        for i in 0..self.registers * self.packed {
            for lane in 0..32 {
                let at = width * (32 * (i / self.packed) + lane);
                let word =
                    memory[at..at + width].iter().rev().fold(0, |all, b| all << 8 | *b as u64);
                let x = match self.element {
                    Element::F64 => f64::from_bits(word),
                    Element::S32 => word as i32 as f64,
                    Element::B1 => (word >> (i % self.packed) & 1) as f64,
                    element => element.widen((word >> (bits * (i % self.packed))) as u32) as f64,
                };
                take((self.place)(lane, i), x);
            }
        }
    }
}

/// A register, or its lowest element, with finite numbers: exponents within a few of the bias, sign and mantissa free.
pub(super) fn moderate(element: Element, x: u64) -> u64 {
    match element {
        Element::F16 => x & 0x83ff_83ff | 0x3800_3800 | x >> 3 & 0x0400_0400,
        Element::Bf16 => x & 0x80ff_80ff | 0x3f00_3f00,
        Element::Tf32 => x & 0x80ff_e000 | 0x3f00_0000,
        Element::F32 => x & 0x80ff_ffff | 0x3f00_0000,
        Element::E4m3 => x & 0x9f9f_9f9f | 0x2020_2020,
        Element::E5m2 => x & 0x8f8f_8f8f | 0x3030_3030,
        Element::F64 => x & 0x801f_ffff_ffff_ffff | 0x3fe0_0000_0000_0000,
        _ => x,
    }
}

fn expected(
    form: &Form,
    fragments: &[Fragment; 4],
    memory: &[u8],
    first: usize,
    width: usize,
) -> Vec<Expected> {
    let [m, n, k] = [form.m, form.n, form.k];
    let mut matrices = [vec![0.0; 4 * m * k], vec![0.0; 4 * n * k], vec![0.0; 4 * m * n]];
    let mut start = 0;
    for (p, fragment) in fragments[..3].iter().enumerate() {
        let (rows, columns) = [(m, k), (n, k), (m, n)][p];
        let len = 32 * width * fragment.registers;
        fragment.each(&memory[start..start + len], width, |(product, row, column), x| {
            matrices[p][(product * rows + row) * columns + column] = x;
        });
        start += len;
    }
    let [a, b, c] = &matrices;
    let entry = |product: usize, row: usize, column: usize| {
        let c = c[(product * m + row) * n + column];
        let (mut sum, mut scale) = (c, c.abs());
        for at in 0..k {
            let x = a[(product * m + row) * k + at];
            let y = b[(product * n + column) * k + at];
            let term = match form.bit_op {
                Some(op) => op.count(x as u32, y as u32) as f64,
                None => x * y,
            };
            sum += term;
            scale += term.abs();
        }
        (sum, scale)
    };
    let d = &fragments[3];
    let mut results = Vec::new();
    for i in 0..d.registers * d.packed {
        for lane in 0..32 {
            let (product, row, column) = (d.place)(lane, i);
            let (sum, scale) = entry(product, row, column);
            let offset = first + width * (32 * (i / d.packed) + lane) + 2 * (i % d.packed);
            let (number, value, tolerance) = within(form, sum, scale);
            results.push(Expected { offset, number, value, tolerance });
        }
    }
    results
}

/// What a sum must be, whose terms have magnitudes that add up to `scale`.
pub(super) fn within(form: &Form, sum: f64, scale: f64) -> (Number, Value, Tolerance) {
    let unit = match (form.a, form.d) {
        (_, Element::F16) => 10,
        (Element::E4m3 | Element::E5m2, _) => 12,
        (Element::F64, _) => 52,
        _ => 22,
    };
    let bound = (form.k + 2) as f64 * libm::exp2(-f64::from(unit)) * scale;
    let number = match form.d {
        Element::S32 => {
            let clamped = sum.clamp(i32::MIN as f64, i32::MAX as f64) as i32;
            let whole = if form.saturate { clamped } else { sum as i64 as i32 };
            return (Number::F32, Value::Bits(whole as u32 as u64), Tolerance::Exact);
        }
        Element::F16 => Number::F16,
        Element::F64 => Number::F64,
        _ => Number::F32,
    };
    (number, Value::Real(sum), Tolerance::Absolute(bound))
}

/// Pseudo-random numbers (xorshift).
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 ^ self.0 >> 29
    }
}

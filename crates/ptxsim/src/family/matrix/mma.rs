//! `mma.sync`, and the product part of `wmma`.

use crate::ast::Operand;
use crate::error::Result;
use crate::exec::{Context, Row32, Row64};
use crate::num::convert::f32_to_f16;
use crate::num::{Rounding, double};
use crate::program::{Lowering, R32, R64, Type};
use crate::tensor::element::Element;
use crate::tensor::form::{self, Form};
use crate::tensor::fragment::{Layout, quad};
use crate::tensor::product::{Size, multiply};
use crate::tensor::tile::{CANONICAL_NAN, Lanes};
use crate::tensor::warp::{layouts, multiply_registers};

/// A resolved product.
#[derive(Debug)]
pub(crate) struct Op {
    form: Form,
    operands: Operands,
}

impl Op {
    /// Sizes and types, and operations: `mma.m8n8k4` on `f16` is four products.
    pub fn product(&self) -> (&Form, u64) {
        let products = if matches!(self.operands, Operands::Quad { .. }) { 4 } else { 1 };
        (&self.form, products * self.form.operations())
    }
}

#[derive(Debug)]
enum Operands {
    /// All types but `f64`.
    Words { d: Vec<R32>, a: Vec<R32>, b: Vec<R32>, c: Vec<R32> },
    /// `f64`
    Doubles { d: Vec<R64>, a: Vec<R64>, b: Vec<R64>, c: Vec<R64> },
    /// `m8n8k4` on `f16`: whether A and B are stored by columns.
    Quad { d: Vec<R32>, a: Vec<R32>, b: Vec<R32>, c: Vec<R32>, by_columns: [bool; 2] },
}

pub(super) fn lower(l: &mut Lowering) -> Result<Op> {
    let refused = l.rest().find_map(|m| match m {
        _ if m.starts_with("sp") => Some("products of sparse matrices are not executed"),
        "block_scale" => Some("block-scaled products are not executed"),
        _ if m.starts_with("kind::") => Some("products of 4- and 6-bit floats are not executed"),
        _ => None,
    });
    if let Some(why) = refused {
        return Err(l.unsupported(why));
    }
    l.require("sync")?;
    l.require("aligned")?;
    let by_columns = [layout(l)?, layout(l)?];
    let form = take_form(l, form::mma)?;
    if (form.m, form.a) == (8, Element::F16) {
        let [a, b] = [words(l, 1, 2)?, words(l, 2, 2)?];
        let accumulator = |e: Element| if e == Element::F32 { 8 } else { 4 };
        let c = words(l, 3, accumulator(form.c))?;
        let d = destinations(l, accumulator(form.d))?;
        return Ok(Op { form, operands: Operands::Quad { d, a, b, c, by_columns } });
    }
    if by_columns != [false, true] {
        return Err(l.unsupported("layouts other than .row.col"));
    }
    let counts = layouts(&form).map(Layout::registers);
    lower_operands(l, form, [counts[0], counts[1]])
}

/// Takes `.row` or `.col`; whether it is the latter.
pub(super) fn layout(l: &mut Lowering) -> Result<bool> {
    let found = l.one_of(&[("row", false), ("col", true)]);
    found.ok_or_else(|| l.unsupported("a layout .row or .col is missing"))
}

/// Takes all that is left of the modifiers as a form.
pub(super) fn take_form(l: &mut Lowering, read: impl Fn(&[&str]) -> Option<Form>) -> Result<Form> {
    let parts: Vec<&str> = l.rest().collect();
    match read(&parts) {
        Some(form) => {
            while l.take(Some).is_some() {}
            Ok(form)
        }
        None => Err(l.unsupported("this combination of shape, types and qualifiers")),
    }
}

/// D, A, B, C as operands 0 to 3; `inputs` is how many registers A and B are written with.
pub(super) fn lower_operands(l: &mut Lowering, form: Form, inputs: [usize; 2]) -> Result<Op> {
    let [_, _, lc, ld] = layouts(&form);
    let operands = if form.d == Element::F64 {
        let a = doubles(l, 1, inputs[0])?;
        let b = doubles(l, 2, inputs[1])?;
        let c = doubles(l, 3, lc.registers())?;
        let d = vector(l, 0, ld.registers())?;
        let d = d.iter().map(|o| l.write64(o)).collect::<Result<_>>()?;
        Operands::Doubles { d, a, b, c }
    } else {
        let a = words(l, 1, inputs[0])?;
        let b = words(l, 2, inputs[1])?;
        let c = words(l, 3, lc.registers())?;
        Operands::Words { d: destinations(l, ld.registers())?, a, b, c }
    };
    Ok(Op { form, operands })
}

fn vector<'a>(l: &mut Lowering<'a, '_>, k: usize, count: usize) -> Result<&'a [Operand]> {
    let parts = l.vector(k)?;
    if parts.len() == count {
        Ok(parts)
    } else {
        Err(l.unsupported(format!("operand {} has {} registers, not {count}", k + 1, parts.len())))
    }
}

fn words(l: &mut Lowering, k: usize, count: usize) -> Result<Vec<R32>> {
    vector(l, k, count)?.iter().map(|o| l.read32(o, Type::B32)).collect()
}

fn doubles(l: &mut Lowering, k: usize, count: usize) -> Result<Vec<R64>> {
    vector(l, k, count)?.iter().map(|o| l.read64(o, Type::F64)).collect()
}

fn destinations(l: &mut Lowering, count: usize) -> Result<Vec<R32>> {
    vector(l, 0, count)?.iter().map(|o| l.write32(o)).collect()
}

/// Most registers of an operand.
const MOST: usize = 8;

pub(super) fn execute(op: &Op, context: &mut Context) {
    let registers = &mut context.warp.registers;
    match &op.operands {
        Operands::Words { d, a, b, c } => {
            let mut out = [[0; 32]; MOST];
            {
                let refer = |rows: &[R32]| -> [&Lanes; MOST] {
                    let last = rows.len() - 1;
                    std::array::from_fn(|i| registers.get32(rows[i.min(last)]))
                };
                multiply_registers(&op.form, &refer(a), &refer(b), &refer(c), &mut out);
            }
            for (r, value) in d.iter().zip(out) {
                registers.set32(*r, value, !0);
            }
        }
        Operands::Doubles { d, a, b, c } => {
            let read =
                |rows: &[R64]| rows.iter().map(|r| Row64(*registers.get64(*r))).collect::<Vec<_>>();
            let out = multiply_doubles(&op.form, &read(a), &read(b), &read(c));
            for (r, Row64(value)) in d.iter().zip(out) {
                registers.set64(*r, value, !0);
            }
        }
        Operands::Quad { d, a, b, c, by_columns } => {
            let read =
                |rows: &[R32]| rows.iter().map(|r| Row32(*registers.get32(*r))).collect::<Vec<_>>();
            let out = multiply_quads(&op.form, *by_columns, &read(a), &read(b), &read(c));
            for (r, Row32(value)) in d.iter().zip(out) {
                registers.set32(*r, value, !0);
            }
        }
    }
}

/// `f64` products: the layouts are those of other types with one element a register.
fn multiply_doubles(form: &Form, a: &[Row64], b: &[Row64], c: &[Row64]) -> Vec<Row64> {
    let [la, lb, lc, _] = layouts(form);
    let Size { m, n, k } = form.size();
    let (mut ta, mut tb, mut tc) = ([0.0; 256], [0.0; 128], [0.0; 128]);
    let each = |layout: Layout, rows: &[Row64], put: &mut dyn FnMut(usize, usize, f64)| {
        for (i, Row64(row)) in rows.iter().enumerate() {
            for (lane, bits) in row.iter().enumerate() {
                let (row, column) = layout.place(lane, i);
                put(row, column, f64::from_bits(*bits));
            }
        }
    };
    each(la, a, &mut |row, column, x| ta[row * k + column] = x);
    each(lb, b, &mut |column, row, x| tb[row * n + column] = x);
    each(lc, c, &mut |row, column, x| tc[row * n + column] = x);
    if form.rounding == Rounding::Nearest {
        multiply(Size { m, n, k }, &ta[..m * k], &tb[..k * n], &mut tc[..m * n]);
    } else {
        for (at, sum) in tc[..m * n].iter_mut().enumerate() {
            for p in 0..k {
                let (x, y) = (ta[at / n * k + p], tb[p * n + at % n]);
                let bits = double::fma(x.to_bits(), y.to_bits(), sum.to_bits(), form.rounding);
                *sum = f64::from_bits(bits);
            }
        }
    }
    let entry = |lane: usize, i: usize| {
        let (row, column) = lc.place(lane, i);
        let x = tc[row * n + column];
        if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
    };
    (0..c.len()).map(|i| Row64(std::array::from_fn(|lane| entry(lane, i)))).collect()
}

/// The four products of `m8n8k4` on `f16`.
fn multiply_quads(
    form: &Form,
    by_columns: [bool; 2],
    a: &[Row32],
    b: &[Row32],
    c: &[Row32],
) -> Vec<Row32> {
    let half = |rows: &[Row32], lane: usize, i: usize| {
        Element::F16.widen(rows[i / 2].0[lane] >> (16 * (i % 2)))
    };
    let place = |element: Element, lane: usize, i: usize| match element {
        Element::F32 => quad::c_f32(lane, i),
        _ => quad::c_f16(lane, i),
    };
    let mut tiles = [[0.0f32; 64]; 4];
    for (product, tile) in tiles.iter_mut().enumerate() {
        let (mut ta, mut tb) = ([0.0; 32], [0.0; 32]);
        for lane in (0..32).filter(|&lane| quad::product(lane) == product) {
            for i in 0..4 {
                let (row, k) = quad::a(lane, i, by_columns[0]);
                ta[row * 4 + k] = half(a, lane, i);
                let (k, column) = quad::b(lane, i, by_columns[1]);
                tb[k * 8 + column] = half(b, lane, i);
            }
            for i in 0..8 {
                let (row, column) = place(form.c, lane, i);
                tile[row * 8 + column] = match form.c {
                    Element::F32 => f32::from_bits(c[i].0[lane]),
                    _ => half(c, lane, i),
                };
            }
        }
        multiply(Size { m: 8, n: 8, k: 4 }, &ta, &tb, tile);
    }
    let entry = |lane: usize, i: usize| {
        let (row, column) = place(form.d, lane, i);
        tiles[quad::product(lane)][row * 8 + column]
    };
    let bits = |x: f32| if x.is_nan() { CANONICAL_NAN } else { x.to_bits() };
    match form.d {
        Element::F32 => {
            (0..8).map(|i| Row32(std::array::from_fn(|lane| bits(entry(lane, i))))).collect()
        }
        _ => {
            let half = |lane, i| f32_to_f16(entry(lane, i).to_bits(), Rounding::Nearest) as u32;
            let pair = |lane, r: usize| half(lane, 2 * r) | half(lane, 2 * r + 1) << 16;
            (0..4).map(|r| Row32(std::array::from_fn(|lane| pair(lane, r)))).collect()
        }
    }
}

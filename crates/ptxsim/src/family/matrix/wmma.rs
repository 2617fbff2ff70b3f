//! `wmma`: fragments whose layout PTX leaves to the machine (ISA 9.7.14.4).
//!
//! Any layout is right that loads, products and stores share, for programs may only do the same to every element. Ours is that
//! of `mma` for the same sizes, and accumulators of one shape have one layout in all types. `.f16` multiplicands are written
//! with eight registers whatever the shape; the ones that are not needed repeat the others.

use super::mma;
use crate::error::{Fault, Kind, Result};
use crate::exec::{AccessKind, Context, Request};
use crate::program::{Address, Lowering, R32, R64, Reg, Type};
use crate::tensor::element::Element;
use crate::tensor::form;
use crate::tensor::fragment::Layout;
use crate::tensor::warp::layouts;

/// A resolved load or store.
#[derive(Debug)]
pub(crate) struct Op {
    store: bool,
    request: Request,
    address: Address,
    /// Elements between rows, or columns, in memory; 32 bits in each lane.
    stride: R32,
    /// Whether columns lie one after the other in memory.
    by_columns: bool,
    /// Whether the layout is that of the transpose, as for B.
    transposed: bool,
    element: Element,
    layout: Layout,
    registers: Vec<Reg>,
}

pub(super) fn lower_mma(l: &mut Lowering) -> Result<mma::Op> {
    l.require("sync")?;
    l.require("aligned")?;
    mma::layout(l)?;
    mma::layout(l)?;
    let form = mma::take_form(l, form::wmma)?;
    let [la, lb, _, _] = layouts(&form);
    let written = |layout: Layout| if form.a == Element::F16 { 8 } else { layout.registers() };
    mma::lower_operands(l, form, [written(la), written(lb)])
}

pub(super) fn lower(l: &mut Lowering) -> Result<Op> {
    let store = match l.one_of(&[("load", false), ("store", true)]) {
        Some(store) => store,
        None => return Err(l.unsupported("it is none of wmma.load, wmma.store and wmma.mma")),
    };
    let matrix = l.one_of(&[("a", 'a'), ("b", 'b'), ("c", 'c'), ("d", 'd')]);
    l.require("sync")?;
    l.require("aligned")?;
    let by_columns = mma::layout(l)?;
    let shape = l.take(form::shape);
    let space = l.space();
    let element = l.take(Element::parse);
    let (Some(matrix), Some((m, n, k)), Some(element)) = (matrix, shape, element) else {
        return Err(l.unsupported("its matrix, shape or type is missing"));
    };
    if !form::wmma_holds(matrix, (m, n, k), element) || store != (matrix == 'd') {
        return Err(l.unsupported("this combination of matrix, shape and type"));
    }
    let layout = match matrix {
        'a' => Layout::a(element, m, k),
        'b' => Layout::b(element, n, k),
        _ => Layout::c(element, m, n),
    };
    if element.bits() < 8 && by_columns != (matrix == 'b') && matches!(matrix, 'a' | 'b') {
        return Err(l.unsupported("elements of less than a byte lie along k"));
    }
    // Rows and columns of the matrix as the ISA has it: that of the layout is the transpose for B.
    let (rows, columns) = match matrix {
        'a' => (m, k),
        'b' => (k, n),
        _ => (m, n),
    };
    let (address_at, registers_at) = if store { (0, 1) } else { (1, 0) };
    let kind = if store { AccessKind::Write } else { AccessKind::Read };
    let address = l.address(address_at)?;
    let stride = match l.operand_count() {
        2 => l.constant32(if by_columns { rows } else { columns } as u32)?,
        _ => l.source32(2, Type::B32)?,
    };
    let operands = l.vector(registers_at)?;
    let repeated = element == Element::F16 && matches!(matrix, 'a' | 'b');
    let count = if repeated { 8 } else { layout.registers() };
    if operands.len() != count {
        return Err(
            l.unsupported(format!("a fragment in {} registers, not {count}", operands.len()))
        );
    }
    let ty = if element == Element::F64 { Type::F64 } else { Type::B32 };
    let mut register = |o| if store { l.read(o, ty) } else { l.write(o, ty) };
    let registers = operands.iter().map(&mut register).collect::<Result<_>>()?;
    let request = Request::new(space, kind);
    let transposed = matrix == 'b';
    Ok(Op { store, request, address, stride, by_columns, transposed, element, layout, registers })
}

pub(super) fn execute(op: &Op, context: &mut Context) -> Result<(), Fault> {
    let bases = context.warp.registers.addresses(&op.address);
    let strides = context.warp.registers.get32(op.stride);
    let (base, stride) = (bases[0], strides[0] as u64);
    if bases.iter().any(|b| *b != base) || strides.iter().any(|s| *s as u64 != stride) {
        let message = "address and stride must be the same in all lanes";
        return Err(Fault::new(Kind::Undefined, message));
    }
    // Addresses of element `index` of every lane.
    let addresses = |index: usize| -> [u64; 32] {
        std::array::from_fn(|lane| {
            let (row, column) = op.layout.place(lane, index);
            let (major, minor) =
                if op.by_columns != op.transposed { (column, row) } else { (row, column) };
            base.wrapping_add((major as u64 * stride + minor as u64) * op.element.bits() as u64 / 8)
        })
    };
    // A register's elements lie side by side in memory where the layout's rows do.
    let whole = op.layout.per_register == 1 || op.by_columns == op.transposed;
    for (r, register) in op.registers.iter().enumerate() {
        let first = r % op.layout.registers() * op.layout.per_register;
        match *register {
            Reg::R64(r) => move_64(op, context, r, &addresses(first))?,
            Reg::R32(r) if whole => move_32::<4>(op, context, r, 0, &addresses(first))?,
            Reg::R32(r) => {
                for i in 0..op.layout.per_register {
                    let at = addresses(first + i);
                    match op.element.bits() {
                        16 => move_32::<2>(op, context, r, 16 * i, &at)?,
                        _ => move_32::<1>(op, context, r, 8 * i, &at)?,
                    }
                }
            }
            Reg::P(_) | Reg::R128(_) => unreachable!("fragments have registers of 32 or 64 bits"),
        }
    }
    Ok(())
}

fn move_64(op: &Op, context: &mut Context, r: R64, addresses: &[u64; 32]) -> Result<(), Fault> {
    if op.store {
        let values = context.warp.registers.get64(r).map(u64::to_le_bytes);
        return context.write(&op.request, addresses, !0, &values);
    }
    let values = context.read::<8>(&op.request, addresses, !0)?;
    context.warp.registers.set64(r, values.map(u64::from_le_bytes), !0);
    Ok(())
}

/// Moves N bytes of each lane's register, from bit `shift` on.
fn move_32<const N: usize>(
    op: &Op,
    context: &mut Context,
    r: R32,
    shift: usize,
    addresses: &[u64; 32],
) -> Result<(), Fault> {
    if op.store {
        let part = |word: &u32| std::array::from_fn(|b| (word >> (shift + 8 * b)) as u8);
        let values: [[u8; N]; 32] = context.warp.registers.get32(r).each_ref().map(part);
        return context.write(&op.request, addresses, !0, &values);
    }
    let values = context.read::<N>(&op.request, addresses, !0)?;
    let mut words = *context.warp.registers.get32(r);
    for (word, bytes) in words.iter_mut().zip(values) {
        let value = bytes.iter().rev().fold(0, |all, b| all << 8 | *b as u32);
        let keep = if shift == 0 { 0 } else { *word & ((1 << shift) - 1) };
        *word = keep | value << shift;
    }
    context.warp.registers.set32(r, words, !0);
    Ok(())
}

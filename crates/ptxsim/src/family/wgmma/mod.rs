//! Warpgroup matrix products: `wgmma` (PTX ISA 9.7.15). Sparse products are refused by name.
//!
//! Four warps issue a product together; each computes its 16 rows of D when it waits for it (`wgmma.wait_group`), or, where
//! asynchronous work is not to be late, at a random time between. Until then the registers of D and A are the product's:
//! what touches them is reported. Shared memory is read through the asynchronous proxy; with checks on, it is looked at when
//! the product is issued, too, for the reads may happen at any time from there on.

mod issue;
mod state;
mod work;

use crate::ast::{Instruction, Operand};
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow};
use crate::program::{self, Info, Lowering, PSource, R32, R64, Reg, Type};
use crate::tensor::descriptor::Major;
use crate::tensor::element::Element;
use crate::tensor::form::{self, Form};
use crate::tensor::fragment::Layout;

pub(crate) use state::{BlockState, Wait, WarpState, describe, end, ready};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// `wgmma.fence`
    Fence,
    /// `wgmma.mma_async`
    Multiply(Box<Multiply>),
    /// `wgmma.commit_group`
    Commit,
    /// `wgmma.wait_group`: how many of the latest groups may be left.
    Wait(usize),
}

impl Op {
    /// The product that it starts, and the operations of one of its four warps.
    pub fn product(&self) -> Option<(&Form, u64)> {
        match self {
            Op::Multiply(op) => Some((&op.form, op.form.operations() / 4)),
            _ => None,
        }
    }

    /// Bytes of shared memory that one of the four warps reads: its 16 rows of A, and a quarter of B.
    pub fn shared_bytes(&self) -> u64 {
        // Lines of A and B have 32 bytes, whatever their type.
        match self {
            Op::Multiply(op) => {
                let rows = if matches!(op.a, A::Shared(_)) { 16 } else { 0 };
                32 * rows + 32 * op.form.n as u64 / 4
            }
            _ => 0,
        }
    }
}

/// A product.
#[derive(Debug)]
pub(crate) struct Multiply {
    form: Form,
    d: Vec<R32>,
    a: A,
    b: R64,
    /// Whether D is added to.
    scale: PSource,
    /// Whether A and B are negated.
    negate: [bool; 2],
    /// How A and B lie in shared memory.
    majors: [Major; 2],
}

/// Where A is.
#[derive(Debug)]
enum A {
    /// In shared memory: its descriptor.
    Shared(R64),
    /// In registers, 16 rows in each warp.
    Registers([R32; 4]),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    if i.opcode != "wgmma" {
        return Ok(None);
    }
    let name = l.take(Some).unwrap_or_default();
    if l.flag("sp") {
        return Err(l.unsupported("products of sparse matrices are not executed"));
    }
    l.require("sync")?;
    l.require("aligned")?;
    Ok(Some(match name {
        "fence" => Op::Fence,
        "commit_group" => Op::Commit,
        "wait_group" => match l.constant(0)? {
            n @ 0.. => Op::Wait(n as usize),
            n => return Err(l.unsupported(format!("{n} groups"))),
        },
        "mma_async" => Op::Multiply(Box::new(multiply(l)?)),
        _ => return Err(l.unsupported("no such instruction of wgmma is known")),
    }))
}

fn multiply(l: &mut Lowering) -> Result<Multiply> {
    let parts: Vec<&str> = l.rest().collect();
    let Some(form) = form::wgmma(&parts) else {
        return Err(l.unsupported("this combination of shape, types and qualifiers"));
    };
    while l.take(Some).is_some() {}
    let d = l.vector(0)?;
    let count = Layout::c(form.d, 16, form.n).registers();
    if d.len() != count {
        return Err(l.unsupported(format!("D has {} registers, not {count}", d.len())));
    }
    // D is read only where `scale-d` says so at run time: it counts as written alone.
    let d = d.iter().map(|o| l.write32(o)).collect::<Result<_>>()?;
    let a = match l.operand(1)? {
        Operand::Vector(parts) => {
            let Ok(parts) = <&[Operand; 4]>::try_from(parts.as_slice()) else {
                return Err(l.unsupported(format!("A has {} registers, not 4", parts.len())));
            };
            let mut registers = [R32(0); 4];
            for (register, part) in registers.iter_mut().zip(parts) {
                *register = l.read32(part, Type::B32)?;
            }
            A::Registers(registers)
        }
        single => A::Shared(l.read64(single, Type::B64)?),
    };
    let b = l.source64(2, Type::B64)?;
    let scale = l.source_predicate(3)?;
    let mut next = 4;
    let mut choice = |l: &mut Lowering, values: [i128; 2]| -> Result<bool> {
        let value = l.constant(next)?;
        next += 1;
        match values.iter().position(|v| *v == value) {
            Some(at) => Ok(at == 1),
            None => Err(l.unsupported(format!("immediate {value} is neither of {values:?}"))),
        }
    };
    let (mut negate, mut majors) = ([false; 2], [Major::K; 2]);
    if form.d != Element::S32 {
        for side in &mut negate {
            *side = choice(l, [1, -1])?;
        }
        if form.a.bits() == 16 {
            let first = if matches!(a, A::Registers(_)) { 1 } else { 0 };
            for side in &mut majors[first..] {
                *side = if choice(l, [0, 1])? { Major::Mn } else { Major::K };
            }
        }
    }
    Ok(Multiply { form, d, a, b, scale, negate, majors })
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    if let Some(flow) = super::matrix::gather_warp(context, mask)? {
        return Ok(flow);
    }
    match op {
        Op::Fence => context.warp.state.wgmma.fence(),
        Op::Multiply(op) => issue::issue(op, context)?,
        Op::Commit => context.warp.state.wgmma.commit(),
        Op::Wait(left) => return issue::wait(*left, context),
    }
    Ok(Flow::Next)
}

/// Marks the instructions that touch registers of products.
pub(crate) fn watch(code: &mut [program::Instruction], info: &[Info]) {
    let mut used = state::Rows::default();
    for instruction in code.iter() {
        if let program::Op::Wgmma(Op::Multiply(product)) = &instruction.op {
            product.d.iter().for_each(|r| used.insert(*r));
            if let A::Registers(a) = &product.a {
                a.iter().for_each(|r| used.insert(*r));
            }
        }
    }
    let uses = |reg: &Reg| matches!(reg, Reg::R32(r) if used.contains(*r));
    for (instruction, info) in code.iter_mut().zip(info) {
        let own = matches!(instruction.op, program::Op::Wgmma(_));
        instruction.watched = !own && info.reads.iter().chain(&info.writes[..]).any(uses);
    }
}

/// The instruction at `context.place` reads or writes registers that a wgmma of the program uses: reports what it may not.
pub(crate) fn touch(context: &mut Context, mask: u32) -> Result<(), Fault> {
    issue::touch(context, mask)
}

//! Stores and reductions that tell an mbarrier when they have been made: st.async (PTX ISA 9.7.9.12), red.async (9.7.13.7).
//!
//! Each lane's is work of its own, in the generic proxy, on the shared memory of another block of the cluster: the value is
//! that of the instruction's time, the access is made later, and then the mbarrier beside it hears of its bytes, which
//! releases at cluster scope. Refused by name: the forms of sm_100 on global memory, which the end of the block completes.

use crate::ast::Instruction;
use crate::error::{Fault, Kind, Result};
use crate::exec::{self, AccessKind, Context, Machine, Order, Place, Request, Scope, lanes};
use crate::family::cluster::in_shared;
use crate::family::mbarrier::{self, Target};
use crate::family::memory::{Reduction, What, get};
use crate::program::{Address, Lowering, Reg, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) struct Op {
    to: Address,
    barrier: Address,
    values: Vec<Reg>,
    ty: Type,
    /// What `red.async` does.
    reduce: Option<What>,
}

/// Work that ends later: what `lane` sends.
#[derive(Debug)]
pub(crate) struct Work {
    lane: u32,
    /// Where in the shared memory of the cluster.
    to: u32,
    barrier: Target,
    bytes: [u8; 16],
    len: usize,
    reduce: Option<Reduction>,
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Box<Op>>> {
    let reduces = i.opcode == "red";
    if !reduces && i.opcode != "st" || i.modifiers.iter().all(|m| m != "async") {
        return Ok(None);
    }
    l.require("async")?;
    if l.flag("release") {
        return Err(l.unsupported("stores that the end of a block completes are not executed"));
    }
    let reduce = match reduces {
        false => {
            l.one_of(&[("weak", ()), ("cluster", ())]);
            None
        }
        true => {
            l.require("relaxed")?;
            l.require("cluster")?;
            Some(l.take(What::parse).ok_or_else(|| l.unsupported("its operation"))?)
        }
    };
    if !matches!(l.space(), Space::Generic | Space::Cluster) {
        return Err(l.unsupported("it goes to the shared memory of another block"));
    }
    l.require("mbarrier::complete_tx::bytes")?;
    let n = if reduces { 1 } else { l.one_of(&[("v2", 2), ("v4", 4)]).unwrap_or(1) };
    let ty = l.ty()?;
    let known = match reduce {
        None => ty.bits() >= 32 && n * ty.bytes() as usize <= 16 && ty != Type::B128,
        Some(what) => allowed(what, ty),
    };
    if !known {
        return Err(l.unsupported(format!("{n} of {ty:?} there")));
    }
    let to = l.address(0)?;
    let parts = l.vector(1)?;
    if parts.len() != n {
        return Err(l.unsupported(format!("{} registers for {n} elements", parts.len())));
    }
    let values = parts.iter().map(|part| l.read(part, ty)).collect::<Result<Vec<Reg>>>()?;
    if values.iter().any(|r| l.register_bits(*r) < ty.bits()) {
        return Err(l.unsupported("a register narrower than the type"));
    }
    Ok(Some(Box::new(Op { to, barrier: l.address(2)?, values, ty, reduce })))
}

/// Which operation goes with which type. Sums of `.s64`, which ptxas takes though the table lacks them, are those of `.u64`.
fn allowed(what: What, ty: Type) -> bool {
    use Type::*;
    match what {
        What::Inc | What::Dec => ty == U32,
        What::Min | What::Max => matches!(ty, U32 | S32),
        What::And | What::Or | What::Xor => ty == B32,
        What::Add => matches!(ty, U32 | S32 | U64 | S64),
        What::Exch | What::Cas => false,
    }
}

/// Starts it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let addresses = context.warp.registers.addresses(&op.to);
    let barriers = context.warp.registers.addresses(&op.barrier);
    let size = op.ty.bytes() as usize;
    let len = size * op.values.len();
    for lane in lanes(mask) {
        let at = |fault: Fault| fault.lanes(1 << lane);
        let to = in_shared(addresses[lane], len as u32, "the destination").map_err(at)?;
        let barrier = in_shared(barriers[lane], 8, "the mbarrier").map_err(at)?;
        let barrier = Target::new(barrier);
        let rank = (to >> 24) as usize;
        let undefined = |message: String| Err(at(Fault::new(Kind::Undefined, message)));
        if rank != barrier.rank {
            return undefined(format!(
                "the mbarrier is of block {}, the destination of block {rank}",
                barrier.rank
            ));
        }
        if rank == context.place.block {
            return undefined("the destination is of the own block, not of another".into());
        }
        let mut bytes = [0; 16];
        for (slot, value) in bytes.chunks_mut(size).zip(&op.values) {
            let value = get(&context.warp.registers, *value, lane).to_le_bytes();
            slot.copy_from_slice(&value[..size]);
        }
        let reduce = op.reduce.map(|what| Reduction { what, ty: op.ty });
        let work = Work { lane: lane as u32, to, barrier, bytes, len, reduce };
        context.machine.post(context.place, 1 << lane, exec::Work::Send(Box::new(work)));
    }
    Ok(())
}

/// Ends it.
pub(crate) fn complete(work: &Work, machine: &mut Machine, place: Place) -> Result<(), Fault> {
    const WRITE: Request = Request::new(Space::Cluster, AccessKind::Write);
    const CHANGE: Request = Request {
        order: Order::Relaxed,
        scope: Scope::Cluster,
        ..Request::new(Space::Cluster, AccessKind::Atomic)
    };
    let Work { lane, to, barrier, len, reduce, .. } = *work;
    let (address, bytes) = (to as u64, &work.bytes[..len]);
    mbarrier::meant(machine, place, barrier);
    match reduce {
        None => machine.write_bytes(place, &WRITE, lane, address, bytes)?,
        Some(reduction) => machine.change_bytes(place, &CHANGE, lane, address, len, |old| {
            reduction.apply_all(old, bytes, false);
        })?,
    }
    mbarrier::complete_bytes(machine, place, lane, barrier, len as u64)
}

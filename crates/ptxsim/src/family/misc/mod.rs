//! What fits nowhere else: clocks, nanosleep, setmaxnreg, griddepcontrol, pmevent, printf and assert.
//!
//! Time is virtual: a clock tells how many warp instructions the machine has executed, so it is the same in every run.
//! `griddepcontrol` orders a grid with the grid before it; here a launch begins when the one before has ended, so it
//! waits for nothing. `setmaxnreg` has a file of its own.

mod format;
mod printf;
pub(crate) mod registers;

use crate::ast::{Instruction, Operand};
use crate::error::{Fault, Kind, Result};
use crate::exec::{Context, Flow, Wait};
use crate::program::{Lowering, Place, R32, R64, Reg, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// `%clock`, `%clock_hi`: the clock, shifted right.
    Clock32(R32, u32),
    /// `%clock64`, `%globaltimer`
    Clock64(R64),
    /// Lets other warps run.
    Sleep,
    /// `setmaxnreg`: executed by all lanes together.
    Registers(registers::Op),
    /// Does nothing.
    Nothing,
    /// `vprintf`: the places of format, arguments, and of what it returns.
    Printf(Place, Place, Option<Place>),
    /// `__assertfail`: message, file, line, function.
    Assert(Box<[Place; 4]>),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    Ok(Some(match i.opcode.as_str() {
        "mov" => match i.operands.get(1) {
            Some(Operand::Name(name))
                if name.starts_with("%clock") || name.starts_with("%globaltimer") =>
            {
                clock(name, l)?
            }
            _ => return Ok(None),
        },
        "nanosleep" => {
            l.require("u32")?;
            l.source32(0, Type::U32)?;
            Op::Sleep
        }
        "setmaxnreg" => {
            let more = l
                .one_of(&[("inc", true), ("dec", false)])
                .ok_or_else(|| l.unsupported(".inc or .dec is missing"))?;
            l.require("sync")?;
            l.require("aligned")?;
            l.require("u32")?;
            let count = l.constant(0)?;
            if !(24..=256).contains(&count) || count % 8 != 0 {
                return Err(l.unsupported(format!(
                    "{count} registers: a multiple of 8 from 24 to 256 is wanted"
                )));
            }
            Op::Registers(registers::Op { count: count as u32, more })
        }
        "griddepcontrol" => {
            let what = l.one_of(&[("launch_dependents", ()), ("wait", ())]);
            what.ok_or_else(|| l.unsupported("what it controls"))?;
            Op::Nothing
        }
        "pmevent" => {
            l.flag("mask");
            l.constant(0)?;
            Op::Nothing
        }
        "call" => return system_call(i, l),
        _ => return Ok(None),
    }))
}

fn clock(name: &str, l: &mut Lowering) -> Result<Op> {
    let ty = l.ty()?;
    l.operand(1)?;
    Ok(match (name, ty.bits()) {
        ("%clock" | "%globaltimer_lo", 32) => Op::Clock32(l.destination32(0)?, 0),
        ("%clock_hi" | "%globaltimer_hi", 32) => Op::Clock32(l.destination32(0)?, 32),
        ("%clock64" | "%globaltimer", 64) => Op::Clock64(l.destination64(0)?),
        _ => return Err(l.unsupported(format!("{name} as {ty:?}"))),
    })
}

/// Calls of functions that the driver provides.
fn system_call(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    let at = matches!(i.operands.first(), Some(Operand::List(_))) as usize;
    let (Some(Operand::Name(name)), Some(Operand::List(list))) =
        (i.operands.get(at), i.operands.get(at + 1))
    else {
        return Ok(None);
    };
    let wanted = match name.as_str() {
        "vprintf" => 2,
        "__assertfail" => 5,
        _ => return Ok(None),
    };
    if l.is_defined(name) {
        return Ok(None);
    }
    l.flag("uni");
    (0..at + 2).for_each(|k| _ = l.try_operand(k));
    let places = list.iter().map(|o| l.place(o, false)).collect::<Result<Vec<Place>>>()?;
    if places.len() != wanted {
        return Err(l.unsupported(format!("{name} takes {wanted} arguments")));
    }
    if name == "__assertfail" {
        return Ok(Some(Op::Assert(Box::new([places[0], places[1], places[2], places[3]]))));
    }
    let returns = match i.operands.first() {
        Some(Operand::List(list)) if at == 1 && !list.is_empty() => Some(l.place(&list[0], true)?),
        _ => None,
    };
    Ok(Some(Op::Printf(places[0], places[1], returns)))
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Clock32(d, shift) => {
            let value = (context.machine.executed >> shift) as u32;
            context.warp.registers.set32(*d, [value; 32], mask);
        }
        Op::Clock64(d) => {
            let value = context.machine.executed;
            context.warp.registers.set64(*d, [value; 32], mask);
        }
        Op::Sleep => return Ok(Flow::Yield),
        Op::Registers(_) if mask != context.warp.alive => {
            return Ok(Flow::Wait(Wait::Converge(context.warp.alive)));
        }
        Op::Registers(op) => return registers::execute(*op, context),
        Op::Nothing => {}
        Op::Printf(format, arguments, returns) => {
            printf::print(context, mask, *format, *arguments, *returns)?
        }
        Op::Assert(places) => {
            let lane = mask.trailing_zeros() as usize;
            let [message, file, line, function] = places.map(|p| argument(context, &p, lane));
            let text = |context: &mut Context, at: u64| printf::string(context, lane, at);
            let (message, file) = (text(context, message)?, text(context, file)?);
            let function = text(context, function)?;
            let what =
                format!("assertion `{message}` failed at {file}:{} in {function}", line as u32);
            return Err(Fault::new(Kind::Trap, what).lanes(mask));
        }
    }
    Ok(Flow::Next)
}

/// The value of an argument in one lane, zero-extended.
fn argument(context: &Context, place: &Place, lane: usize) -> u64 {
    let registers = &context.warp.registers;
    match *place {
        Place::Register(Reg::R32(r)) => registers.get32(r)[lane] as u64,
        Place::Register(Reg::R64(r) | Reg::R128(r)) => registers.get64(r)[lane],
        Place::Register(Reg::P(p)) => (registers.predicates[p.0 as usize] >> lane & 1) as u64,
        Place::Memory(offset, len) => {
            let mut bytes = [0; 8];
            let at = lane * context.warp.local_bytes
                + (offset - crate::program::build::LOCAL_BASE) as usize;
            let len = (len as usize).min(8);
            bytes[..len].copy_from_slice(&context.warp.local[at..at + len]);
            u64::from_le_bytes(bytes)
        }
    }
}

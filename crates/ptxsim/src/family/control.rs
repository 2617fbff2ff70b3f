//! Control flow: bra, brx.idx, call, ret, exit, trap, brkpt.

use crate::ast::{Instruction, Operand};
use crate::error::{Fault, Kind, Result};
use crate::exec::{Context, Flow, Frame, Group, Warp, lanes};
use crate::program::build::LOCAL_BASE;
use crate::program::operands::FUNCTIONS;
use crate::program::{self, Lowering, Place, R32, R64, Reg, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// To an instruction.
    Branch(u32),
    /// By index to one of these.
    Table(R32, Box<[u32]>),
    /// A call.
    Call(Box<Call>),
    /// `ret`; of the entry it is `exit`.
    Return,
    Exit,
    Trap,
    Breakpoint,
}

/// A call: who, and from and to where the caller's values go.
#[derive(Debug)]
pub(crate) struct Call {
    target: Target,
    returns: Vec<Place>,
    params: Vec<Place>,
}

#[derive(Debug)]
enum Target {
    Direct(u32),
    Indirect(R64),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    Ok(Some(match i.opcode.as_str() {
        "bra" => {
            l.flag("uni");
            Op::Branch(l.label(0)?)
        }
        "brx" => {
            l.require("idx")?;
            l.flag("uni");
            let index = l.source32(0, Type::U32)?;
            let Operand::Name(list) = l.operand(1)? else {
                return Err(l.unsupported("its list of targets"));
            };
            let names = l.targets(list)?;
            Op::Table(index, names.iter().map(|name| l.label_named(name)).collect::<Result<_>>()?)
        }
        "call" => call(l)?,
        "ret" => {
            l.flag("uni");
            Op::Return
        }
        "exit" => Op::Exit,
        "trap" => Op::Trap,
        "brkpt" => Op::Breakpoint,
        _ => return Ok(None),
    }))
}

fn call(l: &mut Lowering) -> Result<Op> {
    l.flag("uni");
    let mut at = 0;
    let mut operand = l.try_operand(at);
    let mut returns = Vec::new();
    if let Some(Operand::List(list)) = operand {
        returns = list.iter().map(|o| l.place(o, true)).collect::<Result<_>>()?;
        at += 1;
        operand = l.try_operand(at);
    }
    let Some(Operand::Name(name)) = operand else { return Err(l.unsupported("what is called")) };
    let mut params = Vec::new();
    at += 1;
    let mut last = l.try_operand(at);
    if let Some(Operand::List(list)) = last {
        params = list.iter().map(|o| l.place(o, false)).collect::<Result<_>>()?;
        at += 1;
        last = l.try_operand(at);
    }
    let target = if last.is_some() {
        Target::Indirect(l.read64(&Operand::Name(name.clone()), Type::B64)?)
    } else {
        let function = l.function(name)?;
        if !l.fits(function, &returns, &params) {
            return Err(l.unsupported(format!("{name} takes or returns something else")));
        }
        Target::Direct(function as u32)
    };
    Ok(Op::Call(Box::new(Call { target, returns, params })))
}

/// Executes it.
#[inline(always)]
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Branch(target) => Ok(Flow::Jump(*target)),
        Op::Exit => Ok(Flow::Exit),
        Op::Return if context.warp.frame == 0 => Ok(Flow::Exit),
        other => rare(other, context, mask),
    }
}

fn rare(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Table(index, targets) => {
            let index = *context.warp.registers.get32(*index);
            for lane in lanes(mask) {
                let Some(target) = targets.get(index[lane] as usize) else {
                    let message =
                        format!("index {} in a table of {} targets", index[lane], targets.len());
                    return Err(Fault::new(Kind::Invalid, message).lanes(1 << lane));
                };
                push(context.warp, *target, 1 << lane, context.warp.frame);
            }
            Ok(Flow::Regrouped)
        }
        Op::Call(call) => {
            match call.target {
                Target::Direct(function) => enter(context, call, function, mask)?,
                Target::Indirect(r) => {
                    let targets = *context.warp.registers.get64(r);
                    let mut rest = mask;
                    while rest != 0 {
                        let target = targets[rest.trailing_zeros() as usize];
                        let same = lanes(rest)
                            .filter(|l| targets[*l] == target)
                            .fold(0, |m, l| m | 1 << l);
                        let function = target.wrapping_sub(FUNCTIONS) / 16;
                        if target < FUNCTIONS
                            || function as usize >= context.machine.program.functions.len()
                        {
                            let message = format!("call of {target:#x}, where no function is");
                            return Err(Fault::new(Kind::Invalid, message).lanes(same));
                        }
                        enter(context, call, function as u32, same)?;
                        rest &= !same;
                    }
                }
            }
            Ok(Flow::Regrouped)
        }
        Op::Return => {
            let program = context.machine.program;
            let frame = context.warp.frames[context.warp.frame as usize];
            let program::Op::Control(Op::Call(call)) = &program.code[frame.call as usize].op else {
                unreachable!("frames are made by calls")
            };
            let function = &program.functions[frame.function as usize];
            for (from, to) in function.returns.iter().zip(&call.returns) {
                copy(context.warp, *from, *to, mask)?;
            }
            push(context.warp, frame.call + 1, mask, frame.parent);
            Ok(Flow::Regrouped)
        }
        Op::Trap => Err(Fault::new(Kind::Trap, "trap")),
        Op::Breakpoint => Err(Fault::new(Kind::Trap, "breakpoint")),
        Op::Branch(_) | Op::Exit => unreachable!("these are not rare"),
    }
}

fn push(warp: &mut Warp, pc: u32, lanes: u32, frame: u32) {
    warp.groups.push(Group { pc, lanes, frame, wait: None, then: false });
}

fn enter(context: &mut Context, call: &Call, function: u32, mask: u32) -> Result<(), Fault> {
    let program = context.machine.program;
    let callee = &program.functions[function as usize];
    if callee.params.len() != call.params.len() || callee.returns.len() != call.returns.len() {
        let message = format!("{} takes or returns something else than this call", callee.name);
        return Err(Fault::new(Kind::Invalid, message).lanes(mask));
    }
    let warp = &mut *context.warp;
    let mut at = warp.frame;
    while at != 0 {
        if warp.frames[at as usize].function == function {
            let message =
                format!("{} calls itself, directly or not: recursion is not executed", callee.name);
            return Err(Fault::new(Kind::Invalid, message).lanes(mask));
        }
        at = warp.frames[at as usize].parent;
    }
    for (from, to) in call.params.iter().zip(&callee.params) {
        copy(warp, *from, *to, mask)?;
    }
    let depth = warp.frames[warp.frame as usize].depth + 1;
    let frame = Frame { call: context.place.pc, function, parent: warp.frame, depth };
    // Groups that come from the same call share a frame, so that they can merge.
    let known = warp.frames.iter().position(|f| *f == frame);
    let index = known.unwrap_or_else(|| {
        warp.frames.push(frame);
        warp.frames.len() - 1
    });
    push(warp, callee.start, mask, index as u32);
    Ok(())
}

/// Copies an argument or a result in the lanes of `mask`.
fn copy(warp: &mut Warp, from: Place, to: Place, mask: u32) -> Result<(), Fault> {
    let misfit = || {
        Err(Fault::new(Kind::Invalid, "an argument or result has another type than the function's"))
    };
    match (from, to) {
        (Place::Register(from), Place::Register(to)) => {
            let registers = &mut warp.registers;
            match (from, to) {
                (Reg::R32(from), Reg::R32(to)) => registers.set32(to, *registers.get32(from), mask),
                (Reg::R64(from), Reg::R64(to)) => registers.set64(to, *registers.get64(from), mask),
                (Reg::R128(from), Reg::R128(to)) => {
                    registers.set64(to, *registers.get64(from), mask);
                    registers.set64(R64(to.0 + 1), *registers.get64(R64(from.0 + 1)), mask);
                }
                (Reg::P(from), Reg::P(to)) => {
                    let bits = registers.predicates[from.0 as usize];
                    registers.set_predicate(to, bits, mask);
                }
                _ => return misfit(),
            }
        }
        (Place::Memory(from, len), Place::Memory(to, other)) => {
            let (len, stride) = (len.min(other) as usize, warp.local_bytes);
            for lane in lanes(mask) {
                let (from, to) = (
                    lane * stride + (from - LOCAL_BASE) as usize,
                    lane * stride + (to - LOCAL_BASE) as usize,
                );
                warp.local.copy_within(from..from + len, to);
                crate::exec::mark(&mut warp.local_written, to, len);
            }
        }
        _ => return misfit(),
    }
    Ok(())
}

//! What the lanes of a warp do together: `shfl.sync`, `vote.sync`, `match.sync`, `redux.sync`, `elect.sync`, `activemask`.
//!
//! Lanes of one mask wait for each other at an instruction with the same qualifiers, those that have exited excepted: PTX wants
//! the same qualifiers and mask, not the same place in the program. A lane that executes it without being in its own mask is a
//! fault; a lane that reads from one that takes no part is reported and gets a number that is easy to see.

mod sites;

use crate::ast::Instruction;
use crate::error::{Fault, Kind, Result};
use crate::exec::{Context, Flow, Group, NOTHING, Wait, lanes};
use crate::num::format::F32;
use crate::num::select::{Select, select};
use crate::program::{Lowering, P, PSource, R32, R64, Type};

pub(crate) use sites::meet;

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// Which lanes execute this.
    ActiveMask(R32),
    /// What the lanes of a mask do together.
    Sync(Box<Sync>),
}

/// An instruction with its mask of lanes.
#[derive(Debug)]
pub(crate) struct Sync {
    mask: R32,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Shuffle { mode: Mode, d: R32, p: Option<P>, a: R32, b: R32, c: R32 },
    Ballot { d: R32, a: PSource },
    Vote { vote: Vote, p: P, a: PSource },
    MatchAny32 { d: R32, a: R32 },
    MatchAny64 { d: R32, a: R64 },
    MatchAll32 { d: R32, p: Option<P>, a: R32 },
    MatchAll64 { d: R32, p: Option<P>, a: R64 },
    Reduce { reduce: Reduce, d: R32, a: R32 },
    Elect { d: R32, p: P },
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Debug, Clone, Copy)]
enum Vote {
    All,
    Any,
    Uniform,
}

#[derive(Debug, Clone, Copy)]
enum Reduce {
    Add,
    MinSigned,
    MaxSigned,
    MinUnsigned,
    MaxUnsigned,
    And,
    Or,
    Xor,
    Float(Select),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    let (what, mask) = match i.opcode.as_str() {
        "activemask" => {
            l.require("b32")?;
            return Ok(Some(Op::ActiveMask(l.destination32(0)?)));
        }
        "shfl" => (shuffle(l)?, l.source32(4, Type::B32)?),
        "vote" => (vote(l)?, l.source32(2, Type::B32)?),
        "match" => (matching(l)?, l.source32(2, Type::B32)?),
        "redux" => (reduce(l)?, l.source32(2, Type::B32)?),
        "elect" => {
            l.require("sync")?;
            let (d, p) = l.pair(0)?;
            let Some(p) = p else { return Err(l.unsupported("its predicate is missing")) };
            let what = What::Elect { d: l.write32(d)?, p: l.write_predicate(p)? };
            (what, l.source32(1, Type::B32)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Sync(Box::new(Sync { mask, what }))))
}

fn shuffle(l: &mut Lowering) -> Result<What> {
    l.require("sync")?;
    let mode = l.one_of(&[
        ("up", Mode::Up),
        ("down", Mode::Down),
        ("bfly", Mode::Butterfly),
        ("idx", Mode::Index),
    ]);
    let Some(mode) = mode else { return Err(l.unsupported("its mode")) };
    l.require("b32")?;
    let (d, p) = l.pair(0)?;
    let p = p.map(|p| l.write_predicate(p)).transpose()?;
    let d = l.write32(d)?;
    let [a, b, c] = [1, 2, 3].map(|k| l.source32(k, Type::B32));
    Ok(What::Shuffle { mode, d, p, a: a?, b: b?, c: c? })
}

fn vote(l: &mut Lowering) -> Result<What> {
    l.require("sync")?;
    if l.flag("ballot") {
        l.require("b32")?;
        return Ok(What::Ballot { d: l.destination32(0)?, a: l.source_predicate(1)? });
    }
    let vote = l.one_of(&[("all", Vote::All), ("any", Vote::Any), ("uni", Vote::Uniform)]);
    let Some(vote) = vote else { return Err(l.unsupported("its kind of vote")) };
    l.require("pred")?;
    Ok(What::Vote { vote, p: l.destination_predicate(0)?, a: l.source_predicate(1)? })
}

fn matching(l: &mut Lowering) -> Result<What> {
    let all = l.flag("all");
    if !all {
        l.require("any")?;
    }
    l.require("sync")?;
    let (d, p) = l.pair(0)?;
    let p = p.map(|p| l.write_predicate(p)).transpose()?;
    let d = l.write32(d)?;
    let ty = l.ty()?;
    Ok(match (all, ty, p) {
        (true, Type::B32, p) => What::MatchAll32 { d, p, a: l.source32(1, ty)? },
        (true, Type::B64, p) => What::MatchAll64 { d, p, a: l.source64(1, ty)? },
        (false, Type::B32, None) => What::MatchAny32 { d, a: l.source32(1, ty)? },
        (false, Type::B64, None) => What::MatchAny64 { d, a: l.source64(1, ty)? },
        _ => return Err(l.unsupported("its type or operands")),
    })
}

fn reduce(l: &mut Lowering) -> Result<What> {
    l.require("sync")?;
    let names = ["add", "min", "max", "and", "or", "xor"];
    let name = l.take(|m| names.contains(&m).then_some(m));
    let (abs, nan) = (l.flag("abs"), l.flag("NaN"));
    let ty = l.ty()?;
    let reduce = match (name, ty) {
        (Some("add"), Type::U32 | Type::S32) => Reduce::Add,
        (Some("min"), Type::S32) => Reduce::MinSigned,
        (Some("max"), Type::S32) => Reduce::MaxSigned,
        (Some("min"), Type::U32) => Reduce::MinUnsigned,
        (Some("max"), Type::U32) => Reduce::MaxUnsigned,
        (Some("and"), Type::B32) => Reduce::And,
        (Some("or"), Type::B32) => Reduce::Or,
        (Some("xor"), Type::B32) => Reduce::Xor,
        (Some(name @ ("min" | "max")), Type::F32) => {
            Reduce::Float(Select { max: name == "max", nan, abs, ..Select::default() })
        }
        _ => return Err(l.unsupported("its operation or type")),
    };
    if (abs || nan) && ty != Type::F32 {
        return Err(l.unsupported(".abs or .NaN of integers"));
    }
    Ok(What::Reduce { reduce, d: l.destination32(0)?, a: l.source32(1, ty)? })
}

/// Executes it.
#[inline]
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    let sync = match op {
        Op::ActiveMask(d) => {
            context.warp.registers.set32(*d, [mask; 32], mask);
            return Ok(Flow::Next);
        }
        Op::Sync(sync) => sync,
    };
    let masks = *context.warp.registers.get32(sync.mask);
    if let Some(lane) = lanes(mask).find(|lane| masks[*lane] >> lane & 1 == 0) {
        let message = format!("the lane is not in its own mask, {:#010x}", masks[lane]);
        return Err(Fault::new(Kind::Undefined, message).lanes(1 << lane));
    }
    by_mask(&masks, context, mask, |context, mask| together(&sync.what, context, mask))
}

/// Does what lanes with the same mask do `together` once all of them are here; until then they wait.
#[inline]
pub(super) fn by_mask(
    masks: &[u32; 32],
    context: &mut Context,
    mask: u32,
    together: impl Fn(&mut Context, u32),
) -> Result<Flow, Fault> {
    let alive = context.warp.alive;
    let common = masks[mask.trailing_zeros() as usize];
    if lanes(mask).all(|lane| masks[lane] == common) {
        // The usual case: one mask, and all of its lanes here.
        if common & alive & !mask != 0 {
            return Ok(Flow::Wait(Wait::Meet(common)));
        }
        together(context, mask);
        return Ok(Flow::Next);
    }
    let (pc, frame) = (context.place.pc, context.warp.frame);
    let group = Group { pc, lanes: 0, frame, wait: None, then: false };
    let mut rest = mask;
    while rest != 0 {
        let common = masks[rest.trailing_zeros() as usize];
        let same = lanes(rest).filter(|lane| masks[*lane] == common).fold(0, |m, l| m | 1 << l);
        let next = if common & alive & !same != 0 {
            Group { lanes: same, wait: Some(Wait::Meet(common)), ..group }
        } else {
            together(context, same);
            Group { lanes: same, pc: pc + 1, ..group }
        };
        context.warp.groups.push(next);
        rest &= !same;
    }
    Ok(Flow::Regrouped)
}

/// The instruction for lanes that are all here.
fn together(what: &What, context: &mut Context, mask: u32) {
    let registers = &mut context.warp.registers;
    match *what {
        What::Shuffle { mode, d, p, a, b, c } => {
            let (a, b, c) = (*registers.get32(a), *registers.get32(b), *registers.get32(c));
            let (mut value, mut within, mut absent) = (a, 0, 0);
            for lane in lanes(mask) {
                let (source, valid) = source(mode, lane as u32, b[lane], c[lane]);
                within |= (valid as u32) << lane;
                if mask >> source & 1 == 1 {
                    value[lane] = a[source as usize];
                } else {
                    value[lane] = NOTHING;
                    absent |= 1 << lane;
                }
            }
            registers.set32(d, value, mask);
            if let Some(p) = p {
                registers.set_predicate(p, within, mask);
            }
            if absent != 0 {
                let message = "the lane that is read from takes no part in the shuffle";
                context.report(Kind::Undefined, absent, message.into());
            }
        }
        What::Ballot { d, a } => {
            let votes = registers.predicate(a) & mask;
            registers.set32(d, [votes; 32], mask);
        }
        What::Vote { vote, p, a } => {
            let votes = registers.predicate(a) & mask;
            let result = match vote {
                Vote::All => votes == mask,
                Vote::Any => votes != 0,
                Vote::Uniform => votes == mask || votes == 0,
            };
            registers.set_predicate(p, if result { !0 } else { 0 }, mask);
        }
        What::MatchAny32 { d, a } => {
            let values = registers.get32(a).map(u64::from);
            registers.set32(d, equals(&values, mask), mask);
        }
        What::MatchAny64 { d, a } => {
            let values = *registers.get64(a);
            registers.set32(d, equals(&values, mask), mask);
        }
        What::MatchAll32 { d, p, a } => {
            let values = registers.get32(a).map(u64::from);
            match_all(context, &values, d, p, mask);
        }
        What::MatchAll64 { d, p, a } => {
            let values = *registers.get64(a);
            match_all(context, &values, d, p, mask);
        }
        What::Reduce { reduce, d, a } => {
            let a = *registers.get32(a);
            let values = lanes(mask).map(|lane| a[lane]);
            let result = values.reduce(|x, y| match reduce {
                Reduce::Add => x.wrapping_add(y),
                Reduce::MinSigned => (x as i32).min(y as i32) as u32,
                Reduce::MaxSigned => (x as i32).max(y as i32) as u32,
                Reduce::MinUnsigned => x.min(y),
                Reduce::MaxUnsigned => x.max(y),
                Reduce::And => x & y,
                Reduce::Or => x | y,
                Reduce::Xor => x ^ y,
                Reduce::Float(modifiers) => select::<F32>(x, y, modifiers),
            });
            registers.set32(d, [result.unwrap_or(0); 32], mask);
        }
        What::Elect { d, p } => {
            let leader = mask.trailing_zeros();
            registers.set32(d, [leader; 32], mask);
            registers.set_predicate(p, 1 << leader, mask);
        }
    }
}

/// The lane that `lane` reads from, and whether it is within its segment (PTX ISA, "shfl.sync").
#[inline(always)]
fn source(mode: Mode, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let (most, least) = (lane & segment | clamp & !segment, lane & segment);
    let (source, within) = match mode {
        Mode::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= most as i32),
        Mode::Down => (lane + b, lane + b <= most),
        Mode::Butterfly => (lane ^ b, (lane ^ b) <= most),
        Mode::Index => (least | b & !segment, (least | b & !segment) <= most),
    };
    if within { (source, true) } else { (lane, false) }
}

/// For each lane of `mask`, the lanes with an equal value.
fn equals(values: &[u64; 32], mask: u32) -> [u32; 32] {
    let same = |value: u64| {
        lanes(mask).filter(|lane| values[*lane] == value).fold(0, |m, lane| m | 1 << lane)
    };
    std::array::from_fn(|lane| if mask >> lane & 1 == 1 { same(values[lane]) } else { 0 })
}

fn match_all(context: &mut Context, values: &[u64; 32], d: R32, p: Option<P>, mask: u32) {
    let first = values[mask.trailing_zeros() as usize];
    let all = lanes(mask).all(|lane| values[lane] == first);
    context.warp.registers.set32(d, [if all { mask } else { 0 }; 32], mask);
    if let Some(p) = p {
        context.warp.registers.set_predicate(p, if all { !0 } else { 0 }, mask);
    }
}

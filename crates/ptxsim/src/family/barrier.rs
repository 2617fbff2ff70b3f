//! Barriers of a block (`bar`, `barrier`), of lanes (`bar.warp.sync`), and fences (`membar`, `fence`).
//!
//! A barrier counts threads. Without a count it waits for all threads of the block that have not exited, as hardware does
//! since `sm_70`. The aligned forms (`bar`, `.aligned`) are executed by all living lanes of a warp together: lanes that come
//! apart wait for each other, and a warp whose lanes are at different barriers shows as a deadlock.

use crate::ast::Instruction;
use crate::check::{Event, Object};
use crate::error::{Fault, Kind, Result};
use crate::exec::{self, Context, Flow, Machine, Place, Scope, lanes};
use crate::family::collective;
use crate::program::{Lowering, P, PSource, R32, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// A barrier of the block.
    Block(Box<Block>),
    /// `bar.warp.sync` with its mask.
    Warp(R32),
    /// A fence.
    Fence(Event),
}

/// `bar` and `barrier`.
#[derive(Debug)]
pub(crate) struct Block {
    number: R32,
    count: Option<R32>,
    aligned: bool,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Sync,
    Arrive,
    /// Counts lanes whose predicate is set; the result is a number.
    Count(R32, PSource),
    /// Whether the predicate is set in all lanes, or in any.
    All(P, PSource),
    Any(P, PSource),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    Ok(Some(match i.opcode.as_str() {
        "bar" if l.flag("warp") => {
            l.require("sync")?;
            Op::Warp(l.source32(0, Type::B32)?)
        }
        "bar" => block(l, true)?,
        "barrier" if !l.rest().any(|m| m == "cluster") => block(l, false)?,
        "membar" | "fence" => Op::Fence(fence(i.opcode == "membar", l)?),
        _ => return Ok(None),
    }))
}

fn block(l: &mut Lowering, aligned: bool) -> Result<Op> {
    l.flag("cta");
    let aligned = l.flag("aligned") || aligned;
    let (arrive, red) = (l.flag("arrive"), l.flag("red"));
    if !arrive && !red {
        l.require("sync")?;
    }
    let first = red as usize;
    let number = l.source32(first, Type::U32)?;
    let counted = l.operand_count() == first + 2 + red as usize;
    let count = if counted { Some(l.source32(first + 1, Type::U32)?) } else { None };
    if arrive && count.is_none() {
        return Err(l.unsupported("its count is missing"));
    }
    let what = match (arrive, red) {
        (true, _) => What::Arrive,
        (_, false) => What::Sync,
        _ => {
            let last = l.operand_count().saturating_sub(1);
            if l.flag("popc") {
                l.require("u32")?;
                What::Count(l.destination32(0)?, l.source_predicate(last)?)
            } else {
                let all = l.flag("and");
                if !all {
                    l.require("or")?;
                }
                l.require("pred")?;
                let (p, a) = (l.destination_predicate(0)?, l.source_predicate(last)?);
                if all { What::All(p, a) } else { What::Any(p, a) }
            }
        }
    };
    Ok(Op::Block(Box::new(Block { number, count, aligned, what })))
}

fn fence(membar: bool, l: &mut Lowering) -> Result<Event> {
    if l.flag("mbarrier_init") {
        l.require("release")?;
        l.require("cluster")?;
        return Ok(Event::InitFence);
    }
    if l.flag("proxy") {
        if l.flag("alias") {
            // All addresses of one place are one place here.
            return Ok(Event::Fence(Scope::Block));
        }
        l.require("async")?;
        l.take(|m| ["global", "shared::cta", "shared::cluster"].contains(&m).then_some(()));
        return Ok(Event::ProxyFence);
    }
    if membar {
        let scope =
            l.one_of(&[("cta", Scope::Block), ("gl", Scope::Device), ("sys", Scope::System)]);
        return scope.map(Event::Fence).ok_or_else(|| l.unsupported("its level"));
    }
    l.take(|m| ["sc", "acq_rel", "acquire", "release"].contains(&m).then_some(()));
    let scope = l.one_of(&[
        ("cta", Scope::Block),
        ("cluster", Scope::Cluster),
        ("gpu", Scope::Device),
        ("sys", Scope::System),
    ]);
    scope.map(Event::Fence).ok_or_else(|| l.unsupported("its scope"))
}

/// What a group waits for: a barrier to pass a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    number: u32,
    generation: u32,
}

/// One of the 16 barriers of a block.
#[derive(Debug, Default, Clone, Copy)]
struct Named {
    /// How often it was passed.
    generation: u32,
    /// Threads that have arrived since.
    arrived: u32,
    /// Threads that it waits for; `None` for all that have not exited.
    expected: Option<u32>,
    /// Lanes whose predicate was set, and those whose was not.
    set: u32,
    unset: u32,
    /// The same of the last generation.
    result: (u32, u32),
}

/// What is kept for a block.
#[derive(Debug, Default)]
pub(crate) struct BlockState {
    barriers: [Named; 16],
    /// Threads that have exited.
    exited: u32,
    /// Reductions that have arrived and go on with their result: warp, lanes, and what they wait for.
    reducing: Vec<(usize, u32, Wait)>,
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Block(op) => at_block(op, context, mask),
        Op::Fence(event) => {
            context.machine.check.event(context.place, mask, *event)?;
            Ok(Flow::Next)
        }
        Op::Warp(row) => {
            let masks = *context.warp.registers.get32(*row);
            if let Some(lane) = lanes(mask).find(|lane| masks[*lane] >> lane & 1 == 0) {
                let message = format!("the lane is not in its own mask, {:#010x}", masks[lane]);
                return Err(Fault::new(Kind::Barrier, message).lanes(1 << lane));
            }
            collective::by_mask(&masks, context, mask, meet)
        }
    }
}

/// All lanes that `bar.warp.sync` waits for are here.
pub(super) fn meet(context: &mut Context, mask: u32) {
    // To meet is to learn, which cannot fail.
    let _ = context.machine.check.event(context.place, mask, Event::Meet(Object::Warp));
}

fn at_block(op: &Block, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    if op.aligned && mask != context.warp.alive {
        return Ok(Flow::Wait(exec::Wait::Converge(context.warp.lanes)));
    }
    let uniform = |row: R32, context: &Context| {
        let values = context.warp.registers.get32(row);
        let first = values[mask.trailing_zeros() as usize];
        match lanes(mask).find(|lane| values[*lane] != first) {
            None => Ok(first),
            Some(lane) => {
                let message = format!("operands differ: {first} and {}", values[lane]);
                Err(Fault::new(Kind::Barrier, message).lanes(1 << lane))
            }
        }
    };
    let number = uniform(op.number, context)?;
    let count = op.count.map(|row| uniform(row, context)).transpose()?;
    if number > 15 {
        return Err(Fault::new(Kind::Barrier, format!("there is no barrier {number}")));
    }
    if count.is_some_and(|count| count == 0 || count % 32 != 0) {
        let message = format!("a count of {} threads, no multiple of 32", count.unwrap_or(0));
        return Err(Fault::new(Kind::Barrier, message));
    }
    let index = context.place.warp;
    let back = |&(warp, lanes, _): &(usize, u32, Wait)| warp == index && lanes & mask == mask;
    if let Some(at) = context.block().state.barrier.reducing.iter().position(back) {
        let (_, lanes, wait) = context.block().state.barrier.reducing.swap_remove(at);
        if lanes != mask {
            let rest = (index, lanes & !mask, wait);
            context.block().state.barrier.reducing.push(rest);
        }
        return Ok(result(op, context, number, mask));
    }
    let votes = match op.what {
        What::Count(_, a) | What::All(_, a) | What::Any(_, a) => {
            context.warp.registers.predicate(a) & mask
        }
        _ => 0,
    };
    // Counted barriers count whole warps, a last one of fewer threads too.
    let whole = count.is_some() && mask == context.warp.alive;
    let threads = if whole { 32 } else { mask.count_ones() };
    let block = context.block();
    let state = &mut block.state.barrier;
    let named = &mut state.barriers[number as usize];
    if named.arrived > 0 && named.expected != count {
        let words = |count: Option<u32>| count.map_or("all".into(), |count| count.to_string());
        let message = format!(
            "barrier {number} waits for {} threads and is now told to wait for {}",
            words(named.expected),
            words(count)
        );
        return Err(Fault::new(Kind::Barrier, message));
    }
    named.expected = count;
    named.arrived += threads;
    named.set += votes.count_ones();
    named.unset += (mask & !votes).count_ones();
    let wait = Wait { number, generation: named.generation };
    if let Some(count) = count
        && named.arrived > count
    {
        let message = format!(
            "{} threads arrived at barrier {number}, which waits for {count}",
            named.arrived
        );
        return Err(Fault::new(Kind::Barrier, message));
    }
    let passed = pass(named, block.threads - state.exited);
    let object = Object::Barrier(number, wait.generation);
    context.machine.check.event(context.place, mask, Event::Arrive(object))?;
    if passed {
        context.machine.progress += 1;
    }
    match op.what {
        What::Arrive => Ok(Flow::Next),
        _ if passed => {
            context.machine.check.event(context.place, mask, Event::Wait(object))?;
            Ok(result(op, context, number, mask))
        }
        What::Sync => Ok(Flow::WaitThen(exec::Wait::Barrier(wait))),
        _ => {
            context.block().state.barrier.reducing.push((index, mask, wait));
            Ok(Flow::Wait(exec::Wait::Barrier(wait)))
        }
    }
}

/// Opens the barrier where all have come; whether it did.
fn pass(named: &mut Named, living: u32) -> bool {
    let passed = named.arrived > 0 && named.arrived >= named.expected.unwrap_or(living);
    if passed {
        *named = Named {
            generation: named.generation + 1,
            result: (named.set, named.unset),
            ..Named::default()
        };
    }
    passed
}

fn result(op: &Block, context: &mut Context, number: u32, mask: u32) -> Flow {
    let (set, unset) = context.block().state.barrier.barriers[number as usize].result;
    let registers = &mut context.warp.registers;
    let bits = |condition: bool| if condition { !0 } else { 0 };
    match op.what {
        What::Count(d, _) => registers.set32(d, [set; 32], mask),
        What::All(p, _) => registers.set_predicate(p, bits(unset == 0), mask),
        What::Any(p, _) => registers.set_predicate(p, bits(set > 0), mask),
        What::Sync | What::Arrive => {}
    }
    Flow::Next
}

/// Whether it has come.
pub(crate) fn ready(wait: &Wait, context: &mut Context, lanes: u32) -> bool {
    let passed = context.block().state.barrier.barriers[wait.number as usize].generation;
    if passed == wait.generation {
        return false;
    }
    let event = Event::Wait(Object::Barrier(wait.number, wait.generation));
    // To wait is to learn, which cannot fail.
    let _ = context.machine.check.event(context.place, lanes, event);
    true
}

/// What it is, in words.
pub(crate) fn describe(wait: &Wait, machine: &Machine, place: Place) -> String {
    let block = &machine.clusters[place.cluster].blocks[place.block];
    let state = &block.state.barrier;
    let named = state.barriers[wait.number as usize];
    let expected = named.expected.unwrap_or(block.threads - state.exited);
    format!("barrier {}, where {} of {expected} threads have arrived", wait.number, named.arrived)
}

/// Lanes have exited: a barrier may have waited for nobody else.
pub(crate) fn exited(context: &mut Context, mask: u32) -> Result<(), Fault> {
    let block = context.block();
    let state = &mut block.state.barrier;
    state.exited += mask.count_ones();
    let living = block.threads - state.exited;
    for named in state.barriers.iter_mut().filter(|named| named.expected.is_none()) {
        pass(named, living);
    }
    Ok(())
}

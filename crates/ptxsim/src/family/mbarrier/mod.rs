//! Barriers in shared memory: mbarrier (PTX ISA 9.7.13.15), but for `cp.async.mbarrier.arrive`, which copies own.
//!
//! A phase ends when as many arrivals and bytes have come as it waits for. `try_wait` waits as long as it takes, so that a
//! phase that does not end shows as a deadlock; with [`Options::give_up`](crate::Options::give_up) it gives up every other
//! time, and whoever tries again comes to wait. `test_wait` does not wait, but lets other warps run
//! where it says no. Of the bytes in shared memory only the object here is looked at.

mod object;

use crate::ast::{Instruction, Operand};
use crate::check::{Event, Object as Phased};
use crate::error::{Fault, Kind, Result};
use crate::exec::access::SHARED_WINDOW;
use crate::exec::{
    self, AccessKind, Context, Flow, Machine, Order, Place, Proxy, Request, Scope, lanes,
};
use crate::program::{Address, Lowering, P, R32, R64, Space, Type};

pub(crate) use object::{BlockState, Object, Step, Target, complete_bytes, find, meant, step};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// `init` with its count.
    Init(Where, R32),
    /// `inval`
    Invalidate(Where),
    /// `expect_tx` and, with a sign, `complete_tx`.
    Bytes(Where, R32, bool),
    /// `arrive` and `arrive_drop`.
    Arrive(Box<Arrive>),
    /// `test_wait` and `try_wait`.
    Wait(Box<Waiting>),
    /// `pending_count` of a state.
    PendingCount(R32, R64),
}

/// The operand `[address]` and its state space.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Where {
    space: Space,
    address: Address,
}

#[derive(Debug)]
pub(crate) struct Arrive {
    at: Where,
    state: Option<R64>,
    count: Option<R32>,
    bytes: Option<R32>,
    drop: bool,
    no_complete: bool,
    release: bool,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    at: Where,
    done: P,
    phase: Phase,
    /// Whether it waits.
    blocks: bool,
    acquire: bool,
}

/// Which phase is waited for.
#[derive(Debug)]
enum Phase {
    /// That of a state.
    State(R64),
    /// The current one or the one before, by its parity.
    Parity(R32),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    if i.opcode != "mbarrier" {
        return Ok(None);
    }
    let name = l.take(Some).unwrap_or_default();
    let op = match name {
        "init" => Op::Init(place(l, 0)?, l.source32(1, Type::U32)?),
        "inval" => Op::Invalidate(place(l, 0)?),
        "expect_tx" | "complete_tx" => {
            if l.flag("relaxed") {
                scope(l);
            }
            Op::Bytes(place(l, 0)?, l.source32(1, Type::U32)?, name == "complete_tx")
        }
        "arrive" | "arrive_drop" => Op::Arrive(Box::new(arrive(i, l, name == "arrive_drop")?)),
        "test_wait" | "try_wait" => Op::Wait(Box::new(waiting(l, name == "try_wait")?)),
        "pending_count" => Op::PendingCount(l.destination32(0)?, l.source64(1, Type::B64)?),
        _ => return Err(l.unsupported("no such instruction of mbarrier is known")),
    };
    l.require("b64")?;
    Ok(Some(op))
}

fn scope(l: &mut Lowering) {
    l.take(|m| ["cta", "cluster"].contains(&m).then_some(()));
}

fn place(l: &mut Lowering, k: usize) -> Result<Where> {
    let space = l.space();
    if !matches!(space, Space::Generic | Space::Shared | Space::Cluster) {
        return Err(l.unsupported("an mbarrier lies in shared memory"));
    }
    Ok(Where { space, address: l.address(k)? })
}

fn arrive(i: &Instruction, l: &mut Lowering, drop: bool) -> Result<Arrive> {
    let expects = l.flag("expect_tx");
    let no_complete = l.flag("noComplete");
    let release = !l.flag("relaxed");
    l.flag("release");
    scope(l);
    // A state is not asked for where it would be that of another block.
    let stated = !matches!(i.operands.first(), Some(Operand::Address(..)));
    let first = stated as usize;
    let at = place(l, first)?;
    let state = match stated.then(|| l.operand(0)).transpose()? {
        None | Some(Operand::Sink) => None,
        Some(_) if at.space == Space::Cluster => {
            return Err(l.unsupported("the state of another block's mbarrier"));
        }
        Some(_) => Some(l.destination64(0)?),
    };
    let last = l.operand_count() > first + 1;
    if (expects || no_complete) && !last {
        return Err(l.unsupported("its count is missing"));
    }
    let number = if last { Some(l.source32(first + 1, Type::U32)?) } else { None };
    let (count, bytes) = if expects { (None, number) } else { (number, None) };
    Ok(Arrive { at, state, count, bytes, drop, no_complete, release })
}

fn waiting(l: &mut Lowering, blocks: bool) -> Result<Waiting> {
    let parity = l.flag("parity");
    let acquire = !l.flag("relaxed");
    l.flag("acquire");
    scope(l);
    let at = place(l, 1)?;
    if at.space == Space::Cluster {
        return Err(l.unsupported("only a block's own mbarrier can be waited for"));
    }
    let done = l.destination_predicate(0)?;
    let phase = if parity {
        Phase::Parity(l.source32(2, Type::U32)?)
    } else {
        Phase::State(l.source64(2, Type::B64)?)
    };
    if blocks && l.operand_count() > 3 {
        // How long it may wait: here as long as it takes.
        l.source32(3, Type::U32)?;
    }
    Ok(Waiting { at, done, phase, blocks, acquire })
}

/// What a group waits for: the end of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    target: Target,
    phase: u64,
    acquire: bool,
}

/// Makes the access of `mask` to mbarriers; where they lie.
pub(crate) fn access(
    context: &mut Context,
    space: Space,
    address: &Address,
    mask: u32,
    kind: AccessKind,
) -> Result<[Target; 32], Fault> {
    let addresses = context.warp.registers.addresses(address);
    let order = if kind == AccessKind::Write { Order::Weak } else { Order::Relaxed };
    let proxy = Proxy::Barrier;
    let request = Request { order, scope: Scope::Cluster, proxy, ..Request::new(space, kind) };
    for lane in lanes(mask) {
        if space == Space::Generic && addresses[lane] >> 60 != SHARED_WINDOW >> 60 {
            let message = format!("the mbarrier at {:#x} is not in shared memory", addresses[lane]);
            return Err(Fault::new(Kind::OutOfBounds, message).lanes(1 << lane));
        }
    }
    if kind == AccessKind::Write {
        context.write::<8>(&request, &addresses, mask, &[[0; 8]; 32])?;
    } else {
        // Only an object that lives has bytes that were written: say that first.
        for lane in lanes(mask) {
            find(context.machine, context.place, Target::new(addresses[lane] as u32))
                .map_err(|fault| fault.lanes(1 << lane))?;
        }
        context.atomic::<8>(&request, &addresses, mask, |_, _| None)?;
    }
    Ok(addresses.map(|address| Target::new(address as u32)))
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Init(at, count) => {
            let counts = *context.warp.registers.get32(*count);
            let targets = access(context, at.space, &at.address, mask, AccessKind::Write)?;
            for lane in lanes(mask) {
                init(context, targets[lane], counts[lane]).map_err(|f| f.lanes(1 << lane))?;
            }
        }
        Op::Invalidate(at) => {
            let targets = access(context, at.space, &at.address, mask, AccessKind::Atomic)?;
            for lane in lanes(mask) {
                let target = targets[lane];
                find(context.machine, context.place, target).map_err(|f| f.lanes(1 << lane))?;
                context.block().state.mbarrier.set(target.offset, None);
            }
        }
        Op::Bytes(at, bytes, complete) => {
            let bytes = *context.warp.registers.get32(*bytes);
            let targets = access(context, at.space, &at.address, mask, AccessKind::Atomic)?;
            for lane in lanes(mask) {
                let bytes = if *complete { -(bytes[lane] as i64) } else { bytes[lane] as i64 };
                step(
                    context.machine,
                    context.place,
                    targets[lane],
                    Step { bytes, ..Step::default() },
                )
                .map_err(|f| f.lanes(1 << lane))?;
            }
        }
        Op::Arrive(op) => execute_arrive(op, context, mask)?,
        Op::Wait(op) => return execute_wait(op, context, mask),
        Op::PendingCount(d, state) => {
            let state = *context.warp.registers.get64(*state);
            let counts = state.map(|state| state as u32 & object::MOST);
            context.warp.registers.set32(*d, counts, mask);
        }
    }
    Ok(Flow::Next)
}

fn init(context: &mut Context, target: Target, count: u32) -> Result<(), Fault> {
    let Target { rank, offset } = target;
    let wrong = |what: String| {
        let message = format!("mbarrier at {offset:#x} of block {rank}: {what}");
        Err(Fault::new(Kind::Mbarrier, message))
    };
    if rank != context.place.block {
        return wrong("only its own block can initialize it".into());
    }
    if count == 0 || count > object::MOST {
        return wrong(format!("a count of {count} arrivals is not within 1 to {}", object::MOST));
    }
    let state = &mut context.block().state.mbarrier;
    if state.find(offset).is_some() {
        return wrong("initialized again, with no mbarrier.inval between".into());
    }
    state.set(offset, Some(Object::new(count)));
    Ok(())
}

fn execute_arrive(op: &Arrive, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let registers = &context.warp.registers;
    let counts = op.count.map_or([1; 32], |row| *registers.get32(row));
    let bytes = op.bytes.map_or([0; 32], |row| *registers.get32(row));
    let targets = access(context, op.at.space, &op.at.address, mask, AccessKind::Atomic)?;
    let mut states = [0; 32];
    for lane in lanes(mask) {
        let at = |fault: Fault| fault.lanes(1 << lane);
        if op.state.is_some() && targets[lane].rank != context.place.block {
            let message = "the state of another block's mbarrier is asked for";
            return Err(at(Fault::new(Kind::Mbarrier, message)));
        }
        if counts[lane] == 0 {
            return Err(at(Fault::new(Kind::Mbarrier, "an arrival with a count of 0")));
        }
        let how = Step {
            bytes: bytes[lane] as i64,
            arrivals: counts[lane],
            drop: op.drop,
            no_complete: op.no_complete,
        };
        let before = step(context.machine, context.place, targets[lane], how).map_err(at)?;
        states[lane] = before.state();
        if op.release {
            let event = Event::Arrive(targets[lane].ordered(before.phase));
            context.machine.check.event(context.place, 1 << lane, event)?;
        }
    }
    if let Some(d) = op.state {
        context.warp.registers.set64(d, states, mask);
    }
    Ok(())
}

fn execute_wait(op: &Waiting, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    let targets = access(context, op.at.space, &op.at.address, mask, AccessKind::Atomic)?;
    let (mut done, mut blocked, mut alike) = (0, None, true);
    for lane in lanes(mask) {
        let at = |message: String| Err(Fault::new(Kind::Mbarrier, message).lanes(1 << lane));
        let target = targets[lane];
        if target.rank != context.place.block {
            return at("only a block's own mbarrier can be waited for".into());
        }
        let current = find(context.machine, context.place, target)?.phase;
        let phase = match op.phase {
            Phase::State(row) => {
                let phase = context.warp.registers.get64(row)[lane] >> 20;
                if phase > current || phase + 1 < current {
                    return at(format!(
                        "the state is of phase {phase}, but the mbarrier is in phase {current}"
                    ));
                }
                phase
            }
            Phase::Parity(row) => match context.warp.registers.get32(row)[lane] {
                parity @ 0..2 if current & 1 == parity as u64 => current,
                // Before the first phase lies one of parity 1 that has ended.
                0..2 => current.wrapping_sub(1),
                parity => return at(format!("a phase has parity 0 or 1, not {parity}")),
            },
        };
        if phase == current {
            let wait = Wait { target, phase, acquire: op.acquire };
            alike &= *blocked.get_or_insert(wait) == wait;
        } else {
            done |= 1 << lane;
            let event = passed(op.acquire, target.ordered(phase));
            context.machine.check.event(context.place, 1 << lane, event)?;
        }
    }
    let machine = &mut *context.machine;
    let patient = op.blocks && !(machine.options.give_up && machine.random.below(2) == 0);
    match blocked {
        // When all lanes wait for the same, nothing is left to find out behind the wait.
        Some(wait) if patient && alike && done == 0 => {
            context.warp.registers.set_predicate(op.done, !0, mask);
            Ok(Flow::WaitThen(exec::Wait::Mbarrier(wait)))
        }
        Some(wait) if patient => Ok(Flow::Wait(exec::Wait::Mbarrier(wait))),
        _ => {
            context.warp.registers.set_predicate(op.done, done, mask);
            Ok(if blocked.is_some() { Flow::Yield } else { Flow::Next })
        }
    }
}

/// What a wait that is over means.
fn passed(acquire: bool, phase: Phased) -> Event {
    if acquire { Event::Wait(phase) } else { Event::See(phase) }
}

/// Whether it has come.
pub(crate) fn ready(wait: &Wait, context: &mut Context, lanes: u32) -> bool {
    let Ok(object) = find(context.machine, context.place, wait.target) else { return false };
    let ended = object.phase != wait.phase;
    if ended {
        let event = passed(wait.acquire, wait.target.ordered(wait.phase));
        // To wait is to learn, which cannot fail.
        let _ = context.machine.check.event(context.place, lanes, event);
    }
    ended
}

/// What it is, in words.
pub(crate) fn describe(wait: &Wait, machine: &Machine, place: Place) -> String {
    let Target { rank, offset } = wait.target;
    let words = format!("phase {} of the mbarrier at {offset:#x} of block {rank}", wait.phase);
    let block = &machine.clusters[place.cluster].blocks[rank];
    match block.state.mbarrier.get(offset) {
        None => words + ", which was invalidated",
        Some(Object { expected, pending, bytes, .. }) => format!(
            "{words}, where {pending} of {expected} arrivals and {bytes} bytes are still to come"
        ),
    }
}

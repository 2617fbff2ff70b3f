//! Asynchronous copies by threads: cp.async (PTX ISA 9.7.9.25.3).
//!
//! Each instruction posts one piece of work for the lanes that execute it; it reads its source when it ends. Groups are kept
//! lane by lane. `wait_group` ends what it waits for on the spot, so copies end as late as they may. They are made in the
//! generic proxy, in the name of the thread that started them.

use crate::ast::{Instruction, Operand};
use crate::check::{Deed, Event, Party};
use crate::error::{Fault, Kind, Result};
use crate::exec::{self, AccessKind, Context, Flow, Machine, Place, Request, lanes};
use crate::family::mbarrier::{self, Step, Target};
use crate::program::{Address, Lowering, PSource, R32, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// `cp.async.ca` and `cp.async.cg`.
    Copy(Box<Copy>),
    /// `cp.async.commit_group`
    Commit,
    /// `cp.async.wait_group`: how many of the latest groups may be left.
    WaitGroup(usize),
    /// `cp.async.wait_all`: what no group holds yet, too.
    WaitAll,
    /// `cp.async.mbarrier.arrive`; whether the arrival is one more than the phase waits for.
    Arrive(Space, Address, bool),
}

/// A copy.
#[derive(Debug)]
pub(crate) struct Copy {
    to: Address,
    from: Address,
    /// Bytes: 4, 8 or 16.
    bytes: u32,
    /// How many of them are read; zeros are written for the others.
    read: Read,
}

#[derive(Debug)]
enum Read {
    All,
    Bytes(R32),
    /// None where the predicate is set.
    Unless(PSource),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    if i.opcode != "cp" || i.modifiers.iter().any(|m| m == "bulk") {
        return Ok(None);
    }
    l.require("async")?;
    if l.flag("commit_group") {
        return Ok(Some(Op::Commit));
    }
    if l.flag("wait_all") {
        return Ok(Some(Op::WaitAll));
    }
    if l.flag("wait_group") {
        return match l.constant(0)? {
            n @ 0.. => Ok(Some(Op::WaitGroup(n as usize))),
            n => Err(l.unsupported(format!("{n} groups"))),
        };
    }
    if l.flag("mbarrier") {
        l.require("arrive")?;
        let more = !l.flag("noinc");
        l.require("b64")?;
        let space = l.space();
        if !matches!(space, Space::Generic | Space::Shared) {
            return Err(l.unsupported("only a block's own mbarrier can be arrived at"));
        }
        return Ok(Some(Op::Arrive(space, l.address(0)?, more)));
    }
    copy(i, l).map(|copy| Some(Op::Copy(Box::new(copy))))
}

fn copy(i: &Instruction, l: &mut Lowering) -> Result<Copy> {
    let Some(most) = l.one_of(&[("ca", 4), ("cg", 16)]) else {
        return Err(l.unsupported("neither .ca nor .cg"));
    };
    if l.space() != Space::Shared || l.space() != Space::Global {
        return Err(l.unsupported("copies other than from global to shared memory"));
    }
    l.take(|m| ["L2::64B", "L2::128B", "L2::256B"].contains(&m).then_some(()));
    let hint = l.flag("L2::cache_hint");
    let (to, from) = (l.address(0)?, l.address(1)?);
    let bytes = match l.constant(2)? {
        n @ (4 | 8 | 16) if n >= most => n as u32,
        n => return Err(l.unsupported(format!("a copy of {n} bytes"))),
    };
    let more = l.operand_count() - hint as usize;
    if hint {
        // Where lines are cached changes no result.
        l.source64(more, Type::B64)?;
    }
    let read = match i.operands.get(3) {
        Some(operand) if more > 3 => {
            let number = matches!(operand, Operand::Integer(_));
            let predicate = if number { None } else { l.source_predicate(3).ok() };
            match predicate {
                Some(ignore) => Read::Unless(ignore),
                None => Read::Bytes(l.source32(3, Type::U32)?),
            }
        }
        _ => Read::All,
    };
    Ok(Copy { to, from, bytes, read })
}

/// Work that ends later.
#[derive(Debug)]
pub(crate) enum Work {
    /// A copy.
    Copy(Box<Lanes>),
    /// Arrivals at mbarriers when copies have ended: lanes, where, and the tickets of the copies.
    Arrive(u32, Box<[Target; 32]>, Vec<u64>),
}

impl Work {
    /// Whether it is an arrival at an mbarrier.
    pub fn is_counted(&self) -> bool {
        matches!(self, Work::Arrive(..))
    }
}

/// A copy of some lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    mask: u32,
    to: [u64; 32],
    from: [u64; 32],
    /// Bytes written, and bytes read in each lane.
    bytes: u32,
    read: [u32; 32],
}

/// A copy that was started, and the lanes that have not waited for it.
#[derive(Debug, Clone, Copy)]
struct Started {
    ticket: u64,
    lanes: u32,
    pc: u32,
}

/// Copies that were committed together, and the lanes that did so.
#[derive(Debug)]
struct Group {
    lanes: u32,
    copies: Vec<Started>,
}

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Copies that no group holds yet.
    open: Vec<Started>,
    /// Groups that were not waited for, oldest first.
    groups: Vec<Group>,
    /// The latest arrival of each lane that follows its copies before.
    followed: Option<Box<[u64; 32]>>,
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Copy(op) => start(op, context, mask)?,
        Op::Commit => context.warp.state.copy.commit(mask),
        Op::WaitGroup(left) => wait(*left, context, mask)?,
        Op::WaitAll => {
            context.warp.state.copy.commit(mask);
            wait(0, context, mask)?;
        }
        Op::Arrive(space, address, more) => arrive(*space, address, *more, context, mask)?,
    }
    Ok(Flow::Next)
}

fn start(op: &Copy, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let registers = &context.warp.registers;
    let read = match op.read {
        Read::All => [op.bytes; 32],
        Read::Bytes(row) => *registers.get32(row),
        Read::Unless(ignore) => {
            let ignore = registers.predicate(ignore);
            std::array::from_fn(|lane| if ignore >> lane & 1 == 1 { 0 } else { op.bytes })
        }
    };
    if let Some(lane) = lanes(mask).find(|lane| read[*lane] > op.bytes) {
        let message = format!("{} bytes to read are more than the {}", read[lane], op.bytes);
        return Err(Fault::new(Kind::Undefined, message).lanes(1 << lane));
    }
    let (to, from) = (registers.addresses(&op.to), registers.addresses(&op.from));
    let work = Work::Copy(Box::new(Lanes { mask, to, from, bytes: op.bytes, read }));
    let ticket = context.machine.post(context.place, mask, exec::Work::Copy(work));
    let pc = context.place.pc;
    context.warp.state.copy.open.push(Started { ticket, lanes: mask, pc });
    Ok(())
}

impl WarpState {
    fn commit(&mut self, mask: u32) {
        let of = |copies: &[Started], mask: u32| -> Vec<Started> {
            let part = copies.iter().map(|copy| Started { lanes: copy.lanes & mask, ..*copy });
            part.filter(|copy| copy.lanes != 0).collect()
        };
        let copies = of(&self.open, mask);
        self.open = of(&self.open, !mask);
        self.groups.push(Group { lanes: mask, copies });
    }

    /// The copies of the lanes in `mask` in all their groups but the `left` latest: those groups are waited for. And the
    /// latest copy of each lane among them.
    fn due(&mut self, left: usize, mask: u32) -> (Vec<u64>, [u32; 32]) {
        let (mut seen, mut due, mut until) = ([0; 32], Vec::new(), [0; 32]);
        for group in self.groups.iter_mut().rev() {
            let mut now = 0;
            for lane in lanes(group.lanes & mask) {
                now |= ((seen[lane] >= left) as u32) << lane;
                seen[lane] += 1;
            }
            group.lanes &= !now;
            for copy in group.copies.iter_mut().filter(|copy| copy.lanes & now != 0) {
                let ticket = copy.ticket;
                due.push(ticket);
                lanes(copy.lanes & now)
                    .for_each(|lane| until[lane] = until[lane].max(ticket as u32));
                copy.lanes &= !now;
            }
        }
        self.groups.retain(|group| group.lanes != 0);
        due.sort_unstable();
        (due, until)
    }
}

fn wait(left: usize, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let (due, until) = context.warp.state.copy.due(left, mask);
    for ticket in due {
        finish(context, ticket)?;
    }
    context.machine.check.waited(context.place, Party::Copies, mask, &until);
    Ok(())
}

/// Ends a copy of the executing warp, if it has not ended.
fn finish(context: &mut Context, ticket: u64) -> Result<(), Fault> {
    let Some(at) = context.machine.pending.iter().position(|p| p.ticket == ticket) else {
        return Ok(());
    };
    let pending = context.machine.pending.swap_remove(at);
    let exec::Work::Copy(Work::Copy(copy)) = pending.work else {
        unreachable!("the tickets that a warp keeps are those of its copies")
    };
    let here = std::mem::replace(&mut context.place, pending.place);
    let before = context.machine.check.act(pending.issued, Deed::Copy);
    let result = carry_out(&copy, context);
    context.machine.check.rest(before);
    context.place = here;
    result.map_err(|fault| {
        let line = context.machine.program.info[pending.place.pc as usize].line;
        let message = format!("the copy that PTX line {line} started: {}", fault.message);
        Fault { message, ..fault }
    })
}

fn carry_out(copy: &Lanes, context: &mut Context) -> Result<(), Fault> {
    match copy.bytes {
        4 => carry_out_of::<4>(copy, context),
        8 => carry_out_of::<8>(copy, context),
        _ => carry_out_of::<16>(copy, context),
    }
}

fn carry_out_of<const N: usize>(copy: &Lanes, context: &mut Context) -> Result<(), Fault> {
    const READ: Request = Request::new(Space::Global, AccessKind::Read);
    const WRITE: Request = Request::new(Space::Shared, AccessKind::Write);
    let whole = lanes(copy.mask)
        .filter(|lane| copy.read[*lane] == N as u32)
        .fold(0u32, |mask, lane| mask | 1 << lane);
    let mut values = [[0; N]; 32];
    if whole != 0 {
        values = context.read::<N>(&READ, &copy.from, whole)?;
    }
    for lane in lanes(copy.mask & !whole) {
        values[lane] = [0; N];
        let (from, len) = (copy.from[lane], copy.read[lane] as usize);
        if len == 0 {
            continue;
        }
        if !from.is_multiple_of(N as u64) {
            let message = format!("the source {from:#x} is no multiple of {N}");
            return Err(Fault::new(Kind::Misaligned, message).lanes(1 << lane));
        }
        let out = &mut values[lane][..len];
        context.machine.read_bytes(context.place, &READ, lane as u32, from, out)?;
    }
    context.write::<N>(&WRITE, &copy.to, copy.mask, &values)
}

fn arrive(
    space: Space,
    address: &Address,
    more: bool,
    context: &mut Context,
    mask: u32,
) -> Result<(), Fault> {
    let targets = mbarrier::access(context, space, address, mask, AccessKind::Atomic)?;
    for lane in lanes(mask).filter(|_| more) {
        let Target { rank, offset } = targets[lane];
        let object = mbarrier::find(context.machine, context.place, targets[lane])?;
        object.more().map_err(|what| {
            let message = format!("mbarrier at {offset:#x} of block {rank}: {what}");
            Fault::new(Kind::Mbarrier, message).lanes(1 << lane)
        })?;
    }
    let state = &context.warp.state.copy;
    let all = state.groups.iter().flat_map(|group| &group.copies).chain(&state.open);
    let own = all.filter(|copy| copy.lanes & mask != 0 && context.machine.is_pending(copy.ticket));
    let tickets = own.map(|copy| copy.ticket).collect();
    let work = Work::Arrive(mask, Box::new(targets), tickets);
    let ticket = context.machine.post(context.place, mask, exec::Work::Copy(work));
    let followed = context.warp.state.copy.followed.get_or_insert_default();
    lanes(mask).for_each(|lane| followed[lane] = ticket);
    Ok(())
}

/// A cluster has ended: tells of copies that have ended by themselves, but that nobody waited for.
pub(crate) fn end(machine: &mut Machine, cluster: usize) {
    let mut left = Vec::new();
    for (block, b) in machine.clusters[cluster].blocks.iter().enumerate() {
        for warp in b.warps.iter().flatten() {
            let state = &warp.state.copy;
            for copy in state.groups.iter().flat_map(|group| &group.copies).chain(&state.open) {
                let followed = |lane: usize| {
                    state.followed.as_ref().is_some_and(|followed| followed[lane] > copy.ticket)
                };
                let alone = lanes(copy.lanes).filter(|lane| !followed(*lane));
                let alone = alone.fold(0, |mask, lane| mask | 1 << lane);
                if alone != 0 {
                    left.push((Place { cluster, block, warp: warp.index, pc: copy.pc }, alone));
                }
            }
        }
    }
    for (place, lanes) in left {
        let message = "the warp ended, and nobody had waited for this copy";
        machine.report(place, Kind::Abandoned, lanes, message.into());
    }
}

/// Ends it.
pub(crate) fn complete(work: Work, machine: &mut Machine, place: Place) -> Result<(), Fault> {
    let block = &mut machine.clusters[place.cluster].blocks[place.block];
    let mut warp =
        block.warps[place.warp].take().expect("no warp runs while the scheduler ends work");
    let mut context = Context { warp: &mut warp, machine, place };
    let result = match work {
        Work::Copy(copy) => carry_out(&copy, &mut context),
        Work::Arrive(mask, targets, tickets) => {
            let ended = tickets.iter().try_for_each(|ticket| finish(&mut context, *ticket));
            ended.and_then(|()| arrived(mask, &targets, &mut context))
        }
    };
    machine.clusters[place.cluster].blocks[place.block].warps[place.warp] = Some(warp);
    result
}

fn arrived(mask: u32, targets: &[Target; 32], context: &mut Context) -> Result<(), Fault> {
    for lane in lanes(mask) {
        let step = Step { arrivals: 1, ..Step::default() };
        let before = mbarrier::step(context.machine, context.place, targets[lane], step)
            .map_err(|fault| fault.lanes(1 << lane))?;
        let event = Event::Arrive(targets[lane].ordered(before.phase));
        context.machine.check.event(context.place, 1 << lane, event)?;
    }
    Ok(())
}

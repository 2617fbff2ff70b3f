//! Groups of bulk work, thread by thread, and waiting for them.

use super::work::{self, Stored};
use crate::check::{Issued, Party};
use crate::error::{Fault, Kind};
use crate::exec::{self, Context, Machine, Pending, Place, lanes};

/// A store of a thread.
#[derive(Debug)]
enum Item {
    /// It has not read its source yet, unless it has ended: ticket, and instruction.
    Posted(u64, u32),
    /// It has read, and will write.
    Read(Box<Late>),
}

/// A store that has read its source.
#[derive(Debug)]
struct Late {
    ticket: u64,
    place: Place,
    stored: Stored,
    issued: Option<Box<Issued>>,
}

/// Stores that a lane committed together.
#[derive(Debug)]
struct Group {
    lane: usize,
    /// Ticket of the last of them.
    latest: u32,
    items: Vec<Item>,
}

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Stores that no group holds yet: lane, ticket, instruction.
    open: Vec<(usize, u64, u32)>,
    /// Groups that have not ended, oldest first.
    groups: Vec<Group>,
    /// The latest store of each lane in a group that had ended when only its reads were waited for.
    ended: Option<Box<[u32; 32]>>,
}

impl WarpState {
    /// A lane has started a store.
    pub fn started(&mut self, lane: usize, ticket: u64, pc: u32) {
        self.open.push((lane, ticket, pc));
    }

    /// The lanes in `mask` commit what they have started.
    pub fn commit(&mut self, mask: u32) {
        for lane in lanes(mask) {
            let own = self.open.extract_if(.., |(of, ..)| *of == lane);
            let items: Vec<Item> = own.map(|(_, ticket, pc)| Item::Posted(ticket, pc)).collect();
            let latest = items.last().map_or(0, |item| item.ticket() as u32);
            self.groups.push(Group { lane, latest, items });
        }
    }
}

/// Ends, or only reads the sources of, all groups of the lanes in `mask` but the `left` latest of each.
pub(super) fn wait(left: usize, read: bool, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let mut groups = std::mem::take(&mut context.warp.state.bulk.groups);
    let (mut seen, mut until) = ([0; 32], [0; 32]);
    let mut result = Ok(());
    for group in groups.iter_mut().rev().filter(|group| mask >> group.lane & 1 == 1) {
        seen[group.lane] += 1;
        if seen[group.lane] <= left {
            continue;
        }
        until[group.lane] = until[group.lane].max(group.latest);
        for item in std::mem::take(&mut group.items) {
            match advance(item, read, context) {
                Ok(rest) => group.items.extend(rest),
                Err(fault) => result = Err(fault),
            }
        }
    }
    context.machine.check.waited(context.place, Party::Reads, mask, &until);
    if !read {
        let ended = context.warp.state.bulk.ended.as_deref().unwrap_or(&[0; 32]);
        let until = std::array::from_fn(|lane| until[lane].max(ended[lane]));
        context.machine.check.waited(context.place, Party::Writes, mask, &until);
    }
    // Groups whose reads alone have ended are still to be waited for.
    let mut due = seen.map(|seen: usize| seen.saturating_sub(left));
    groups.retain(|group| {
        let waited = mask >> group.lane & 1 == 1 && due[group.lane] > 0;
        due[group.lane] = due[group.lane].saturating_sub(waited as usize);
        let gone = waited && (!read || group.items.is_empty());
        if gone && read {
            let ended = context.warp.state.bulk.ended.get_or_insert_default();
            ended[group.lane] = ended[group.lane].max(group.latest);
        }
        !gone
    });
    context.warp.state.bulk.groups = groups;
    result
}

impl Item {
    fn ticket(&self) -> u64 {
        match self {
            Item::Posted(ticket, _) => *ticket,
            Item::Read(late) => late.ticket,
        }
    }
}

fn advance(item: Item, read: bool, context: &mut Context) -> Result<Option<Item>, Fault> {
    let machine = &mut *context.machine;
    let late = match item {
        Item::Read(late) => late,
        Item::Posted(ticket, _) => {
            let Some(at) = machine.pending.iter().position(|p| p.ticket == ticket) else {
                return Ok(None);
            };
            let Pending { place, work, issued, .. } = machine.pending.swap_remove(at);
            let exec::Work::Bulk(work) = work else {
                unreachable!("the tickets that a warp keeps are those of its stores")
            };
            let before = machine.check.act(issued, false);
            let stored = work::read(work, machine, place);
            let issued = machine.check.rest(before);
            let stored = stored.map_err(|fault| told(machine, place, fault))?;
            Box::new(Late { ticket, place, stored, issued })
        }
    };
    let keep = read && (machine.options.late || machine.random.below(2) == 0);
    if keep {
        return Ok(Some(Item::Read(late)));
    }
    let place = late.place;
    end_late(*late, machine).map_err(|fault| told(machine, place, fault))?;
    Ok(None)
}

fn end_late(late: Late, machine: &mut Machine) -> Result<(), Fault> {
    let before = machine.check.act(late.issued, false);
    let result = work::write(&late.stored, machine, late.place);
    machine.check.rest(before);
    result
}

fn told(machine: &Machine, place: Place, fault: Fault) -> Fault {
    let line = machine.program.info[place.pc as usize].line;
    let message = format!("the store that PTX line {line} started: {}", fault.message);
    Fault { message, ..fault }
}

/// A cluster has ended: stores whose sources were read write at last; the others nobody had waited for.
pub(crate) fn end(machine: &mut Machine, cluster: usize) -> Result<(), (Place, Fault)> {
    let (mut late, mut left) = (Vec::new(), Vec::new());
    for (block, b) in machine.clusters[cluster].blocks.iter_mut().enumerate() {
        for warp in b.warps.iter_mut().flatten() {
            let (state, warp) = (&mut warp.state.bulk, warp.index);
            let place = |pc: u32| Place { cluster, block, warp, pc };
            left.extend(state.open.drain(..).map(|(lane, _, pc)| (place(pc), lane)));
            for Group { lane, items, .. } in state.groups.drain(..) {
                for item in items {
                    match item {
                        Item::Posted(_, pc) => left.push((place(pc), lane)),
                        Item::Read(item) => late.push(item),
                    }
                }
            }
        }
    }
    for (place, lane) in left {
        let message = "the warp ended, and nobody had waited for this store to read its source";
        machine.report(place, Kind::Abandoned, 1 << lane, message.into());
    }
    for item in late {
        let place = item.place;
        end_late(*item, machine).map_err(|fault| (place, fault))?;
    }
    Ok(())
}

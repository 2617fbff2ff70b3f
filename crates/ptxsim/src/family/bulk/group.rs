//! Groups of bulk work, thread by thread, and waiting for them.

use super::work::{self, Stored};
use crate::check::{Deed, Issued, Party};
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

/// Stores that a lane committed together, and that have not all ended.
#[derive(Debug)]
struct Group {
    lane: usize,
    /// How many groups the lane had committed before.
    number: u32,
    items: Vec<Item>,
}

/// The groups of a lane whose writes it has not waited for: by number the ticket of the latest store in or before each.
#[derive(Debug, Default)]
struct Committed {
    /// Number of the first of them.
    first: u32,
    latest: Vec<u32>,
}

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Stores that no group holds yet: lane, ticket, instruction.
    open: Vec<(usize, u64, u32)>,
    /// Oldest first.
    groups: Vec<Group>,
    committed: Option<Box<[Committed; 32]>>,
}

impl Committed {
    /// How many groups are older than the `left` latest.
    fn before(&self, left: usize) -> u32 {
        (self.first + self.latest.len() as u32).saturating_sub(u32::try_from(left).unwrap_or(!0))
    }

    /// The latest store of the first `due` groups; 0 where all of them were waited for.
    fn until(&self, due: u32) -> u32 {
        due.checked_sub(self.first + 1).map_or(0, |index| self.latest[index as usize])
    }
}

impl WarpState {
    /// A lane has started a store.
    pub fn started(&mut self, lane: usize, ticket: u64, pc: u32) {
        self.open.push((lane, ticket, pc));
    }

    /// The lanes in `mask` commit what they have started.
    pub fn commit(&mut self, mask: u32) {
        let committed = self.committed.get_or_insert_default();
        for lane in lanes(mask) {
            let own = self.open.extract_if(.., |(of, ..)| *of == lane);
            let items: Vec<Item> = own.map(|(_, ticket, pc)| Item::Posted(ticket, pc)).collect();
            let Committed { first, latest } = &mut committed[lane];
            let number = *first + latest.len() as u32;
            let before = latest.last().copied().unwrap_or(0);
            latest.push(items.last().map_or(before, |item| item.ticket() as u32));
            self.groups.push(Group { lane, number, items });
        }
    }
}

/// Ends, or only reads the sources of, all groups of the lanes in `mask` but the `left` latest of each.
pub(super) fn wait(left: usize, read: bool, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let mut groups = std::mem::take(&mut context.warp.state.bulk.groups);
    let mut committed = context.warp.state.bulk.committed.take().unwrap_or_default();
    let due: [u32; 32] = std::array::from_fn(|lane| committed[lane].before(left));
    let until = std::array::from_fn(|lane| committed[lane].until(due[lane]));
    let mut result = Ok(());
    let waited = |g: &Group| mask >> g.lane & 1 == 1 && g.number < due[g.lane];
    for group in groups.iter_mut().rev().filter(|group| waited(group)) {
        for item in std::mem::take(&mut group.items) {
            match advance(item, read, context) {
                Ok(rest) => group.items.extend(rest),
                Err(fault) => result = Err(fault),
            }
        }
    }
    groups.retain(|group| !waited(group) || !group.items.is_empty());
    context.machine.check.waited(context.place, Party::Reads, mask, &until);
    if !read {
        context.machine.check.waited(context.place, Party::Writes, mask, &until);
        for lane in lanes(mask) {
            let Committed { first, latest } = &mut committed[lane];
            latest.drain(..due[lane].saturating_sub(*first) as usize);
            *first = (*first).max(due[lane]);
        }
    }
    context.warp.state.bulk.groups = groups;
    context.warp.state.bulk.committed = Some(committed);
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
            let before = machine.check.act(issued, Deed::Store);
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
    let before = machine.check.act(late.issued, Deed::Store);
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

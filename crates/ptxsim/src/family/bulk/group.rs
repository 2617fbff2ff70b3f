//! Groups of bulk work, thread by thread, and waiting for them.

use super::work::{self, Stored};
use crate::error::Fault;
use crate::exec::{self, Context, Machine, Place, lanes};

/// A store of a thread.
#[derive(Debug)]
enum Item {
    /// It has not read its source yet, unless it has ended.
    Posted(u64),
    /// It has read, and will write.
    Read(Place, Box<Stored>),
}

/// Stores that a lane committed together.
#[derive(Debug)]
struct Group {
    lane: usize,
    items: Vec<Item>,
}

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Stores that no group holds yet, and their lanes.
    open: Vec<(usize, u64)>,
    /// Groups that have not ended, oldest first.
    groups: Vec<Group>,
}

impl WarpState {
    /// A lane has started a store.
    pub fn started(&mut self, lane: usize, ticket: u64) {
        self.open.push((lane, ticket));
    }

    /// The lanes in `mask` commit what they have started.
    pub fn commit(&mut self, mask: u32) {
        for lane in lanes(mask) {
            let own = self.open.extract_if(.., |(of, _)| *of == lane);
            let items = own.map(|(_, ticket)| Item::Posted(ticket)).collect();
            self.groups.push(Group { lane, items });
        }
    }
}

/// Ends, or only reads the sources of, all groups of the lanes in `mask` but the `left` latest of each.
pub(super) fn wait(left: usize, read: bool, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let mut groups = std::mem::take(&mut context.warp.state.bulk.groups);
    let mut seen = [0; 32];
    let mut result = Ok(());
    for group in groups.iter_mut().rev().filter(|group| mask >> group.lane & 1 == 1) {
        seen[group.lane] += 1;
        if seen[group.lane] <= left {
            continue;
        }
        for item in std::mem::take(&mut group.items) {
            match advance(item, read, context) {
                Ok(rest) => group.items.extend(rest),
                Err(fault) => result = Err(fault),
            }
        }
    }
    // Groups whose reads alone have ended are still to be waited for.
    let mut due = seen.map(|seen: usize| seen.saturating_sub(left));
    groups.retain(|group| {
        let waited = mask >> group.lane & 1 == 1 && due[group.lane] > 0;
        due[group.lane] = due[group.lane].saturating_sub(waited as usize);
        !waited || read && !group.items.is_empty()
    });
    context.warp.state.bulk.groups = groups;
    result
}

fn advance(item: Item, read: bool, context: &mut Context) -> Result<Option<Item>, Fault> {
    let machine = &mut *context.machine;
    let (place, stored) = match item {
        Item::Read(place, stored) => (place, stored),
        Item::Posted(ticket) => {
            let Some(at) = machine.pending.iter().position(|p| p.ticket == ticket) else {
                return Ok(None);
            };
            let pending = machine.pending.swap_remove(at);
            let exec::Work::Bulk(work) = pending.work else {
                unreachable!("the tickets that a warp keeps are those of its stores")
            };
            let stored = work::read(work, machine, pending.place)
                .map_err(|fault| told(machine, pending.place, fault))?;
            (pending.place, Box::new(stored))
        }
    };
    let keep = read && (machine.options.late || machine.random.below(2) == 0);
    if keep {
        return Ok(Some(Item::Read(place, stored)));
    }
    work::write(&stored, machine, place).map_err(|fault| told(machine, place, fault))?;
    Ok(None)
}

fn told(machine: &Machine, place: Place, fault: Fault) -> Fault {
    let line = machine.program.info[place.pc as usize].line;
    let message = format!("the store that PTX line {line} started: {}", fault.message);
    Fault { message, ..fault }
}

/// A cluster has ended: stores whose sources were read write at last. What had not read is the scheduler's to report.
pub(crate) fn end(machine: &mut Machine, cluster: usize) -> Result<(), (Place, Fault)> {
    let mut left = Vec::new();
    for block in &mut machine.clusters[cluster].blocks {
        for warp in block.warps.iter_mut().flatten() {
            left.extend(warp.state.bulk.groups.drain(..).flat_map(|group| group.items));
        }
    }
    for item in left {
        if let Item::Read(place, stored) = item {
            work::write(&stored, machine, place).map_err(|fault| (place, fault))?;
        }
    }
    Ok(())
}

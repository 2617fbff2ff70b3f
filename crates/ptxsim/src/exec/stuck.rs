//! What is told of a machine in which nothing goes on any more.

use super::{Group, Machine, Place, Wait};
use crate::error::{Fault, Finding, Kind};
use crate::family;
use crate::program::Op;

impl Machine<'_> {
    /// No warp can go on: what each waits for, told at one of them.
    pub(super) fn deadlock(&mut self, order: &[Place]) -> Box<Finding> {
        let mut message = String::from("no warp can go on");
        for place in order {
            let Place { cluster, block, warp, .. } = *place;
            let id = self.clusters[cluster].blocks[block].id;
            let Some(waiting) = self.clusters[cluster].blocks[block].warps[warp].take() else {
                continue;
            };
            for group in &waiting.groups {
                let info = &self.program.info[group.pc as usize];
                let what = match &group.wait {
                    None => "nothing".into(),
                    Some(Wait::Converge(lanes)) => {
                        format!("lanes {:#010x} to come here", lanes & waiting.alive)
                    }
                    Some(Wait::Meet(mask)) => format!(
                        "lanes {:#010x} to come to the same with the mask {mask:#010x}",
                        mask & waiting.alive
                    ),
                    Some(wait) => family::describe(wait, self, Place { pc: group.pc, ..*place }),
                };
                let source = match info.location.line {
                    0 => String::new(),
                    line => format!(" (CUDA line {line})"),
                };
                message += &format!(
                    "\n  block ({}, {}, {}) warp {warp} lanes {:#010x} at PTX line {}{source}, `{}`, wait for {what}",
                    id[0], id[1], id[2], group.lanes, info.line, info.text
                );
            }
            self.clusters[cluster].blocks[block].warps[warp] = Some(waiting);
        }
        let warps = || {
            order.iter().filter_map(|place| {
                let Place { cluster, block, warp, .. } = *place;
                Some((place, self.clusters[cluster].blocks[block].warps[warp].as_ref()?))
            })
        };
        // Lanes of one warp that wait for each other at barriers in different places never meet.
        let apart = warps().find_map(|(place, warp)| {
            let split = |group: &&Group| {
                let barrier = matches!(
                    self.program.code[group.pc as usize].op,
                    Op::Barrier(family::barrier::Op::Block(_)) | Op::Cluster(_)
                );
                barrier && matches!(group.wait, Some(Wait::Converge(_)))
            };
            let group = warp.groups.iter().find(split).filter(|_| warp.groups.len() > 1)?;
            Some((Place { pc: group.pc, ..*place }, group.lanes))
        });
        if let Some((place, lanes)) = apart {
            let message = format!("some lanes of the warp do not come to this barrier: {message}");
            return self.blame(place, Fault::new(Kind::Barrier, message).lanes(lanes));
        }
        let (place, lanes) = self.somebody(order).unwrap_or((order[0], 0));
        self.blame(place, Fault::new(Kind::Deadlock, message).lanes(lanes))
    }

    /// Where one of the warps is and with which lanes: one that can go on, if there is any.
    pub(super) fn somebody(&self, order: &[Place]) -> Option<(Place, u32)> {
        let groups = order.iter().flat_map(|place| {
            let Place { cluster, block, warp, .. } = *place;
            let warp = self.clusters[cluster].blocks[block].warps[warp].as_ref();
            let groups = warp.map_or(&[][..], |warp| &warp.groups);
            groups.iter().map(|group| (Place { pc: group.pc, ..*place }, group))
        });
        let (place, group) = groups.min_by_key(|(_, group)| group.wait.is_some())?;
        Some((place, group.lanes))
    }
}

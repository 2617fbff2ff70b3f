//! From conflicts to findings with the other party's place.

use super::Conflict;
use crate::error::{Finding, Kind};
use crate::exec::access::Region;
use crate::exec::{Access, AccessKind, Machine, Place, lanes};
use crate::program::Program;

impl Machine<'_> {
    /// Tells the checker of an access, and reports what it finds.
    pub(crate) fn look(&mut self, place: Place, access: &Access) {
        if let Region::Global(index) = access.region
            && !self.may_change(index)
        {
            return;
        }
        let Some(conflict) = self.check.access(place, access) else { return };
        let verb = match access.request.kind {
            AccessKind::Read => "reads",
            AccessKind::Write => "writes",
            AccessKind::Atomic => "atomically changes",
        };
        let what = match access.region {
            Region::Global(index) => self.memory.allocation(index).name.clone(),
            Region::Shared(rank) => format!("shared memory of block {rank} of the cluster"),
            Region::Local | Region::Param => return,
        };
        let other = if conflict.wrote { "written" } else { "read" };
        let why = match conflict.kind {
            Kind::MissingInitFence => {
                "with no fence.mbarrier_init that shows it across the relaxed barrier of the cluster"
            }
            Kind::MissingProxyFence => "with no fence.proxy.async between the two",
            _ => "with nothing that orders the two",
        };
        let message = format!(
            "it {verb} byte {} of {what}, {other} by {}, {why}",
            conflict.offset,
            self.party(&conflict)
        );
        self.report(place, conflict.kind, conflict.lanes, message);
    }

    /// All threads of a block have exited: reports accesses of other blocks to its shared memory that may come later.
    pub(crate) fn leave(&mut self, place: Place) {
        let Some(conflict) = self.check.leave(place) else { return };
        let message = format!(
            "the block exits, and nothing orders that behind the access to its shared memory by {}",
            self.party(&conflict)
        );
        self.report(place, conflict.kind, 0, message);
    }

    /// The other party of a conflict, in words.
    fn party(&self, conflict: &Conflict) -> String {
        let warps = self.shape.block.iter().product::<u32>().div_ceil(32);
        let blocks: u32 = self.shape.cluster.iter().product();
        let number = conflict.warp / warps;
        let id = self.clusters[(number / blocks) as usize].blocks[(number % blocks) as usize].id;
        self.program.words(conflict.pc, id, conflict.warp % warps, conflict.other_lanes)
    }

    /// Whether the launch may write an allocation; where it may not, there is nothing to race with.
    #[inline]
    fn may_change(&self, index: usize) -> bool {
        self.memory.allocation(index).writable && self.may_write.is_none_or(|may| may[index])
    }

    /// Reports lanes of one instruction that write different values to one byte.
    #[inline]
    pub(crate) fn collide<const N: usize>(
        &mut self,
        place: Place,
        offsets: &[u64; 32],
        mask: u32,
        values: &[[u8; N]; 32],
    ) {
        let mut last = None;
        let rising = lanes(mask).all(|lane| {
            let free = last.is_none_or(|end| offsets[lane] >= end);
            last = Some(offsets[lane] + N as u64);
            free
        });
        if rising {
            return;
        }
        for a in lanes(mask) {
            for b in lanes(mask & !(((1u64 << (a + 1)) - 1) as u32)) {
                // Accesses are aligned to their size: they overlap whole or not at all.
                if offsets[a] == offsets[b] && values[a] != values[b] {
                    let message = format!(
                        "lanes {a} and {b} write different values to byte {} with one instruction",
                        offsets[a]
                    );
                    self.report(place, Kind::Race, 1 << a | 1 << b, message);
                    return;
                }
            }
        }
    }
}

impl Program {
    /// Who executes an instruction, and where it is, in words.
    pub(crate) fn words(&self, pc: u32, [x, y, z]: [u32; 3], warp: u32, lanes: u32) -> String {
        let there = &self.info[pc as usize];
        let source = match there.location.line {
            0 => String::new(),
            line => format!("CUDA line {line}, "),
        };
        format!(
            "block ({x}, {y}, {z}) warp {warp} lanes {lanes:#010x} at PTX line {} ({source}`{}`)",
            there.line, there.text
        )
    }

    /// A finding at an instruction, of nobody yet.
    pub(crate) fn finding(&self, pc: u32, kind: Kind, message: String) -> Finding {
        let info = &self.info[pc as usize];
        let file = self.files.iter().find(|(n, _)| *n == info.location.file);
        Finding {
            kind,
            message,
            kernel: self.entry.clone(),
            instruction: info.text.clone(),
            line: info.line,
            file: file.map(|(_, name)| name.clone()).unwrap_or_default(),
            source_line: info.location.line,
            block: [0; 3],
            warp: 0,
            lanes: 0,
            count: 1,
        }
    }
}

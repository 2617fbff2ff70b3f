//! Which registers each lane has written.
//!
//! Compilers pass undefined values on where nothing depends on them: moves and selections hand the mark on, stores, calls and
//! `wgmma` (whose `scale-d` may discard an accumulator) are silent about values; every other use is a mistake, and so is a
//! predicate that decides anything: a guard, what `selp` selects by, a vote.

use crate::program::{Fill, Info, PSource, Place, Program, Reg};

/// Lanes that have written, by register: 32-bit rows, 64-bit rows, predicates.
type Written = [Vec<u32>; 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Move,
    /// Its result is undefined where none of this many operands is defined.
    Select(usize),
    Store,
    /// Calls hand predicates on, too.
    Call,
    Report,
}

/// Registers of all warps of a machine.
#[derive(Debug)]
pub(super) struct Registers {
    fresh: Written,
    uses: Vec<Use>,
    warps: Vec<Written>,
}

impl Registers {
    /// For warps of a program.
    pub fn new(program: &Program) -> Registers {
        let rows = |fills: &[Fill]| {
            fills.iter().map(|f| if matches!(f, Fill::Nothing) { 0 } else { !0 }).collect()
        };
        let mut predicates = vec![0; program.predicates];
        if let Some(constant) = predicates.first_mut() {
            *constant = !0;
        }
        let mut fresh = [rows(&program.fill32), rows(&program.fill64), predicates];
        // Calls fill these without an instruction that names them.
        for place in program.functions.iter().flat_map(|f| f.params.iter().chain(&f.returns)) {
            if let Place::Register(register) = place {
                slots(*register).for_each(|(file, row)| fresh[file][row] = !0);
            }
        }
        let uses = |info: &Info| match info.text.split('.').next() {
            Some("mov") => Use::Move,
            Some("selp") => Use::Select(info.reads.iter().filter(|r| !is_predicate(r)).count()),
            Some("st" | "wgmma") => Use::Store,
            Some("call" | "ret") => Use::Call,
            _ => Use::Report,
        };
        Registers { fresh, uses: program.info.iter().map(uses).collect(), warps: Vec::new() }
    }

    /// A warp begins.
    pub fn start(&mut self, warp: usize) {
        if self.warps.len() <= warp {
            self.warps.resize(warp + 1, Written::default());
        }
        self.warps[warp] = self.fresh.clone();
    }

    /// Lanes of `group` whose guard was never written.
    #[inline]
    pub fn guard(&self, warp: usize, guard: Option<PSource>, group: u32) -> u32 {
        guard.map_or(0, |guard| group & !self.warps[warp][2][guard.register.0 as usize])
    }

    /// Lanes of `mask` for which the instruction uses what was never written; notes what it writes.
    #[inline]
    pub fn execute(&mut self, warp: usize, pc: u32, info: &Info, mask: u32) -> u32 {
        let written = &mut self.warps[warp];
        let (mut known, mut decided, mut some) = (mask, mask, 0);
        for register in &info.reads {
            let mut lanes = mask;
            slots(*register).for_each(|(file, row)| lanes &= written[file][row]);
            known &= lanes;
            if is_predicate(register) {
                decided &= lanes;
            } else {
                some |= lanes;
            }
        }
        let how = self.uses[pc as usize];
        let defined = match how {
            Use::Move => known,
            // With fewer than two, the other is a constant.
            Use::Select(2) => some,
            _ => mask,
        };
        for register in &info.writes {
            slots(*register).for_each(|(file, row)| {
                let lanes = &mut written[file][row];
                *lanes = *lanes & !mask | defined;
            });
        }
        match how {
            Use::Report => mask & !known,
            Use::Select(_) | Use::Store => mask & !decided,
            Use::Move | Use::Call => 0,
        }
    }
}

fn is_predicate(register: &Reg) -> bool {
    matches!(register, Reg::P(_))
}

/// The rows of a register: file and index.
#[inline]
fn slots(register: Reg) -> impl Iterator<Item = (usize, usize)> {
    let (file, row, count) = match register {
        Reg::R32(r) => (0, r.0, 1),
        Reg::R64(r) => (1, r.0, 1),
        Reg::R128(r) => (1, r.0, 2),
        Reg::P(p) => (2, p.0, 1),
    };
    (row as usize..row as usize + count).map(move |row| (file, row))
}

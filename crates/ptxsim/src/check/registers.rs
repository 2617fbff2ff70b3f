//! Which registers each lane has written.
//!
//! Compilers pass undefined values on where nothing depends on them: moves and selections hand the mark on, stores, calls and
//! `wgmma` (whose `scale-d` may discard an accumulator) are silent about values; every other use is a mistake, and so is a
//! predicate that decides anything: a guard, what `selp` selects by, a vote.

use crate::program::{Fill, PSource, Place, Program, Reg};

/// Lanes that have written, by row: rows of 32 bits, of 64 bits, predicates.
type Written = Vec<u32>;

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

/// What an instruction does with rows: where they begin in [`Plan::rows`]. Predicates that it reads come first, then values
/// that it reads, then what it writes.
#[derive(Debug, Clone, Copy)]
struct Step {
    predicates: u32,
    values: u32,
    writes: u32,
    end: u32,
    how: Use,
}

/// What the instructions of a program do with registers.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What a warp begins with.
    fresh: Written,
    /// The first row of predicates.
    predicates: usize,
    /// By instruction.
    steps: Vec<Step>,
    rows: Vec<u32>,
}

/// Registers of all warps of a machine.
#[derive(Debug)]
pub(super) struct Registers<'a> {
    plan: &'a Plan,
    warps: Vec<Written>,
}

impl Plan {
    /// For a program.
    pub fn new(program: &Program) -> Plan {
        let filled = |fill: &Fill| if matches!(fill, Fill::Nothing) { 0 } else { !0 };
        let mut fresh: Written = program.fill32.iter().chain(&program.fill64).map(filled).collect();
        let files = [0, program.fill32.len(), fresh.len()];
        fresh.resize(files[2] + program.predicates, 0);
        if let Some(constant) = fresh.get_mut(files[2]) {
            *constant = !0;
        }
        // Calls fill these without an instruction that names them.
        for place in program.functions.iter().flat_map(|f| f.params.iter().chain(&f.returns)) {
            if let Place::Register(register) = place {
                slots(files, *register).for_each(|row| fresh[row] = !0);
            }
        }
        let (mut steps, mut rows) = (Vec::new(), Vec::new());
        for info in &program.info {
            let mut put = |list: &[Reg], predicates: Option<bool>| {
                let begin = rows.len() as u32;
                let wanted = |r: &&Reg| predicates.is_none_or(|wanted| is_predicate(r) == wanted);
                let chosen = list.iter().filter(wanted);
                rows.extend(chosen.flat_map(|r| slots(files, *r)).map(|row| row as u32));
                begin
            };
            let predicates = put(&info.reads, Some(true));
            let values = put(&info.reads, Some(false));
            let writes = put(&info.writes, None);
            let how = match info.text.split('.').next() {
                Some("mov") => Use::Move,
                Some("selp") => Use::Select((writes - values) as usize),
                Some("st" | "wgmma") => Use::Store,
                Some("call" | "ret") => Use::Call,
                _ => Use::Report,
            };
            steps.push(Step { predicates, values, writes, end: rows.len() as u32, how });
        }
        Plan { fresh, predicates: files[2], steps, rows }
    }
}

impl<'a> Registers<'a> {
    /// For warps of a program.
    pub fn new(plan: &'a Plan) -> Registers<'a> {
        Registers { plan, warps: Vec::new() }
    }

    /// A warp begins.
    pub fn start(&mut self, warp: usize) {
        if self.warps.len() <= warp {
            self.warps.resize(warp + 1, Written::default());
        }
        self.warps[warp].clone_from(&self.plan.fresh);
    }

    /// Lanes of `group` whose guard was never written.
    #[inline]
    pub fn guard(&self, warp: usize, guard: Option<PSource>, group: u32) -> u32 {
        let row = |guard: PSource| self.plan.predicates + guard.register.0 as usize;
        guard.map_or(0, |guard| group & !self.warps[warp][row(guard)])
    }

    /// Lanes of `mask` for which the instruction uses what was never written; notes what it writes.
    #[inline]
    pub fn execute(&mut self, warp: usize, pc: u32, mask: u32) -> u32 {
        let Step { predicates, values, writes, end, how } = self.plan.steps[pc as usize];
        let rows = |from: u32, to: u32| &self.plan.rows[from as usize..to as usize];
        let written = &mut self.warps[warp][..];
        let decided =
            rows(predicates, values).iter().fold(mask, |m, row| m & written[*row as usize]);
        let (mut known, mut some) = (decided, 0);
        for row in rows(values, writes) {
            known &= written[*row as usize];
            some |= mask & written[*row as usize];
        }
        let defined = match how {
            Use::Move => known,
            // With fewer than two, the other is a constant.
            Use::Select(2) => some,
            _ => mask,
        };
        for row in rows(writes, end) {
            let lanes = &mut written[*row as usize];
            *lanes = *lanes & !mask | defined;
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

/// The rows of a register, where those of each file begin at `files`.
fn slots(files: [usize; 3], register: Reg) -> impl Iterator<Item = usize> {
    let (file, row, count) = match register {
        Reg::R32(r) => (0, r.0, 1),
        Reg::R64(r) => (1, r.0, 1),
        Reg::R128(r) => (1, r.0, 2),
        Reg::P(p) => (2, p.0, 1),
    };
    let first = files[file] + row as usize;
    first..first + count
}

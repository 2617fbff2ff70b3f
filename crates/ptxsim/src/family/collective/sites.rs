//! Lanes that come together at several instructions of one kind, each with operands of its own.

use super::{Op, What, together};
use crate::exec::{Context, NOTHING, Registers, Row32, Row64};
use crate::program::{self, P, PSource, R32, R64};

/// Rows into which the operands of all sites are gathered.
#[derive(Clone, Copy)]
struct Rows {
    narrow: [R32; 3],
    wide: R64,
    vote: P,
}

/// Does together what the lanes of each site came for, and leaves to each lane what its own instruction writes.
pub(crate) fn meet(context: &mut Context, sites: &[(u32, u32)]) {
    let program = context.machine.program;
    let what = |pc: u32| match &program.code[pc as usize].op {
        program::Op::Collective(Op::Sync(sync)) => sync.what,
        _ => unreachable!("these wait to meet others of their kind"),
    };
    let all = sites.iter().fold(0, |m, (_, lanes)| m | lanes);
    let before = context.warp.registers.clone();
    let (mut gathered, rows) = extended(&before);
    for (pc, lanes) in sites {
        what(*pc).gather(&before, *lanes, &mut gathered, &rows);
    }
    let mut after = before;
    for (pc, lanes) in sites {
        context.warp.registers = gathered.clone();
        context.place.pc = *pc;
        together(&what(*pc).of(&rows), context, all);
        what(*pc).keep(&context.warp.registers, *lanes, &mut after);
    }
    context.warp.registers = after;
}

/// The same registers, and rows behind them.
fn extended(registers: &Registers) -> (Registers, Rows) {
    let mut registers = registers.clone();
    let (narrow, wide) = (registers.r32.len() as u16, registers.r64.len() as u16);
    let vote = registers.predicates.len() as u16;
    registers.r32.extend([Row32([NOTHING; 32]); 3]);
    registers.r64.push(Row64([0; 32]));
    registers.predicates.push(0);
    let narrow = [0, 1, 2].map(|k| R32(narrow + k));
    (registers, Rows { narrow, wide: R64(wide), vote: P(vote) })
}

/// What an instruction takes: words, and a word of 64 bits or a predicate.
type Sources = ([Option<R32>; 3], Option<R64>, Option<PSource>);

impl What {
    fn sources(&self) -> Sources {
        match *self {
            What::Shuffle { a, b, c, .. } => ([Some(a), Some(b), Some(c)], None, None),
            What::Ballot { a, .. } | What::Vote { a, .. } => ([None; 3], None, Some(a)),
            What::MatchAny32 { a, .. } | What::MatchAll32 { a, .. } | What::Reduce { a, .. } => {
                ([Some(a), None, None], None, None)
            }
            What::MatchAny64 { a, .. } | What::MatchAll64 { a, .. } => ([None; 3], Some(a), None),
            What::Elect { .. } => ([None; 3], None, None),
        }
    }

    /// The operands of `lanes`, into the rows.
    fn gather(&self, from: &Registers, lanes: u32, to: &mut Registers, rows: &Rows) {
        let (narrow, wide, vote) = self.sources();
        for (row, source) in rows.narrow.iter().zip(narrow) {
            if let Some(source) = source {
                to.set32(*row, *from.get32(source), lanes);
            }
        }
        if let Some(source) = wide {
            to.set64(rows.wide, *from.get64(source), lanes);
        }
        if let Some(source) = vote {
            to.set_predicate(rows.vote, from.predicate(source), lanes);
        }
    }

    /// The same with its operands in the rows.
    fn of(self, rows: &Rows) -> What {
        let ([first, second, third], wide) = (rows.narrow, rows.wide);
        let vote = PSource { register: rows.vote, flip: 0 };
        match self {
            What::Shuffle { mode, d, p, .. } => {
                What::Shuffle { mode, d, p, a: first, b: second, c: third }
            }
            What::Ballot { d, .. } => What::Ballot { d, a: vote },
            What::Vote { vote: kind, p, .. } => What::Vote { vote: kind, p, a: vote },
            What::MatchAny32 { d, .. } => What::MatchAny32 { d, a: first },
            What::MatchAny64 { d, .. } => What::MatchAny64 { d, a: wide },
            What::MatchAll32 { d, p, .. } => What::MatchAll32 { d, p, a: first },
            What::MatchAll64 { d, p, .. } => What::MatchAll64 { d, p, a: wide },
            What::Reduce { reduce, d, .. } => What::Reduce { reduce, d, a: first },
            What::Elect { .. } => self,
        }
    }

    /// What it has written for `lanes`.
    fn keep(&self, from: &Registers, lanes: u32, to: &mut Registers) {
        let (d, p) = match *self {
            What::Shuffle { d, p, .. } => (Some(d), p),
            What::MatchAll32 { d, p, .. } | What::MatchAll64 { d, p, .. } => (Some(d), p),
            What::Elect { d, p } => (Some(d), Some(p)),
            What::Vote { p, .. } => (None, Some(p)),
            What::Ballot { d, .. }
            | What::MatchAny32 { d, .. }
            | What::MatchAny64 { d, .. }
            | What::Reduce { d, .. } => (Some(d), None),
        };
        if let Some(d) = d {
            to.set32(d, *from.get32(d), lanes);
        }
        if let Some(p) = p {
            to.set_predicate(p, from.predicates[p.0 as usize], lanes);
        }
    }
}

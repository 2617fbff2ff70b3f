//! What a family's `lower` works with: it takes the instruction apart, and whatever is left over is an error.
//!
//! Every modifier and every operand must be taken; [`Lowering::finish`] refuses the instruction by name otherwise,
//! so a family that does not know a form never runs it by accident. Registers that are taken are noted as read or
//! written, which is all that the checks of registers need.

use super::build::Builder;
use super::{P, PSource, Reg, Space, Type};
use crate::ast::{Instruction, Operand};
use crate::error::{Error, Result};

/// One instruction on its way into the program.
pub(crate) struct Lowering<'a, 'm> {
    pub(super) instruction: &'a Instruction,
    pub(super) builder: &'a mut Builder<'m>,
    modifiers: u64,
    operands: u32,
    pub(super) reads: Vec<Reg>,
    pub(super) writes: Vec<Reg>,
}

impl<'a, 'm> Lowering<'a, 'm> {
    pub(super) fn new(instruction: &'a Instruction, builder: &'a mut Builder<'m>) -> Self {
        Lowering {
            instruction,
            builder,
            modifiers: 0,
            operands: 0,
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// An error that names the instruction: `why` says what of it is not executed.
    pub fn unsupported(&self, why: impl Into<String>) -> Error {
        Error::unsupported(self.instruction, why)
    }

    /// Notes that blocks may talk to each other through this instruction (an atomic, volatile, relaxed, acquire or
    /// release access of global memory): they then run interleaved on one host thread.
    pub fn communicates(&mut self) {
        self.builder.communicates = true;
    }

    // ---- modifiers

    /// The modifiers that nobody has taken yet, in order.
    pub fn rest(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let taken = self.modifiers;
        let all = self.instruction.modifiers.iter().enumerate();
        all.filter(move |(k, _)| taken >> k & 1 == 0).map(|(_, m)| m.as_str())
    }

    /// Takes the first modifier for which `wanted` gives something.
    pub fn take<T>(&mut self, wanted: impl Fn(&'a str) -> Option<T>) -> Option<T> {
        for (k, modifier) in self.instruction.modifiers.iter().enumerate() {
            if self.modifiers >> k & 1 == 0
                && let Some(found) = wanted(modifier)
            {
                self.modifiers |= 1 << k;
                return Some(found);
            }
        }
        None
    }

    /// Takes modifier `name`, if it is there.
    pub fn flag(&mut self, name: &str) -> bool {
        self.take(|m| (m == name).then_some(())).is_some()
    }

    /// Takes modifier `name`.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn require(&mut self, name: &str) -> Result<()> {
        if self.flag(name) { Ok(()) } else { Err(self.unsupported(format!(".{name} is missing"))) }
    }

    /// Takes the first modifier named in `table`, if there is one.
    pub fn one_of<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        self.take(|m| table.iter().find(|(name, _)| *name == m).map(|(_, value)| *value))
    }

    /// Takes the first modifier that is a type, if there is one.
    pub fn try_ty(&mut self) -> Option<Type> {
        self.take(Type::parse)
    }

    /// Takes the first modifier that is a type.
    ///
    /// # Errors
    /// Where there is none.
    pub fn ty(&mut self) -> Result<Type> {
        self.try_ty().ok_or_else(|| self.unsupported("its type is missing or not known"))
    }

    /// Takes the state space, `Generic` where none is named.
    pub fn space(&mut self) -> Space {
        self.one_of(&[
            ("global", Space::Global),
            ("const", Space::Const),
            ("shared", Space::Shared),
            ("shared::cta", Space::Shared),
            ("shared::cluster", Space::Cluster),
            ("local", Space::Local),
            ("param", Space::Param),
            ("param::entry", Space::Param),
            ("param::func", Space::Param),
        ])
        .unwrap_or(Space::Generic)
    }

    // ---- operands

    /// How many operands are written.
    pub fn operand_count(&self) -> usize {
        self.instruction.operands.len()
    }

    /// Takes operand `k`, from 0.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn operand(&mut self, k: usize) -> Result<&'a Operand> {
        let operand = self.instruction.operands.get(k);
        let operand =
            operand.ok_or_else(|| self.unsupported(format!("operand {} is missing", k + 1)))?;
        self.operands |= 1 << k;
        Ok(operand)
    }

    /// Takes operand `k`, if it is there.
    pub fn try_operand(&mut self, k: usize) -> Option<&'a Operand> {
        let operand = self.instruction.operands.get(k)?;
        self.operands |= 1 << k;
        Some(operand)
    }

    /// Takes operand `k`, a vector `{a, b, …}`, or a single operand as a vector of one.
    ///
    /// # Errors
    /// Where there are fewer operands.
    pub fn vector(&mut self, k: usize) -> Result<&'a [Operand]> {
        Ok(match self.operand(k)? {
            Operand::Vector(parts) => parts,
            single => std::slice::from_ref(single),
        })
    }

    /// Takes operand `k`: `p|q`, or only `p`.
    ///
    /// # Errors
    /// Where there are fewer operands.
    pub fn pair(&mut self, k: usize) -> Result<(&'a Operand, Option<&'a Operand>)> {
        Ok(match self.operand(k)? {
            Operand::Pair(first, second) => (first, Some(second)),
            single => (single, None),
        })
    }

    /// Takes operand `k`, an integer constant.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn constant(&mut self, k: usize) -> Result<i128> {
        match self.operand(k)? {
            Operand::Integer(value) => Ok(*value),
            other => {
                Err(self
                    .unsupported(format!("operand {} must be a constant, not {other:?}", k + 1)))
            }
        }
    }

    /// The guard, as a source.
    pub(super) fn guard(&mut self) -> Result<Option<PSource>> {
        let Some((name, negated)) = &self.instruction.guard else { return Ok(None) };
        let mut source = self.read_predicate(&Operand::Name(name.clone()))?;
        source.flip ^= if *negated { !0 } else { 0 };
        Ok(Some(source))
    }

    /// Refuses the instruction where a modifier or an operand was not taken.
    pub(super) fn finish(&self) -> Result<()> {
        if let Some(modifier) = self.rest().next() {
            return Err(self.unsupported(format!("modifier .{modifier} here")));
        }
        let count = self.operand_count();
        match (0..count).find(|k| self.operands >> k & 1 == 0) {
            Some(k) => Err(self.unsupported(format!("operand {} of {count} here", k + 1))),
            None => Ok(()),
        }
    }

    /// Bits of a register as it was declared.
    pub fn register_bits(&self, reg: Reg) -> u32 {
        match reg {
            Reg::P(_) => 1,
            Reg::R32(r) => self.builder.narrow.get(&r).copied().unwrap_or(32),
            Reg::R64(_) => 64,
            Reg::R128(_) => 128,
        }
    }

    /// Notes a register as read.
    pub fn note_read(&mut self, reg: Reg) {
        if !self.builder.is_constant(reg) {
            self.reads.push(reg);
        }
    }

    /// Notes a register as written.
    pub fn note_write(&mut self, reg: Reg) {
        if !self.builder.is_scratch(reg) {
            self.writes.push(reg);
        }
    }
}

/// The predicate that is always false.
pub(crate) const FALSE: PSource = PSource { register: P(0), flip: 0 };
/// The predicate that is always true.
pub(crate) const TRUE: PSource = PSource { register: P(0), flip: !0 };

//! Rows of the register files, and places of variables in memory.

use super::build::{Builder, LOCAL_BASE, error};
use super::layout::{align_up, size};
use super::{Fill, ModuleVariable, P, R32, R64, Reg, Type};
use crate::ast::{Linkage, Variable};
use crate::error::Result;

/// Rows that take what is written to `_`.
const SCRATCH32: R32 = R32(0);
const SCRATCH64: R64 = R64(0);
const SCRATCH_P: P = P(1);
/// Numbers left to rows that instructions take for a moment.
const SPARE: u16 = 32;

impl Builder<'_> {
    pub(super) fn register(&mut self, ty: &str, line: u32) -> Result<Reg> {
        let ty = Type::parse(ty)
            .ok_or_else(|| error(line, &format!("a register of unknown type .{ty}")))?;
        Ok(match ty.bits() {
            1 => {
                self.predicates += 1;
                Reg::P(P((self.predicates - 1) as u16))
            }
            64 => Reg::R64(self.row64(Fill::Nothing)?),
            128 => {
                let low = self.row64(Fill::Nothing)?;
                self.row64(Fill::Nothing)?;
                Reg::R128(low)
            }
            bits => {
                let row = self.row32(Fill::Nothing)?;
                if bits < 32 {
                    self.narrow.insert(row, bits);
                }
                Reg::R32(row)
            }
        })
    }

    fn row32(&mut self, fill: Fill) -> Result<R32> {
        self.fill32.push(fill);
        match u16::try_from(self.fill32.len() - 1) {
            Ok(row) if row < u16::MAX - SPARE => Ok(R32(row)),
            _ => Err(error(0, "more than 65500 registers")),
        }
    }

    fn row64(&mut self, fill: Fill) -> Result<R64> {
        self.fill64.push(fill);
        match u16::try_from(self.fill64.len() - 1) {
            Ok(row) if row < u16::MAX - SPARE => Ok(R64(row)),
            _ => Err(error(0, "more than 65500 registers of 64 bits")),
        }
    }

    pub(super) fn constant32(&mut self, fill: Fill) -> Result<R32> {
        if let Some(row) = self.constants32.get(&fill) {
            return Ok(*row);
        }
        let row = self.row32(fill)?;
        self.constants32.insert(fill, row);
        Ok(row)
    }

    pub(super) fn constant64(&mut self, fill: Fill) -> Result<R64> {
        if let Some(row) = self.constants64.get(&fill) {
            return Ok(*row);
        }
        let row = self.row64(fill)?;
        self.constants64.insert(fill, row);
        Ok(row)
    }

    pub(super) fn scratch(&self, ty: Type) -> Reg {
        match ty.bits() {
            1 => Reg::P(SCRATCH_P),
            64 => Reg::R64(SCRATCH64),
            128 => Reg::R128(SCRATCH64),
            _ => Reg::R32(SCRATCH32),
        }
    }

    pub(super) fn is_scratch(&self, reg: Reg) -> bool {
        matches!(
            reg,
            Reg::P(SCRATCH_P) | Reg::R64(SCRATCH64) | Reg::R128(SCRATCH64) | Reg::R32(SCRATCH32)
        )
    }

    pub(super) fn is_constant(&self, reg: Reg) -> bool {
        match reg {
            Reg::R32(r) => self.fill32[r.0 as usize] != Fill::Nothing,
            Reg::R64(r) | Reg::R128(r) => self.fill64[r.0 as usize] != Fill::Nothing,
            Reg::P(p) => p.0 == 0,
        }
    }

    pub(super) fn static_shared(&mut self, variable: &Variable) -> Result<u32> {
        let (bytes, align) = size(variable)?;
        let bytes = bytes.ok_or_else(|| error(variable.line, "an array without length"))?;
        self.shared = align_up(self.shared, align);
        self.shared_align = self.shared_align.max(align);
        let at = self.shared;
        self.shared = u32::try_from(at as u64 + bytes)
            .ok()
            .filter(|end| *end < 1 << 24)
            .ok_or_else(|| {
                error(variable.line, &format!("{} is too long for shared memory", variable.name))
            })?;
        Ok(at)
    }

    pub(super) fn thread_memory(&mut self, variable: &Variable) -> Result<(u32, u32)> {
        let (bytes, align) = size(variable)?;
        let bytes = bytes.filter(|b| *b < 1 << 19);
        let bytes = bytes
            .ok_or_else(|| error(variable.line, &format!("{} is too long", variable.name)))?
            as u32;
        self.local = align_up(self.local, align);
        let at = self.local;
        self.local += bytes;
        Ok((LOCAL_BASE + at, bytes))
    }

    /// The address of a shared variable of the module, which takes its place when it is first named.
    pub(super) fn module_shared(&mut self, index: usize, offset: i64) -> Result<Fill> {
        let variable = &self.module.variables[index];
        if variable.linkage == Linkage::Extern && size(variable)?.0.is_none() {
            self.shared_align = self.shared_align.max(size(variable)?.1);
            return Ok(Fill::DynamicShared(offset));
        }
        let at = match self.module_shared.get(&index) {
            Some(at) => *at,
            None => {
                let at = self.static_shared(variable)?;
                self.module_shared.insert(index, at);
                at
            }
        };
        Ok(Fill::Shared(at.wrapping_add_signed(offset as i32)))
    }

    /// The address of a variable of the module in global or constant memory.
    pub(super) fn module_variable(&mut self, index: usize, offset: i64) -> Fill {
        let known = self.variables.iter().position(|v| v.index == index);
        let number = known.unwrap_or_else(|| {
            self.variables.push(ModuleVariable { index });
            self.variables.len() - 1
        });
        Fill::Variable(number as u32, offset)
    }
}

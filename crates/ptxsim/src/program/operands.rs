//! Operands of an instruction as registers: immediates and addresses become rows of the file that are filled once.

use super::lowering::{FALSE, TRUE};
use super::scope::Symbol;
use super::{Address, Base, Fill, Lowering, P, PSource, Place, R32, R64, Reg, Special, Type};
use crate::ast::Operand;
use crate::error::Result;

/// Addresses of functions begin here; each takes 16 bytes.
pub(crate) const FUNCTIONS: u64 = 0xF << 60;

impl Lowering<'_, '_> {
    /// Operand `k` as a source of up to 32 bits; see [`Lowering::read32`].
    pub fn source32(&mut self, k: usize, ty: Type) -> Result<R32> {
        let operand = self.operand(k)?;
        self.read32(operand, ty)
    }

    /// Operand `k` as a source of 64 bits.
    pub fn source64(&mut self, k: usize, ty: Type) -> Result<R64> {
        let operand = self.operand(k)?;
        self.read64(operand, ty)
    }

    /// Operand `k` as a source of the width of `ty`.
    pub fn source(&mut self, k: usize, ty: Type) -> Result<Reg> {
        let operand = self.operand(k)?;
        self.read(operand, ty)
    }

    /// Operand `k` as a destination of up to 32 bits; `_` is a row that nobody reads.
    pub fn destination32(&mut self, k: usize) -> Result<R32> {
        let operand = self.operand(k)?;
        self.write32(operand)
    }

    /// Operand `k` as a destination of 64 bits.
    pub fn destination64(&mut self, k: usize) -> Result<R64> {
        let operand = self.operand(k)?;
        self.write64(operand)
    }

    /// Operand `k` as a source predicate.
    pub fn source_predicate(&mut self, k: usize) -> Result<PSource> {
        let operand = self.operand(k)?;
        self.read_predicate(operand)
    }

    /// Operand `k` as a destination predicate.
    pub fn destination_predicate(&mut self, k: usize) -> Result<P> {
        let operand = self.operand(k)?;
        self.write_predicate(operand)
    }

    /// Operand `k` as an address `[base+offset]`.
    pub fn address(&mut self, k: usize) -> Result<Address> {
        let operand = self.operand(k)?;
        self.read_address(operand)
    }

    /// Operand `k` as a label: the index of an instruction.
    pub fn label(&mut self, k: usize) -> Result<u32> {
        match self.operand(k)? {
            Operand::Name(name) => self.label_named(name),
            other => Err(self.unsupported(format!("{other:?} is no label"))),
        }
    }

    /// The index of the instruction at label `name`.
    pub fn label_named(&self, name: &str) -> Result<u32> {
        match self.builder.scopes.find(name) {
            Some(Symbol::Label(at)) => Ok(*at),
            _ => Err(self.unsupported(format!("there is no label {name}"))),
        }
    }

    /// A source of up to 32 bits: a register, or a constant row for an immediate of type `ty`, a special register
    /// or the address of a symbol in shared, local or parameter space.
    pub fn read32(&mut self, operand: &Operand, ty: Type) -> Result<R32> {
        match self.value(operand, ty)? {
            Value::Register(Reg::R32(r)) => {
                self.note_read(Reg::R32(r));
                Ok(r)
            }
            Value::Register(_) => {
                Err(self.unsupported(format!("{operand:?} is no register of 32 bits or fewer")))
            }
            Value::Fill(fill) => self.builder.constant32(fill),
        }
    }

    /// A source of 64 bits, as [`Lowering::read32`].
    pub fn read64(&mut self, operand: &Operand, ty: Type) -> Result<R64> {
        match self.value(operand, ty)? {
            Value::Register(Reg::R64(r)) => {
                self.note_read(Reg::R64(r));
                Ok(r)
            }
            Value::Register(_) => {
                Err(self.unsupported(format!("{operand:?} is no register of 64 bits")))
            }
            Value::Fill(fill) => self.builder.constant64(fill),
        }
    }

    /// A source of any width: a register as it was declared, which may be wider than `ty` (`ld`, `st` and `cvt`
    /// allow that), or a constant row as wide as `ty`.
    pub fn read(&mut self, operand: &Operand, ty: Type) -> Result<Reg> {
        match self.value(operand, ty)? {
            Value::Register(reg) => {
                self.note_read(reg);
                Ok(reg)
            }
            Value::Fill(fill) if ty.bits() <= 32 => Ok(Reg::R32(self.builder.constant32(fill)?)),
            Value::Fill(fill) if ty.bits() == 64 => Ok(Reg::R64(self.builder.constant64(fill)?)),
            Value::Fill(_) => Err(self.unsupported("an immediate of 128 bits")),
        }
    }

    /// A destination of up to 32 bits.
    pub fn write32(&mut self, operand: &Operand) -> Result<R32> {
        match self.write(operand, Type::B32)? {
            Reg::R32(r) => Ok(r),
            _ => Err(self.unsupported(format!("{operand:?} is no register of 32 bits or fewer"))),
        }
    }

    /// A destination of 64 bits.
    pub fn write64(&mut self, operand: &Operand) -> Result<R64> {
        match self.write(operand, Type::B64)? {
            Reg::R64(r) => Ok(r),
            _ => Err(self.unsupported(format!("{operand:?} is no register of 64 bits"))),
        }
    }

    /// A destination as it was declared; `_` is a row as wide as `ty` that nobody reads.
    pub fn write(&mut self, operand: &Operand, ty: Type) -> Result<Reg> {
        let reg = match operand {
            Operand::Sink => self.builder.scratch(ty),
            Operand::Name(name) => match self.builder.scopes.find(name) {
                Some(Symbol::Register(reg)) => *reg,
                _ => return Err(self.unsupported(format!("{name} is no register"))),
            },
            Operand::Part(name, part) => self.part(name, *part)?,
            other => return Err(self.unsupported(format!("{other:?} is no register"))),
        };
        self.note_write(reg);
        Ok(reg)
    }

    /// A source predicate: a register, its negation, or a constant.
    pub fn read_predicate(&mut self, operand: &Operand) -> Result<PSource> {
        let (name, flip) = match operand {
            Operand::Integer(0) => return Ok(FALSE),
            Operand::Integer(_) => return Ok(TRUE),
            Operand::Name(name) => (name, 0),
            Operand::Not(name) => (name, !0),
            other => return Err(self.unsupported(format!("{other:?} is no predicate"))),
        };
        match self.builder.scopes.find(name) {
            Some(Symbol::Register(Reg::P(register))) => {
                let register = *register;
                self.note_read(Reg::P(register));
                Ok(PSource { register, flip })
            }
            _ => Err(self.unsupported(format!("{name} is no predicate register"))),
        }
    }

    /// A destination predicate.
    pub fn write_predicate(&mut self, operand: &Operand) -> Result<P> {
        match self.write(operand, Type::Pred)? {
            Reg::P(p) => Ok(p),
            _ => Err(self.unsupported(format!("{operand:?} is no predicate register"))),
        }
    }

    /// An address in brackets; a bare name or register is taken as one, too (as in `call` and `[map, {…}]`).
    pub fn read_address(&mut self, operand: &Operand) -> Result<Address> {
        let (base, offset) = match operand {
            Operand::Address(base, offset) => (&**base, *offset),
            other => (other, 0),
        };
        let out = |l: &Self| l.unsupported(format!("offset {offset} is out of range"));
        let offset = i32::try_from(offset).map_err(|_| out(self))?;
        let base = match self.value(base, Type::B64)? {
            Value::Register(Reg::R32(r)) => {
                self.note_read(Reg::R32(r));
                Base::R32(r)
            }
            Value::Register(Reg::R64(r)) => {
                self.note_read(Reg::R64(r));
                Base::R64(r)
            }
            Value::Register(_) => {
                return Err(self.unsupported(format!("{operand:?} is no address")));
            }
            Value::Fill(fill) => Base::R64(self.builder.constant64(fill)?),
        };
        Ok(Address { base, offset })
    }

    /// A constant row with `value` in all lanes.
    pub fn constant32(&mut self, value: u32) -> Result<R32> {
        self.builder.constant32(Fill::Value(value as u64))
    }

    /// Whether this module has the body of function `name`.
    pub fn is_defined(&self, name: &str) -> bool {
        let found = self.builder.scopes.find(name);
        matches!(found, Some(Symbol::Function(index)) if self.builder.module.functions[*index].body.is_some())
    }

    /// The device function `name` by its index in the program, resolved together with the entry.
    pub fn function(&mut self, name: &str) -> Result<usize> {
        match self.builder.scopes.find(name) {
            Some(Symbol::Function(index)) => {
                let index = *index;
                if !self.is_defined(name) {
                    return Err(self.unsupported(format!("the body of {name} is elsewhere")));
                }
                self.builder.function(index)
            }
            _ => Err(self.unsupported(format!("there is no function {name}"))),
        }
    }

    /// Whether a call with these places fits function `number`; its parameters in registers count as written.
    pub fn fits(&mut self, number: usize, returns: &[Place], params: &[Place]) -> bool {
        let function = &self.builder.functions[number];
        let formal: Vec<Place> = function.params.clone();
        let alike = |a: &Place, b: &Place| match (a, b) {
            (Place::Memory(_, a), Place::Memory(_, b)) => a == b,
            (Place::Register(a), Place::Register(b)) => {
                std::mem::discriminant(a) == std::mem::discriminant(b)
            }
            _ => false,
        };
        let all = |a: &[Place], b: &[Place]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        };
        let fits = all(&function.returns, returns) && all(&formal, params);
        for place in formal {
            if let Place::Register(reg) = place {
                self.note_write(reg);
            }
        }
        fits
    }

    /// The names of a `.branchtargets` or `.calltargets`.
    pub fn targets(&self, name: &str) -> Result<Vec<String>> {
        match self.builder.scopes.find(name) {
            Some(Symbol::Targets(names)) => Ok(names.clone()),
            _ => Err(self.unsupported(format!("there is no list of targets {name}"))),
        }
    }

    /// Where an argument of a call, or what takes its result, lies.
    pub fn place(&mut self, operand: &Operand, write: bool) -> Result<Place> {
        if let Operand::Name(name) = operand
            && let Some(Symbol::Local(offset, len) | Symbol::FunctionParameter(offset, len)) =
                self.builder.scopes.find(name)
        {
            return Ok(Place::Memory(*offset, *len));
        }
        Ok(Place::Register(if write {
            self.write(operand, Type::B32)?
        } else {
            self.read(operand, Type::B32)?
        }))
    }

    fn part(&self, name: &str, part: usize) -> Result<Reg> {
        match self.builder.scopes.find(name) {
            Some(Symbol::Vector(parts)) if part < parts.len() => Ok(parts[part]),
            _ => Err(self.unsupported(format!("{name} has no part {part}"))),
        }
    }

    fn value(&mut self, operand: &Operand, ty: Type) -> Result<Value> {
        let fill = |value: u64| Ok(Value::Fill(Fill::Value(value)));
        match operand {
            Operand::Integer(_) if matches!(ty, Type::F32 | Type::F64) => {
                Err(self.unsupported("an integer where a floating-point number is meant"))
            }
            Operand::Integer(value) if ty.bits() < 64 => {
                fill(*value as u64 & ((1 << ty.bits()) - 1))
            }
            Operand::Integer(value) => fill(*value as u64),
            Operand::F32(bits) if ty == Type::F64 => fill((f32::from_bits(*bits) as f64).to_bits()),
            Operand::F32(bits) if ty.bits() == 32 => fill(*bits as u64),
            Operand::F64(bits) if ty == Type::F32 => {
                fill((f64::from_bits(*bits) as f32).to_bits() as u64)
            }
            Operand::F64(bits) if ty.bits() == 64 => fill(*bits),
            Operand::Part(name, part) => Ok(Value::Register(self.part(name, *part)?)),
            Operand::Offset(name, offset) => self.symbol(name, *offset),
            Operand::Name(name) => self.symbol(name, 0),
            other => Err(self.unsupported(format!("{other:?} as a value of {ty:?}"))),
        }
    }

    fn symbol(&mut self, name: &str, offset: i64) -> Result<Value> {
        let plus = |at: u32| Fill::Value((at as u64).wrapping_add_signed(offset));
        let found = self.builder.scopes.find(name).cloned();
        Ok(match found {
            Some(Symbol::Register(reg)) if offset == 0 => Value::Register(reg),
            Some(Symbol::Shared(at)) => {
                Value::Fill(Fill::Shared(at.wrapping_add_signed(offset as i32)))
            }
            Some(Symbol::ModuleShared(index)) => {
                Value::Fill(self.builder.module_shared(index, offset)?)
            }
            Some(Symbol::Module(index)) => Value::Fill(self.builder.module_variable(index, offset)),
            Some(Symbol::Local(at, _) | Symbol::EntryParameter(at)) => Value::Fill(plus(at)),
            Some(Symbol::FunctionParameter(at, _)) => Value::Fill(plus(at)),
            Some(Symbol::Function(index)) => {
                Value::Fill(Fill::Value(FUNCTIONS + 16 * self.builder.function(index)? as u64))
            }
            None if name == "WARP_SZ" => Value::Fill(Fill::Value(32)),
            None if name.starts_with('%') => match Special::parse(name) {
                Some(special) => Value::Fill(Fill::Special(special)),
                None => return Err(self.unsupported(format!("special register {name}"))),
            },
            Some(_) => return Err(self.unsupported(format!("{name} is no value"))),
            None => return Err(self.unsupported(format!("{name} is not declared"))),
        })
    }
}

/// What an operand turned out to be.
enum Value {
    Register(Reg),
    Fill(Fill),
}

//! State spaces: cvta, isspacep; and what only concerns caches: prefetch, discard, applypriority, createpolicy.

use super::modifiers::hints;
use crate::ast::Instruction;
use crate::error::{Fault, Result};
use crate::exec::access::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::exec::{Context, lanes};
use crate::program::{Lowering, P, R64, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// Adds a window's address, or takes it off.
    Convert(R64, R64, u64),
    /// Whether an address is in a space.
    Is(P, R64, Space),
    /// A cache policy, which no access looks at.
    Policy(R64),
    /// A hint to caches.
    Hint,
}

fn window(space: Space) -> u64 {
    match space {
        Space::Shared | Space::Cluster => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => PARAM_WINDOW,
        Space::Generic | Space::Global | Space::Const => 0,
    }
}

/// Resolves an instruction.
pub(super) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    Ok(Some(match i.opcode.as_str() {
        "cvta" => {
            let to = l.flag("to");
            let space = l.space();
            if space == Space::Generic || !matches!(l.ty()?, Type::U64) {
                return Err(l.unsupported("anything but 64-bit addresses of a space"));
            }
            let add = window(space);
            let a = match l.operand(1)? {
                operand @ crate::ast::Operand::Address(..) => {
                    return Err(l.unsupported(format!("{operand:?}")));
                }
                operand => l.read64(operand, Type::B64)?,
            };
            Op::Convert(l.destination64(0)?, a, if to { add.wrapping_neg() } else { add })
        }
        "isspacep" => {
            let space = l.space();
            if space == Space::Generic {
                return Err(l.unsupported("its space is missing"));
            }
            Op::Is(l.destination_predicate(0)?, l.source64(1, Type::B64)?, space)
        }
        "prefetch" | "prefetchu" => {
            l.space();
            hints(l);
            l.one_of(&[("L1", ()), ("L2", ())]);
            l.address(0)?;
            Op::Hint
        }
        "discard" | "applypriority" => {
            l.space();
            hints(l);
            l.one_of(&[("L2", ())]);
            l.address(0)?;
            l.constant(1)?;
            Op::Hint
        }
        "createpolicy" => {
            l.take(|m| matches!(m, "fractional" | "range" | "cvt").then_some(()));
            l.space();
            hints(l);
            l.require("b64")?;
            for k in 1..l.operand_count() {
                let operand = l.operand(k)?;
                match operand {
                    crate::ast::Operand::Address(..) => _ = l.read_address(operand)?,
                    crate::ast::Operand::F64(_) => {}
                    operand => _ = l.read(operand, Type::B32)?,
                }
            }
            Op::Policy(l.destination64(0)?)
        }
        _ => return Ok(None),
    }))
}

/// Executes it.
pub(super) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<(), Fault> {
    match *op {
        Op::Convert(d, a, add) => {
            let value = context.warp.registers.get64(a).map(|a| a.wrapping_add(add));
            context.warp.registers.set64(d, value, mask);
        }
        Op::Is(p, a, space) => {
            let addresses = *context.warp.registers.get64(a);
            let mut bits = 0;
            for lane in lanes(mask) {
                let address = addresses[lane];
                let window = address >> 60;
                let yes = match space {
                    Space::Shared => {
                        window == 1 && (address >> 24 & 0xFF) as usize == context.place.block
                    }
                    Space::Cluster => window == 1,
                    Space::Local => window == 2,
                    Space::Param => window == 3,
                    _ if window != 0 => false,
                    space => {
                        let found = context.machine.memory.find(address);
                        found.is_none_or(|(_, a, _)| a.writable) == (space == Space::Global)
                    }
                };
                bits |= (yes as u32) << lane;
            }
            context.warp.registers.set_predicate(p, bits, mask);
        }
        Op::Policy(d) => context.warp.registers.set64(d, [0x10F0_0000_0000_0000; 32], mask),
        Op::Hint => {}
    }
    Ok(())
}

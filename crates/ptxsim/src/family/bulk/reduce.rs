//! Reductions: which operations go with which types, and doing them (PTX ISA, "cp.reduce.async.bulk", its table).
//!
//! Every element is reduced by itself, as by a relaxed atomic of device scope.

use crate::error::{Fault, Kind, Result};
use crate::exec::{AccessKind, Machine, Order, Place, Request, Scope};
use crate::family::memory::{Reduction, What};
use crate::program::{Lowering, Space, Type};
use crate::tensor::map::ElementType;

/// Takes the operation, and the type where the instruction names one: that of tensors is in their map.
pub(super) fn lower(tensor: bool, to: Space, l: &mut Lowering) -> Result<(What, Option<Type>)> {
    let what = l.take(What::parse).ok_or_else(|| l.unsupported("its operation"))?;
    if to == Space::Global {
        l.communicates();
    }
    if tensor {
        return Ok((what, None));
    }
    let noftz = l.flag("noftz");
    let ty = l.ty()?;
    let half = matches!(ty, Type::F16 | Type::Bf16);
    if !allowed(what, ty, to == Space::Global) || noftz != (half && what == What::Add) {
        return Err(l.unsupported(format!("{what:?} of {ty:?} there")));
    }
    Ok((what, Some(ty)))
}

fn allowed(what: What, ty: Type, global: bool) -> bool {
    use Type::*;
    match what {
        What::And | What::Or | What::Xor => ty == B32 || global && ty == B64,
        What::Add => {
            matches!(ty, U32 | S32 | U64) || global && matches!(ty, F32 | F64 | F16 | Bf16)
        }
        What::Inc | What::Dec => ty == U32,
        What::Min | What::Max => {
            matches!(ty, U32 | S32) || global && matches!(ty, U64 | S64 | F16 | Bf16)
        }
        What::Exch | What::Cas => false,
    }
}

/// The reduction of a tensor's elements.
///
/// # Errors
/// Where there is none for their type.
pub(super) fn of_tensor(what: What, element: ElementType) -> Result<Reduction, Fault> {
    use ElementType::*;
    let bitwise = matches!(what, What::And | What::Or | What::Xor);
    let ty = match element {
        U32 | S32 if bitwise => Type::B32,
        U64 | S64 if bitwise => Type::B64,
        U32 => Type::U32,
        S32 => Type::S32,
        U64 => Type::U64,
        S64 => Type::S64,
        F16 => Type::F16,
        Bf16 => Type::Bf16,
        F32 => Type::F32,
        // Arrays of f64 have a sum, tensors have none.
        U8 | U16 | F64 => Type::Pred,
    };
    if allowed(what, ty, true) {
        return Ok(Reduction { what, ty });
    }
    let message = format!("there is no reduction {what:?} of a tensor of {element:?}");
    Err(Fault::new(Kind::Undefined, message))
}

/// Reduces what lies at `address` by `bytes`.
///
/// # Errors
/// As for a write there.
pub(super) fn reduce(
    machine: &mut Machine,
    place: Place,
    lane: u32,
    reduction: Reduction,
    (space, address): (Space, u64),
    bytes: &[u8],
) -> Result<(), Fault> {
    let request = Request {
        order: Order::Relaxed,
        scope: Scope::Device,
        ..Request::new(space, AccessKind::Atomic).asynchronous()
    };
    machine.change_bytes(place, &request, lane, address, bytes.len(), |old| {
        reduction.apply_all(old, bytes, space == Space::Global);
    })
}

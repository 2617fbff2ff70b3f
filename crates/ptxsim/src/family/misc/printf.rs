//! `vprintf`: a format and a buffer of arguments, each at a multiple of its size.

use super::argument;
use super::format::{Argument, Piece, pieces, render};
use crate::error::{Fault, Kind};
use crate::exec::{AccessKind, Context, Request, lanes};
use crate::program::build::LOCAL_BASE;
use crate::program::{Place, Reg, Space};

/// Longest string that is read, in bytes.
const LONGEST: usize = 64 * 1024;

const READ: Request = Request::new(Space::Generic, AccessKind::Read);

/// The string at a generic address, up to its zero.
pub(super) fn string(context: &mut Context, lane: usize, address: u64) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST {
        match value::<1>(context, lane, address + bytes.len() as u64)?[0] {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn value<const N: usize>(
    context: &mut Context,
    lane: usize,
    address: u64,
) -> Result<[u8; N], Fault> {
    Ok(context.read::<N>(&READ, &[address; 32], 1 << lane)?[lane])
}

/// Prints lane after lane; the result is the number of arguments.
pub(super) fn print(
    context: &mut Context,
    mask: u32,
    format: Place,
    arguments: Place,
    returns: Option<Place>,
) -> Result<(), Fault> {
    let mut counts = [0u32; 32];
    for lane in lanes(mask) {
        let (format, mut at) =
            (argument(context, &format, lane), argument(context, &arguments, lane));
        let format = string(context, lane, format)?;
        let pieces = pieces(&format)
            .map_err(|why| Fault::new(Kind::Invalid, format!("printf: {why}")).lanes(1 << lane))?;
        let mut line = String::new();
        for piece in &pieces {
            let Piece::Conversion(conversion) = piece else {
                render(piece, &[], &mut line);
                continue;
            };
            let mut values = Vec::new();
            for ty in conversion.arguments() {
                counts[lane] += 1;
                values.push(match ty {
                    Argument::Int(_) => {
                        at = at.next_multiple_of(4) + 4;
                        Argument::Int(i32::from_le_bytes(value(context, lane, at - 4)?))
                    }
                    Argument::Long(_) => {
                        at = at.next_multiple_of(8) + 8;
                        Argument::Long(i64::from_le_bytes(value(context, lane, at - 8)?))
                    }
                    Argument::Double(_) => {
                        at = at.next_multiple_of(8) + 8;
                        Argument::Double(f64::from_le_bytes(value(context, lane, at - 8)?))
                    }
                    Argument::Text(_) => {
                        at = at.next_multiple_of(8) + 8;
                        let pointer = u64::from_le_bytes(value(context, lane, at - 8)?);
                        Argument::Text(string(context, lane, pointer)?)
                    }
                });
            }
            render(piece, &values, &mut line);
        }
        context.machine.output += &line;
    }
    match returns {
        Some(Place::Register(Reg::R32(r))) => context.warp.registers.set32(r, counts, mask),
        Some(Place::Memory(offset, 4)) => {
            for lane in lanes(mask) {
                let at = lane * context.warp.local_bytes + (offset - LOCAL_BASE) as usize;
                context.warp.local[at..at + 4].copy_from_slice(&counts[lane].to_le_bytes());
                crate::exec::mark(&mut context.warp.local_written, at, 4);
            }
        }
        _ => {}
    }
    Ok(())
}

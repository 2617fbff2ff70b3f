//! Sizes of variables.

use super::Type;
use crate::ast::Variable;
use crate::error::{Error, Result};

/// Rounds `at` up to a multiple of `align`, a power of two.
pub(crate) fn align_up(at: u32, align: u32) -> u32 {
    at.next_multiple_of(align.max(1))
}

/// Bytes and alignment of a variable; `None` for the bytes of an array without length.
///
/// # Errors
/// [`Error::Parse`] where its type is not known or it is too long.
pub(crate) fn size(variable: &Variable) -> Result<(Option<u64>, u32)> {
    let error = |message: String| Error::Parse { line: variable.line, message };
    let element = match variable.ty.as_str() {
        "texref" | "samplerref" | "surfref" => 8,
        ty => Type::parse(ty)
            .ok_or_else(|| error(format!("{} has unknown type .{ty}", variable.name)))?
            .bytes() as u64,
    } * variable.vector.max(1) as u64;
    let mut bytes = Some(element);
    for dim in &variable.dims {
        bytes = match (bytes, dim) {
            (Some(b), Some(n)) => Some(
                b.checked_mul(*n)
                    .filter(|b| *b < 1 << 35)
                    .ok_or_else(|| error(format!("{} is longer than 32 GiB", variable.name)))?,
            ),
            _ => None,
        };
    }
    let align =
        if variable.align == 0 { element.next_power_of_two() as u32 } else { variable.align };
    if !align.is_power_of_two() {
        return Err(error(format!("{} has alignment {align}", variable.name)));
    }
    Ok((bytes, align))
}

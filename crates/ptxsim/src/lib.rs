//! Executes PTX on the CPU.

pub mod ast;
pub mod num;
pub mod tensor;

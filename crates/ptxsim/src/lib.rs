//! Executes PTX on the CPU.

pub mod ast;
pub mod tensor;

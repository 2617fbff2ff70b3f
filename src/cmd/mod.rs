//! The commands: one a file, with its arguments and its `run`.

pub mod machine;

//! Browsing the records of a run in a terminal.
//!
//! [`Browser`] is the state: a key goes in, the state changes, [`Browser::draw`] paints it into a frame. Neither knows a terminal, so
//! that tests need none; `cmd::browse` connects both with the one there is.

mod curves;
mod draw;
mod look;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use look::Look;
pub use state::{Browser, Request};

use crate::report::browse::By;

/// What the browser shows first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The filter: words that every record has.
    pub find: String,
    /// What records are sorted by.
    pub sort: By,
    /// The other way round.
    pub reverse: bool,
}

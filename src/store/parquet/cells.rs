//! A row of typed cells as a [`Row`]: its fields are the columns in their order.

use serde::Deserialize;
use serde::de::value::{Error, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::super::row::{RECORD_COLUMNS, Row};
use super::super::table::Unfit;

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// An empty one of a column without text.
    Nothing,
    /// Words, maybe none.
    Text(String),
    /// A count.
    Count(u64),
    /// A number.
    Number(f64),
    /// Yes or no.
    Truth(bool),
}

/// The row of these cells; the derived ones, which nobody reads, become empty.
///
/// # Errors
/// A cell that is missing.
pub fn row(cells: Vec<Cell>) -> Result<Row, Unfit> {
    const REQUIRED: [&str; 4] = ["record_id", "threads", "flops", "min_bytes"];
    let derived = RECORD_COLUMNS.len() - 3;
    let missing = |(name, cell): (&&'static str, &Cell)| {
        (*cell == Cell::Nothing && REQUIRED.contains(name)).then_some(*name)
    };
    if let Some(name) = RECORD_COLUMNS.iter().zip(&cells).find_map(missing) {
        return Err(Unfit::new(name, "it is null, and every record has it"));
    }
    let plain = |(i, cell)| if i < derived { cell } else { Cell::Text(String::new()) };
    let cells = cells.into_iter().enumerate().map(plain);
    let row = Row::deserialize(SeqDeserializer::new(cells));
    row.map_err(|error: Error| Unfit::new("record_id", format!("its row does not fit: {error}")))
}

impl<'de> IntoDeserializer<'de, Error> for Cell {
    type Deserializer = Cell;
    fn into_deserializer(self) -> Cell {
        self
    }
}

impl<'de> Deserializer<'de> for Cell {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Cell::Nothing => visitor.visit_unit(),
            Cell::Text(text) => visitor.visit_string(text),
            Cell::Count(count) => visitor.visit_u64(count),
            Cell::Number(number) => visitor.visit_f64(number),
            Cell::Truth(truth) => visitor.visit_bool(truth),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Cell::Nothing => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

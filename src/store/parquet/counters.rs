//! The counters of a row: a JSON object of numbers.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::super::table::Unfit;
use super::{COUNTERS, Wanted};
use crate::record::{Counter, Text};

/// The names of counters so far, each held once.
#[derive(Debug, Default)]
pub struct Names(HashMap<Text, Name, RandomState>);

/// What is known of a name.
#[derive(Debug)]
struct Name {
    /// The name, if it is wanted.
    kept: Option<Text>,
    /// The line that had it last.
    line: u64,
}

impl Names {
    /// Adds those counters to `found` that are wanted; `text` is of the record `record_id` and stands in line `line`, and no text of a
    /// line is read twice.
    ///
    /// # Errors
    /// Text that is no object of numbers, or names one twice.
    pub fn read(
        &mut self,
        text: &[u8],
        (line, record_id): (u64, u64),
        wanted: Wanted,
        found: &mut Vec<Counter>,
    ) -> Result<(), Unfit> {
        if text.is_empty() {
            return Ok(());
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let object = Object { names: self, line, record_id, wanted, found };
        let read = object.deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| Unfit::new(COUNTERS, format!("no object of numbers: {error}")))
    }
}

/// The whole object.
struct Object<'a> {
    names: &'a mut Names,
    line: u64,
    record_id: u64,
    wanted: Wanted<'a>,
    found: &'a mut Vec<Counter>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Object { names, line, record_id, wanted, found } = self;
        while let Some(name) = map.next_key_seed(Key { names, line, wanted })? {
            let value = map.next_value()?;
            found.extend(name.map(|name| Counter { record_id, name, value }));
        }
        Ok(())
    }
}

/// A name in it, which is returned if it is wanted.
struct Key<'a> {
    names: &'a mut Names,
    line: u64,
    wanted: Wanted<'a>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<Text>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Text>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<Text>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a counter's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<Text>, E> {
        let Key { names: Names(names), line, wanted } = self;
        if name.is_empty() {
            return Err(E::custom("a counter without a name"));
        }
        if let Some(known) = names.get_mut(name) {
            return match std::mem::replace(&mut known.line, line) == line {
                true => Err(E::custom(format!("`{name}` stands in it twice"))),
                false => Ok(known.kept.clone()),
            };
        }
        let text = Text::from(name);
        let kept = wanted.has(name).then(|| text.clone());
        names.insert(text, Name { kept: kept.clone(), line });
        Ok(kept)
    }
}

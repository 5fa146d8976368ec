//! The elements of a JSON array one at a time: a file of a million comments need not stand in memory as
//! a million trees of values.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::Value;

/// Hands on each element of the array that `json` is.
pub fn for_each(json: &[u8], take: impl FnMut(Value)) -> Result<(), serde_json::Error> {
    let mut array = serde_json::Deserializer::from_slice(json);
    array.deserialize_seq(Elements(take))?;
    array.end()
}

struct Elements<F>(F);

impl<'de, F: FnMut(Value)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

//! Reading fields out of a JSON object, noting everything that is wrong with them.
//!
//! A reader gives `None` for a field that is absent, `null` or bad; a bad one is noted, so that a
//! request's refusal can list them all. A value that stands in for a bad field never leaves
//! admission, because what was noted refuses the request.

use std::ops::RangeInclusive;

use danmu_schemas::EventId;
use danmu_schemas::event::Ext;
use danmu_schemas::problem::FieldError;
use serde_json::Value;

use super::text::Fault;
use super::{Object, Rejection};

/// The most keys in an `ext`.
pub(super) const EXT_LEN_MAX: usize = 16;
/// The most bytes of an `ext`, keys and values together.
const EXT_BYTES_MAX: usize = 1_024;

/// What is wrong with the events of a request.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    invalid: Vec<FieldError>,
    forbidden: Vec<FieldError>,
}

impl Findings {
    /// Nothing, or the refusal: bad fields first, since they must be mended whoever sends them.
    pub(crate) fn into_result(self) -> Result<(), Rejection> {
        if !self.invalid.is_empty() {
            return Err(Rejection::Invalid(self.invalid));
        }
        if !self.forbidden.is_empty() {
            return Err(Rejection::Forbidden(self.forbidden));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.invalid.len() + self.forbidden.len()
    }
}

/// The fields of an event, or of an object in it.
pub(crate) struct Fields<'f> {
    index: usize,
    /// Stands before a field's name when it is told: `user.`.
    prefix: &'static str,
    object: Object,
    findings: &'f mut Findings,
    found_before: usize,
}

impl<'f> Fields<'f> {
    /// The fields of the event at `index`; `None`, and noted, where it is no object.
    pub(crate) fn of_event(index: usize, entry: Value, findings: &'f mut Findings) -> Option<Self> {
        match entry {
            Value::Object(object) => Some(Self::new(index, object, findings)),
            _ => {
                let mut fields = Self::new(index, Object::new(), findings);
                fields.error("", "an event is an object");
                None
            }
        }
    }

    /// The fields of an object.
    pub(crate) fn new(index: usize, object: Object, findings: &'f mut Findings) -> Self {
        let found_before = findings.len();
        Self {
            index,
            prefix: "",
            object,
            findings,
            found_before,
        }
    }

    /// Notes that a field is bad.
    pub(crate) fn error(&mut self, name: &str, reason: impl Into<String>) {
        let error = self.finding(name, reason.into());
        self.findings.invalid.push(error);
    }

    /// Notes that a field is bad, unless the same field was noted before.
    pub(crate) fn error_unless_any(&mut self, name: &str, reason: &str) {
        let error = self.finding(name, reason.to_owned());
        let noted = |list: &[FieldError]| {
            list.iter()
                .any(|known| known.index == error.index && known.field == error.field)
        };
        if !noted(&self.findings.invalid) && !noted(&self.findings.forbidden) {
            self.findings.invalid.push(error);
        }
    }

    /// Notes that the caller may not send this.
    pub(crate) fn forbid(&mut self, name: &str, reason: impl Into<String>) {
        let error = self.finding(name, reason.into());
        self.findings.forbidden.push(error);
    }

    /// Whether nothing was noted of this event.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.len() == self.found_before
    }

    fn finding(&self, name: &str, reason: String) -> FieldError {
        FieldError {
            index: self.index,
            field: format!("{}{name}", self.prefix),
            reason,
        }
    }

    /// What `read` gives; where the field is absent, notes that and gives `instead`.
    pub(crate) fn need<T>(
        &mut self,
        name: &str,
        instead: T,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> T {
        if !self.has(name) {
            self.error(name, "is missing");
            return instead;
        }
        read(self).unwrap_or(instead)
    }

    /// Whether the field is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// A string as it is.
    pub(crate) fn string(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => self.bad(name, "is not a string"),
        }
    }

    /// A string that a rule of [`super::text`] allows.
    pub(crate) fn text(
        &mut self,
        name: &str,
        rule: fn(String) -> Result<String, Fault>,
    ) -> Option<String> {
        match rule(self.string(name)?) {
            Ok(text) => Some(text),
            Err(fault) => self.bad(name, fault),
        }
    }

    /// A word of a closed vocabulary.
    pub(crate) fn word<T>(&mut self, name: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        match parse(&self.string(name)?) {
            Some(word) => Some(word),
            None => self.bad(name, "is not a word that is known here"),
        }
    }

    /// A whole number within `range`.
    pub(crate) fn integer<T>(&mut self, name: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let Some(number) = whole(&self.take(name)?) else {
            return self.bad(name, "is not a whole number");
        };
        match T::try_from(number) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.bad(
                name,
                format!("is not within {} and {}", range.start(), range.end()),
            ),
        }
    }

    /// A moment, milliseconds since 1970 UTC.
    pub(crate) fn moment(&mut self, name: &str) -> Option<i64> {
        /// The end of the year 9999: beyond it no calendar library follows.
        const MOMENT_MAX: i64 = 253_402_300_799_999;
        self.integer(name, 0..=MOMENT_MAX)
    }

    /// A moment as tokens tell it: seconds since 1970 UTC, maybe with a fraction; in milliseconds.
    pub(crate) fn numeric_date(&mut self, name: &str) -> Option<i64> {
        /// The end of the year 9999.
        const SECONDS_MAX: f64 = 253_402_300_799.0;
        let seconds = self.take(name)?.as_f64();
        match seconds.filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds)) {
            Some(seconds) => Some((seconds * 1_000.0) as i64),
            None => self.bad(name, "is no number of seconds since 1970"),
        }
    }

    /// A list of strings that `parse` takes.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(values) = self.take(name)? else {
            return self.bad(name, "is not a list");
        };
        let parse = |value: &Value| value.as_str().and_then(&parse);
        match values.iter().map(parse).collect() {
            Some(list) => Some(list),
            None => self.bad(name, "holds what does not belong there"),
        }
    }

    /// A seq of the room.
    pub(crate) fn seq(&mut self, name: &str) -> Option<u64> {
        self.integer(name, 1..=i64::MAX as u64)
    }

    /// Seqs of the room: at least one, and at most so many.
    pub(crate) fn seqs(&mut self, name: &str, len_max: usize) -> Option<Vec<u64>> {
        let Value::Array(values) = self.take(name)? else {
            return self.bad(name, "is not a list");
        };
        if !(1..=len_max).contains(&values.len()) {
            return self.bad(name, format!("has not 1 to {len_max} seqs"));
        }
        let seq = |value: &Value| whole(value).filter(|seq| *seq > 0);
        match values
            .iter()
            .map(|value| Some(seq(value)? as u64))
            .collect()
        {
            Some(seqs) => Some(seqs),
            None => self.bad(name, "holds what is no seq"),
        }
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            _ => self.bad(name, "is not true or false"),
        }
    }

    /// An event's id.
    pub(crate) fn id(&mut self, name: &str) -> Option<EventId> {
        match uuid::Uuid::try_parse(&self.string(name)?) {
            Ok(uuid) => Some(uuid.into()),
            Err(_) => self.bad(name, "is not a UUID"),
        }
    }

    /// The fields of an object in this one.
    pub(crate) fn object(&mut self, name: &'static str) -> Option<Fields<'_>> {
        let object = match self.take(name)? {
            Value::Object(object) => object,
            _ => return self.bad(name, "is not an object"),
        };
        let prefix = match name {
            "user" => "user.",
            "device" => "device.",
            "style" => "style.",
            _ => "",
        };
        let found_before = self.findings.len();
        Some(Fields {
            index: self.index,
            prefix,
            object,
            findings: self.findings,
            found_before,
        })
    }

    /// String to string, in key order.
    pub(crate) fn ext(&mut self, name: &str) -> Ext<'static> {
        let object = match self.take(name) {
            None => return Ext::new(),
            Some(Value::Object(object)) => object,
            Some(_) => return self.bad(name, "is not an object").unwrap_or_default(),
        };
        if object.len() > EXT_LEN_MAX {
            self.error(name, "has more than 16 keys");
            return Ext::new();
        }
        let mut ext = Vec::with_capacity(object.len());
        for (key, value) in object {
            match value {
                Value::String(value) => ext.push((key, value)),
                _ => self.error(name, "holds a value that is not a string"),
            }
        }
        let bytes: usize = ext.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > EXT_BYTES_MAX {
            self.error(name, "is larger than 1024 bytes");
        }
        ext.sort();
        ext.into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    fn bad<T>(&mut self, name: &str, reason: impl Into<String>) -> Option<T> {
        self.error(name, reason);
        None
    }
}

/// A whole number, however it is written: to JSON Schema `74.0` and `7.4e1` are the integer 74.
fn whole(value: &Value) -> Option<i64> {
    /// Later than any moment. The JSON reader's floats are a few units off in their last place, which up
    /// to here is far less than 1: no number is taken for its neighbour.
    const EXACT_MAX: f64 = (1_u64 << 49) as f64;
    let written_otherwise = || {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
    };
    value.as_i64().or_else(written_otherwise)
}

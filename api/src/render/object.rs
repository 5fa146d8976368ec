//! A JSON object written field by field into a buffer, without a value tree.

use std::fmt::Display;
use std::io::Write;

/// An object that is being written. It must be ended.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> Object<'o> {
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            separator: b'{',
        }
    }

    pub(crate) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    /// Where the fields written so far end in the buffer.
    pub(crate) fn end_so_far(&self) -> usize {
        self.out.len()
    }

    /// A field whose value `write` appends. Names are ours and need no escaping.
    pub(crate) fn value(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out);
    }

    pub(crate) fn string(&mut self, name: &str, text: &str) {
        self.value(name, |out| string(text, out));
    }

    pub(crate) fn optional_string(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.string(name, text);
        }
    }

    /// A field with an integer.
    pub(crate) fn number(&mut self, name: &str, number: impl Display) {
        self.value(name, |out| {
            write!(out, "{number}").expect("a buffer takes everything");
        });
    }

    /// A field whose name is not ours.
    pub(crate) fn named_number(&mut self, name: &str, number: i64) {
        self.out.push(self.separator);
        self.separator = b',';
        string(name, self.out);
        write!(self.out, ":{number}").expect("a buffer takes everything");
    }

    pub(crate) fn optional_number(&mut self, name: &str, number: Option<impl Display>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    /// A field with an array, whose items `write` appends.
    pub(crate) fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        write: impl FnMut(T, &mut Vec<u8>),
    ) {
        self.value(name, |out| array(items, write, out));
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.value(name, |out| {
            out.extend_from_slice(if value { b"true" } else { b"false" });
        });
    }

    /// A field with string to string; none where it is empty.
    pub(crate) fn ext<T: AsRef<str>>(&mut self, name: &str, ext: &[(T, T)]) {
        if ext.is_empty() {
            return;
        }
        self.value(name, |out| {
            for (n, (key, value)) in ext.iter().enumerate() {
                out.push(if n == 0 { b'{' } else { b',' });
                string(key.as_ref(), out);
                out.push(b':');
                string(value.as_ref(), out);
            }
            out.push(b'}');
        });
    }
}

fn array<T>(
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    out.push(b'[');
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Appends a JSON string.
fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is JSON and a buffer takes everything");
}

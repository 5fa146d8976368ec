//! Where a trace goes on: the `traceparent` of W3C's Trace Context.
//!
//! Carried from whoever sent an event to whoever reads the log, and never read by us. What it does not
//! say in the form of the Recommendation is no trace: it is left out, and nothing is refused for it.

use std::fmt;

/// The bits of the flags that version 00 gives a meaning: sampled, and a random trace id.
const FLAGS_KNOWN: u8 = 0b11;

/// A request's place in a trace.
///
/// Read from any version, told again as version 00, the highest that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

impl Traceparent {
    /// The header of a value such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`; nothing
    /// where the value is no such header.
    pub fn parse(text: &str) -> Option<Self> {
        let (fields, further) = text.as_bytes().split_at_checked(55)?;
        let version = hexadecimal::<1>(&fields[..2])?;
        let is_whole = match version {
            [0xff] => false,
            [0] => further.is_empty(),
            // A later version may have more fields.
            _ => further.first().is_none_or(|first| *first == b'-'),
        };
        let is_apart = [2, 35, 52].iter().all(|at| fields[*at] == b'-');
        let [flags] = hexadecimal(&fields[53..])?;
        let parsed = Self {
            trace_id: hexadecimal(&fields[3..35])?,
            parent_id: hexadecimal(&fields[36..52])?,
            flags: flags & FLAGS_KNOWN,
        };
        let is_known = parsed.trace_id != [0; 16] && parsed.parent_id != [0; 8];
        (is_whole && is_apart && is_known).then_some(parsed)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let parent_id = u64::from_be_bytes(self.parent_id);
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{:02x}", self.flags)
    }
}

/// Twice as many digits as bytes, in lower case.
fn hexadecimal<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! What a server sends without end, put together from bytes as they come: WebSocket frames (RFC 6455)
//! and server-sent events, as far as this server sends them.
//!
//! Pure. A server's frames are unmasked and whole; a message that is part of neither is an end.

use bytes::{Buf, Bytes, BytesMut};

/// The largest message: far more than a page of 500 events.
const MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// A pong without a payload, masked as a client's frames are, by a mask of zeros.
pub const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message: a page, as a rule.
    Text(Bytes),
    /// Something that is told apart by name: `problem` or `end` in a stream.
    Named(String, Bytes),
    /// To be answered with a pong.
    Ping,
    /// Nothing that matters.
    Nothing,
    /// The end, with a code where there was one.
    Close(Option<u16>),
}

/// What came is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came is no message")]
pub struct NoMessage;

/// Takes the next frame off the bytes that came, if it is whole.
pub fn take_frame(unread: &mut BytesMut) -> Result<Option<Heard>, NoMessage> {
    let &[first, second, ref rest @ ..] = &unread[..] else {
        return Ok(None);
    };
    let is_whole_and_unmasked = first & 0xf0 == 0x80 && second & 0x80 == 0;
    if !is_whole_and_unmasked {
        return Err(NoMessage);
    }
    let (len, header_len) = match second {
        126 => match rest.first_chunk() {
            Some(len) => (u16::from_be_bytes(*len).into(), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(len) => (u64::from_be_bytes(*len), 10),
            None => return Ok(None),
        },
        len => (len.into(), 2),
    };
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= MESSAGE_BYTES_MAX);
    let len = len.ok_or(NoMessage)?;
    if unread.len() < header_len + len {
        return Ok(None);
    }
    unread.advance(header_len);
    let payload = unread.split_to(len).freeze();
    Ok(Some(match first & 0x0f {
        0x1 => Heard::Text(payload),
        0x8 => Heard::Close(payload.first_chunk().copied().map(u16::from_be_bytes)),
        0x9 => Heard::Ping,
        0xa => Heard::Nothing,
        _ => return Err(NoMessage),
    }))
}

/// Takes the next server-sent event off the bytes that came, if it is whole. `searched` is how many of
/// them are known to hold no end, and is kept for the next call.
pub fn take_event(unread: &mut BytesMut, searched: &mut usize) -> Result<Option<Heard>, NoMessage> {
    let from = searched.saturating_sub(1);
    let Some(at) = unread[from..].windows(2).position(|two| two == b"\n\n") else {
        *searched = unread.len();
        return match unread.len() <= MESSAGE_BYTES_MAX {
            true => Ok(None),
            false => Err(NoMessage),
        };
    };
    *searched = 0;
    let event = unread.split_to(from + at + 2).freeze();
    let (mut name, mut data) = (None, None);
    let mut begin = 0;
    for line in event.split(|byte| *byte == b'\n') {
        if let Some(told) = line.strip_prefix(b"data: ") {
            data = Some(event.slice(begin + line.len() - told.len()..begin + line.len()));
        } else if let Some(told) = line.strip_prefix(b"event: ") {
            name = Some(String::from_utf8_lossy(told).into_owned());
        }
        begin += line.len() + 1;
    }
    Ok(Some(match (name, data) {
        (None, Some(data)) => Heard::Text(data),
        (Some(name), Some(data)) => Heard::Named(name, data),
        _ => Heard::Nothing,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in parts of every length and tells what is taken.
    fn check(
        bytes: &[u8],
        expected: &[Heard],
        mut take: impl FnMut(&mut BytesMut, &mut usize) -> Result<Option<Heard>, NoMessage>,
    ) {
        for part_len in 1..=bytes.len() {
            let (mut unread, mut searched) = (BytesMut::new(), 0);
            let mut taken = Vec::new();
            for part in bytes.chunks(part_len) {
                unread.extend_from_slice(part);
                while let Some(heard) = take(&mut unread, &mut searched).expect("messages") {
                    taken.push(heard);
                }
            }
            assert_eq!(taken, expected, "in parts of {part_len}");
            assert!(unread.is_empty());
        }
    }

    #[test]
    fn frames_are_put_together() {
        let long = vec![b'x'; 300];
        let mut bytes = b"\x81\x02{}\x89\x00\x8a\x00\x81\x7e\x01\x2c".to_vec();
        bytes.extend_from_slice(&long);
        bytes.extend_from_slice(b"\x88\x05\x11\x38bye\x88\x00");
        let expected = [
            Heard::Text("{}".into()),
            Heard::Ping,
            Heard::Nothing,
            Heard::Text(long.into()),
            Heard::Close(Some(4_408)),
            Heard::Close(None),
        ];
        check(&bytes, &expected, |unread, _| take_frame(unread));
    }

    #[test]
    fn what_no_server_of_ours_sends_is_no_frame() {
        for bytes in [
            b"\x81\x82abcd".as_slice(),
            b"\x01\x02{}",
            b"\x82\x00",
            b"\x81\x7f\xff\0\0\0\0\0\0\0",
        ] {
            assert_eq!(take_frame(&mut bytes.into()), Err(NoMessage), "{bytes:x?}");
        }
    }

    #[test]
    fn events_are_put_together() {
        let bytes = b"retry: 1000\n\nid: 1:2\ndata: {\"a\":1}\n\n:\n\nevent: end\ndata: {}\n\n";
        let expected = [
            Heard::Nothing,
            Heard::Text("{\"a\":1}".into()),
            Heard::Nothing,
            Heard::Named("end".to_owned(), "{}".into()),
        ];
        check(bytes, &expected, take_event);
    }
}

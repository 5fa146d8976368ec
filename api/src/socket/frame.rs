//! WebSocket frames (RFC 6455, section 5): the client's in, the server's out.
//!
//! Plain functions over bytes. A client's frames are masked, without extensions, and its messages are
//! text of at most [`MESSAGE_BYTES_MAX`], in however many frames. The server's are never masked and never
//! in parts, so that a rendered frame is the same bytes for every client.

/// The longest message of a client, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1_024;
/// The most bytes of a control frame's payload.
const CONTROL_BYTES_MAX: usize = 125;
/// The most bytes before a client frame's payload.
const HEADER_BYTES_MAX: usize = 14;
/// The most bytes that wait to be read: a frame of the longest message.
pub(super) const UNREAD_BYTES_MAX: usize = HEADER_BYTES_MAX + MESSAGE_BYTES_MAX;

const IS_LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const IS_MASKED: u8 = 0x80;
const LEN_IN_2: u8 = 126;
const LEN_IN_8: u8 = 127;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// More of the message before it.
    Continuation = 0x0,
    /// A message, or its begin.
    Text = 0x1,
    /// The same, of bytes, which mean nothing here.
    Binary = 0x2,
    /// The end.
    Close = 0x8,
    /// To be answered.
    Ping = 0x9,
    /// An answer to a ping, or a sign of life.
    Pong = 0xa,
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message.
    Text(String),
    /// To be answered with the same bytes.
    Ping(Vec<u8>),
    /// It is there.
    Pong,
    /// It closes, with a code where it gave one.
    Close(Option<u16>),
}

/// What no client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation(pub(super) &'static str);

/// Puts messages together from bytes as they come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What has come and is not understood yet.
    pub(super) unread: Vec<u8>,
    /// The begin of a message whose other frames are still to come.
    begun: Option<Vec<u8>>,
}

struct Frame {
    is_last: bool,
    opcode: Opcode,
    payload: Vec<u8>,
}

impl Frames {
    /// The next thing that was said, if its bytes are there.
    pub(super) fn next(&mut self) -> Result<Option<Heard>, Violation> {
        while let Some(frame) = self.take()? {
            if let Some(heard) = self.understand(frame)? {
                return Ok(Some(heard));
            }
        }
        Ok(None)
    }

    /// The next frame, unmasked.
    fn take(&mut self) -> Result<Option<Frame>, Violation> {
        let Some((first, second)) = self.unread.first().zip(self.unread.get(1)) else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(Violation("no extension was agreed on"));
        }
        let opcode = opcode(first & 0x0f)?;
        let is_last = first & IS_LAST != 0;
        if second & IS_MASKED == 0 {
            return Err(Violation("a client's frames are masked"));
        }
        let Some((len, mask_at)) = self.payload_len(second & !IS_MASKED) else {
            return Ok(None);
        };
        let begun = self.begun.as_ref().map_or(0, Vec::len);
        check_len(opcode, is_last, len, begun)?;
        let begin = mask_at + 4;
        let end = begin + len as usize;
        if self.unread.len() < end {
            return Ok(None);
        }
        let mask: [u8; 4] = std::array::from_fn(|n| self.unread[mask_at + n]);
        let masked = self.unread[begin..end].iter().zip(mask.iter().cycle());
        let payload = masked.map(|(byte, mask)| byte ^ mask).collect();
        self.unread.drain(..end);
        Ok(Some(Frame {
            is_last,
            opcode,
            payload,
        }))
    }

    /// A payload's length, and where the mask before it stands.
    fn payload_len(&self, short: u8) -> Option<(u64, usize)> {
        let long = &self.unread[2..];
        match short {
            LEN_IN_2 => {
                let (len, _) = long.split_first_chunk()?;
                Some((u16::from_be_bytes(*len).into(), 4))
            }
            LEN_IN_8 => {
                let (len, _) = long.split_first_chunk()?;
                Some((u64::from_be_bytes(*len), 10))
            }
            short => Some((short.into(), 2)),
        }
    }

    /// What a frame says; nothing where more of its message is to come.
    fn understand(&mut self, frame: Frame) -> Result<Option<Heard>, Violation> {
        let message = match (frame.opcode, self.begun.take()) {
            (Opcode::Text, None) => frame.payload,
            (Opcode::Continuation, Some(mut begun)) => {
                begun.extend_from_slice(&frame.payload);
                begun
            }
            (Opcode::Text | Opcode::Continuation, _) => {
                return Err(Violation("a frame does not go on with its message"));
            }
            (Opcode::Binary, _) => return Err(Violation("messages are text")),
            (control, begun) => {
                self.begun = begun;
                return heard_control(control, frame.payload).map(Some);
            }
        };
        if !frame.is_last {
            self.begun = Some(message);
            return Ok(None);
        }
        let text = String::from_utf8(message).map_err(|_| Violation("a message is not UTF-8"))?;
        Ok(Some(Heard::Text(text)))
    }
}

fn opcode(bits: u8) -> Result<Opcode, Violation> {
    Ok(match bits {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return Err(Violation("a frame of no known kind")),
    })
}

fn check_len(opcode: Opcode, is_last: bool, len: u64, begun: usize) -> Result<(), Violation> {
    let is_control = opcode as u8 >= Opcode::Close as u8;
    if is_control && (!is_last || len > CONTROL_BYTES_MAX as u64) {
        return Err(Violation("a control frame is too long or in parts"));
    }
    if !is_control && len > (MESSAGE_BYTES_MAX - begun) as u64 {
        return Err(Violation("a message is too long"));
    }
    Ok(())
}

fn heard_control(opcode: Opcode, payload: Vec<u8>) -> Result<Heard, Violation> {
    Ok(match opcode {
        Opcode::Ping => Heard::Ping(payload),
        Opcode::Pong => Heard::Pong,
        _ => Heard::Close(match payload.split_first_chunk() {
            None if payload.is_empty() => None,
            None => return Err(Violation("half a close code")),
            Some((code, _)) => Some(u16::from_be_bytes(*code)),
        }),
    })
}

/// A frame of the server.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
    frame.push(IS_LAST | opcode as u8);
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..=0xffff => {
            frame.push(LEN_IN_2);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(LEN_IN_8);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// A message of the server.
pub(crate) fn text(message: &[u8]) -> Vec<u8> {
    frame(Opcode::Text, message)
}

/// The server's close; `reason` has at most 123 bytes.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    assert!(payload.len() <= CONTROL_BYTES_MAX, "a reason is short");
    frame(Opcode::Close, &payload)
}

#[cfg(test)]
mod tests;

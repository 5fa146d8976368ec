use super::*;

const MASK: [u8; 4] = [1, 2, 3, 200];

/// A client's frame: the first byte, then the payload, masked.
fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(IS_MASKED | len as u8),
        len @ 126..=0xffff => {
            frame.push(IS_MASKED | LEN_IN_2);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(IS_MASKED | LEN_IN_8);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// What is heard of bytes that come `step` at a time.
fn heard(bytes: &[u8], step: usize) -> Result<Vec<Heard>, Violation> {
    let mut frames = Frames::default();
    let mut heard = Vec::new();
    for part in bytes.chunks(step) {
        frames.unread.extend_from_slice(part);
        while let Some(next) = frames.next()? {
            heard.push(next);
        }
        assert!(frames.unread.len() <= UNREAD_BYTES_MAX + step);
    }
    Ok(heard)
}

fn text_of(len: usize) -> Heard {
    Heard::Text("x".repeat(len))
}

#[test]
fn messages_are_heard_however_their_bytes_come() {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for len in [0, 1, 125, 126, 300, MESSAGE_BYTES_MAX] {
        bytes.extend(sent(0x81, "x".repeat(len).as_bytes()));
        expected.push(text_of(len));
    }
    bytes.extend(sent(0x01, b"in "));
    bytes.extend(sent(0x89, b"between"));
    bytes.extend(sent(0x00, b"three "));
    bytes.extend(sent(0x8a, b""));
    bytes.extend(sent(0x80, "pärts".as_bytes()));
    bytes.extend(sent(0x88, &[0x03, 0xe8, b'b', b'y', b'e']));
    bytes.extend(sent(0x88, b""));
    expected.extend([
        Heard::Ping(b"between".to_vec()),
        Heard::Pong,
        Heard::Text("in three pärts".to_owned()),
        Heard::Close(Some(1_000)),
        Heard::Close(None),
    ]);
    for step in [1, 2, 7, 1_000, bytes.len()] {
        assert_eq!(heard(&bytes, step).as_ref(), Ok(&expected), "{step}");
    }
}

#[test]
fn what_no_client_may_send_is_a_violation() {
    let long = vec![b'x'; MESSAGE_BYTES_MAX + 1];
    let half = vec![b'x'; MESSAGE_BYTES_MAX / 2 + 1];
    let frames: [(&str, Vec<u8>); 13] = [
        ("masked", frame(Opcode::Text, b"x")),
        ("extension", sent(0xc1, b"x")),
        ("known kind", sent(0x83, b"x")),
        ("known kind", sent(0x8b, b"x")),
        ("text", sent(0x82, b"x")),
        ("go on", sent(0x80, b"x")),
        ("go on", [sent(0x01, b"x"), sent(0x81, b"x")].concat()),
        ("too long", sent(0x81, &long)),
        ("too long", [sent(0x01, &half), sent(0x80, &half)].concat()),
        ("in parts", sent(0x09, b"x")),
        ("in parts", sent(0x89, &[b'x'; 126])),
        ("half", sent(0x88, b"x")),
        ("UTF-8", sent(0x81, &[0xff])),
    ];
    for (why, bytes) in frames {
        for step in [1, bytes.len()] {
            let Err(Violation(told)) = heard(&bytes, step) else {
                panic!("{why} was taken")
            };
            assert!(told.contains(why), "{told}, not {why}");
        }
    }
}

/// A length is judged before its bytes come.
#[test]
fn nothing_is_kept_of_a_message_that_is_too_long() {
    let mut header = vec![0x81, IS_MASKED | LEN_IN_8];
    header.extend_from_slice(&u64::MAX.to_be_bytes());
    assert!(heard(&header, 1).is_err());
}

#[test]
fn bytes_at_random_are_heard_or_refused() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..2_000 {
        let mut bytes: Vec<u8> = (0..rng.usize(1..64)).map(|_| rng.u8(..)).collect();
        bytes[0] &= 0x8f;
        // Whatever it is, it ends.
        let _ = heard(&bytes, rng.usize(1..9));
    }
}

#[test]
fn a_frame_of_the_server_says_its_length() {
    for (len, header) in [
        (0, vec![0x81, 0]),
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (0xffff, vec![0x81, 126, 0xff, 0xff]),
        (0x1_0000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let message = vec![b'x'; len];
        assert_eq!(text(&message), [header, message].concat(), "{len}");
    }
    assert_eq!(close(4_408, "too slow")[..4], [0x88, 10, 0x11, 0x38]);
}

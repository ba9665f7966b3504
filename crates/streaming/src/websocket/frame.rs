//! Frames (RFC 6455, section 5).

/// Everything was said.
pub(crate) const NORMAL: u16 = 1000;
/// The client broke the protocol.
pub(super) const PROTOCOL: u16 = 1002;
/// A message is not what its type says.
pub(super) const NOT_CONSISTENT: u16 = 1007;

const CONTROL_MAX: u64 = 125;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) length: u64,
    pub(super) mask: [u8; 4],
}

/// What makes a connection unusable.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum FrameError {
    #[error("reserved bits are set; no extension was agreed on")]
    Reserved,
    #[error("opcode {0} is unknown")]
    Opcode(u8),
    #[error("a client's frame without a mask")]
    NoMask,
    #[error("a control frame in pieces, or longer than 125 bytes")]
    Control,
    #[error("a length that is not written in the fewest bytes, or has 64 bits")]
    Length,
    #[error("a piece of a message that was not begun, or a new one inside of another")]
    Fragment,
    #[error("a message that is no base64")]
    Base64,
    #[error("a close signal that does not name one channel")]
    CloseSignal,
    #[error("the client sends what must be answered and does not read the answers")]
    Flood,
}

impl FrameError {
    /// The code to close with.
    pub(super) fn code(self) -> u16 {
        if self == Self::Base64 { NOT_CONSISTENT } else { PROTOCOL }
    }
}

/// How many bytes of a client's head follow the first two.
pub(super) fn rest_of_head(second: u8) -> Result<usize, FrameError> {
    if second & 0x80 == 0 {
        return Err(FrameError::NoMask);
    }
    Ok(match second & 0x7f {
        126 => 6,
        127 => 12,
        _ => 4,
    })
}

/// Reads a head out of its first two bytes and the `rest_of_head`.
pub(super) fn parse(first: u8, second: u8, rest: &[u8]) -> Result<Head, FrameError> {
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let opcode = match opcode {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => return Err(FrameError::Opcode(other)),
    };
    let (extended, mask) = rest.split_last_chunk::<4>().ok_or(FrameError::Length)?;
    let extended = extended.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = match second & 0x7f {
        126 if extended < 126 => return Err(FrameError::Length),
        127 if extended < 1 << 16 || extended >> 63 != 0 => return Err(FrameError::Length),
        126 | 127 => extended,
        short => u64::from(short),
    };
    let control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if control && (!fin || length > CONTROL_MAX) {
        return Err(FrameError::Control);
    }
    Ok(Head { fin, opcode, length, mask: *mask })
}

/// A whole message or control frame of ours, made of parts.
fn write(opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(length + 10);
    frame.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            // usize has no more than 64 bits.
            frame.extend((length as u64).to_be_bytes());
        }
    }
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
}

pub(super) fn binary(parts: &[&[u8]]) -> Vec<u8> {
    write(2, parts)
}

pub(super) fn text(text: &[u8]) -> Vec<u8> {
    write(1, &[text])
}

pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    write(10, &[payload])
}

pub(super) fn close_with(code: u16) -> Vec<u8> {
    write(8, &[&code.to_be_bytes()])
}

/// The last frame of a connection where all went well.
pub(crate) fn close() -> Vec<u8> {
    close_with(NORMAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(frame: &[u8]) -> Result<Head, FrameError> {
        let rest = rest_of_head(frame[1])?;
        parse(frame[0], frame[1], &frame[2..2 + rest])
    }

    #[test]
    fn heads_of_the_rfc() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d];
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(parsed(&hello), Ok(Head { fin: true, opcode: Opcode::Text, length: 5, mask }));
        let medium = [0x02, 0xfe, 1, 0, 9, 9, 9, 9];
        let head = Head { fin: false, opcode: Opcode::Binary, length: 256, mask: [9; 4] };
        assert_eq!(parsed(&medium), Ok(head));
        let long = [0x80, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9];
        assert_eq!(parsed(&long).expect("a head").length, 65536);
    }

    #[test]
    fn wrong_heads_are_refused() {
        let cases: [(&[u8], FrameError); 8] = [
            (&[0xc1, 0x80, 0, 0, 0, 0], FrameError::Reserved),
            (&[0x83, 0x80, 0, 0, 0, 0], FrameError::Opcode(3)),
            (&[0x81, 0x00, 0, 0, 0, 0], FrameError::NoMask),
            (&[0x09, 0x80, 0, 0, 0, 0], FrameError::Control),
            (&[0x89, 0xfe, 0, 200, 0, 0, 0, 0], FrameError::Control),
            (&[0x81, 0xfe, 0, 5, 0, 0, 0, 0], FrameError::Length),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], FrameError::Length),
            (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], FrameError::Length),
        ];
        for (frame, error) in cases {
            assert_eq!(parsed(frame), Err(error), "{frame:02x?}");
        }
    }

    #[test]
    fn what_is_written() {
        assert_eq!(text(b"Hello"), [0x81, 5, b'H', b'e', b'l', b'l', b'o']);
        assert_eq!(binary(&[&[1], b"a"]), [0x82, 2, 1, b'a']);
        assert_eq!(binary(&[&[0; 126]])[..4], [0x82, 126, 0, 126]);
        assert_eq!(binary(&[&[0; 65536]])[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close(), [0x88, 2, 3, 0xe8]);
        assert_eq!(pong(b"x"), [0x8a, 1, b'x']);
    }
}

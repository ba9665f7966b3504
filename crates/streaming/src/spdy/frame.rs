//! Frames: eight bytes of head, then a payload (SPDY/3, section 2.2).

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 8;
/// The largest payload of a control frame that is read.
pub(super) const MAX_CONTROL: usize = 16 * 1024;
/// Settings in one frame; the specification knows eight.
const MAX_SETTINGS: usize = 64;
const INITIAL_WINDOW: u32 = 7;

const FLAG_FIN: u8 = 1;
const FLAG_UNIDIRECTIONAL: u8 = 2;

/// Status of RST_STREAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    Invalid = 2,
    Refused = 3,
    Cancel = 5,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Data { stream: u32, fin: bool, length: usize },
    Control { kind: u16, flags: u8, length: usize },
}

/// What a control frame says, as far as we care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control<'p> {
    Open { stream: u32, fin: bool, one_way: bool, block: &'p [u8] },
    Reply,
    Reset { stream: u32 },
    Settings { initial_window: Option<u32> },
    Ping { id: u32 },
    GoAway,
    Headers { stream: u32, fin: bool, block: &'p [u8] },
    Window { stream: u32, delta: u32 },
    Unknown,
}

/// What makes a connection unusable.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum FrameError {
    #[error("version {0} of SPDY, not 3")]
    Version(u16),
    #[error("a control frame of type {kind} with {length} bytes")]
    Length { kind: u16, length: usize },
    #[error("a stream id that is not odd and greater than the one before: {0}")]
    StreamId(u32),
    #[error("a compressed header block that can't be read")]
    Headers,
    #[error("a reply to a stream that was never opened")]
    Reply,
    #[error("the client sends what must be answered and does not read the answers")]
    Flood,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn stream_id(bytes: &[u8], at: usize) -> Option<u32> {
    word(bytes, at).map(|id| id & 0x7fff_ffff)
}

pub(super) fn parse_head(bytes: [u8; HEAD]) -> Result<Head, FrameError> {
    let [a, b, c, d, flags, x, y, z] = bytes;
    let first = u32::from_be_bytes([a, b, c, d]);
    // 24 bits fit.
    let length = u32::from_be_bytes([0, x, y, z]) as usize;
    if first & 0x8000_0000 == 0 {
        return Ok(Head::Data { stream: first, fin: flags & FLAG_FIN != 0, length });
    }
    let (version, kind) = (u16::from_be_bytes([a & 0x7f, b]), u16::from_be_bytes([c, d]));
    if version != 3 {
        return Err(FrameError::Version(version));
    }
    if length > MAX_CONTROL {
        return Err(FrameError::Length { kind, length });
    }
    Ok(Head::Control { kind, flags, length })
}

pub(super) fn parse_control(
    kind: u16,
    flags: u8,
    payload: &[u8],
) -> Result<Control<'_>, FrameError> {
    let wrong = FrameError::Length { kind, length: payload.len() };
    let exactly = |length| if payload.len() == length { Ok(()) } else { Err(wrong) };
    let id = |at| stream_id(payload, at).ok_or(wrong);
    let fin = flags & FLAG_FIN != 0;
    Ok(match kind {
        1 => Control::Open {
            stream: id(0)?,
            fin,
            one_way: flags & FLAG_UNIDIRECTIONAL != 0,
            // The associated stream, priority and slot in between mean nothing
            // to us.
            block: payload.get(10..).ok_or(wrong)?,
        },
        2 => Control::Reply,
        3 => {
            exactly(8)?;
            Control::Reset { stream: id(0)? }
        }
        4 => {
            let count = word(payload, 0).ok_or(wrong)? as usize;
            if count > MAX_SETTINGS {
                return Err(wrong);
            }
            exactly(4 + 8 * count)?;
            let initial = (0..count)
                .filter(|i| {
                    word(payload, 4 + 8 * i).is_some_and(|s| s & 0xff_ffff == INITIAL_WINDOW)
                })
                .find_map(|i| word(payload, 8 + 8 * i));
            Control::Settings { initial_window: initial }
        }
        6 => {
            exactly(4)?;
            Control::Ping { id: word(payload, 0).ok_or(wrong)? }
        }
        7 => {
            exactly(8)?;
            Control::GoAway
        }
        8 => Control::Headers { stream: id(0)?, fin, block: payload.get(4..).ok_or(wrong)? },
        9 => {
            exactly(8)?;
            Control::Window { stream: id(0)?, delta: id(4)? }
        }
        _ => Control::Unknown,
    })
}

fn control(kind: u8, payload: &[&[u8]]) -> Vec<u8> {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    let mut frame = vec![0x80, 3, 0, kind, 0];
    frame.extend(length_24(length));
    for part in payload {
        frame.extend_from_slice(part);
    }
    frame
}

fn length_24(length: usize) -> [u8; 3] {
    // Nobody here makes a frame of 16 MiB.
    let [_, x, y, z] = u32::try_from(length).unwrap_or(0xff_ffff).to_be_bytes();
    [x, y, z]
}

pub(super) fn data(stream: u32, payload: &[u8], fin: bool) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + payload.len());
    frame.extend(stream.to_be_bytes());
    frame.push(if fin { FLAG_FIN } else { 0 });
    frame.extend(length_24(payload.len()));
    frame.extend_from_slice(payload);
    frame
}

pub(super) fn reply(stream: u32, block: &[u8]) -> Vec<u8> {
    control(2, &[&stream.to_be_bytes(), block])
}

pub(super) fn reset(stream: u32, status: Reset) -> Vec<u8> {
    control(3, &[&stream.to_be_bytes(), &(status as u32).to_be_bytes()])
}

pub(super) fn ping(id: u32) -> Vec<u8> {
    control(6, &[&id.to_be_bytes()])
}

pub(super) fn go_away(last: u32, protocol_error: bool) -> Vec<u8> {
    control(7, &[&last.to_be_bytes(), &u32::from(protocol_error).to_be_bytes()])
}

pub(super) fn window(stream: u32, delta: u32) -> Vec<u8> {
    control(9, &[&stream.to_be_bytes(), &delta.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(frame: &[u8]) -> (Head, &[u8]) {
        let (head, payload) = frame.split_at(HEAD);
        (parse_head(head.try_into().expect("eight bytes")).expect("a head"), payload)
    }

    #[test]
    fn data_frames() {
        let frame = data(5, b"abc", true);
        assert_eq!(frame, [0, 0, 0, 5, 1, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!(split(&frame).0, Head::Data { stream: 5, fin: true, length: 3 });
    }

    #[test]
    fn control_frames_of_the_specification() {
        assert_eq!(ping(7), [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 7]);
        assert_eq!(reset(3, Reset::Cancel), [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 5]);
        assert_eq!(window(1, 0x1_0000), [0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0, 0]);
        assert_eq!(go_away(9, true), [0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 1]);
        let frame = reply(1, b"xy");
        assert_eq!(frame, [0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 1, b'x', b'y']);
        assert_eq!(split(&frame).0, Head::Control { kind: 2, flags: 0, length: 6 });
    }

    #[test]
    fn what_is_parsed() {
        let open = [0x80, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2];
        let expected = Control::Open { stream: 3, fin: true, one_way: false, block: &[1, 2] };
        assert_eq!(parse_control(1, 1, &open), Ok(expected));
        let settings = [0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 1, 0, 0, 7, 0, 0, 4, 0];
        let expected = Control::Settings { initial_window: Some(1024) };
        assert_eq!(parse_control(4, 0, &settings), Ok(expected));
        assert_eq!(parse_control(99, 0, &[]), Ok(Control::Unknown));
    }

    #[test]
    fn wrong_lengths_and_versions_are_refused() {
        for (kind, length) in [(1, 9), (3, 7), (4, 3), (4, 5), (6, 5), (7, 4), (8, 3), (9, 9)] {
            let payload = vec![0xff; length];
            assert!(parse_control(kind, 0, &payload).is_err(), "{kind} {length}");
        }
        assert_eq!(parse_head([0x80, 2, 0, 1, 0, 0, 0, 0]), Err(FrameError::Version(2)));
        let long = parse_head([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]);
        assert_eq!(long, Err(FrameError::Length { kind: 1, length: 0xff_ffff }));
    }
}

//! ttrpc (containerd/ttrpc, PROTOCOL.md): requests and responses in frames.
//!
//! A frame is a header of ten bytes (length of the data and number of the
//! stream, 32 bits each, big-endian; type; flags) and the data.

use std::time::Duration;

use crate::protobuf::{Malformed, Message, Writer};

const HEADER: usize = 10;
/// Longest data, as containerd has it.
const LONGEST: usize = 4 << 20;
/// So much of a reason is kept.
const LONGEST_WORDS: usize = 4096;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What ties a response to its request.
    pub stream: u32,
    /// Whether it is a request.
    pub is_request: bool,
    /// The message.
    pub data: Vec<u8>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Of which service.
    pub service: String,
    /// What.
    pub method: String,
    /// With which message.
    pub payload: Vec<u8>,
    /// How long the caller is going to wait; `None`: without end.
    pub limit: Option<Duration>,
}

/// Takes the next whole frame from what has come in.
pub fn take_frame(incoming: &mut Vec<u8>) -> Result<Option<Frame>, Malformed> {
    let Some(&[a, b, c, d, e, f, g, h, kind, _]) = incoming.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| Malformed)?;
    if length > LONGEST || !matches!(kind, REQUEST | RESPONSE) {
        return Err(Malformed);
    }
    if incoming.len() < HEADER + length {
        return Ok(None);
    }
    let rest = incoming.split_off(HEADER + length);
    let mut data = std::mem::replace(incoming, rest);
    data.drain(..HEADER);
    let stream = u32::from_be_bytes([e, f, g, h]);
    Ok(Some(Frame { stream, is_request: kind == REQUEST, data }))
}

fn frame(stream: u32, kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEADER + data.len());
    frame.extend(length.to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend([kind, 0]);
    frame.extend(data);
    frame
}

impl Call {
    /// Reads a request's data.
    pub fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let message = Message::parse(data)?;
        Ok(Self {
            service: message.text(1)?,
            method: message.text(2)?,
            payload: message.bytes(3).to_vec(),
            limit: Some(message.number(4)).filter(|nanos| *nanos > 0).map(Duration::from_nanos),
        })
    }

    /// The frame of this request.
    pub fn frame(&self, stream: u32) -> Vec<u8> {
        let data = Writer::default()
            .text(1, &self.service)
            .text(2, &self.method)
            .message(3, &self.payload)
            .number(
                4,
                self.limit.map_or(0, |limit| u64::try_from(limit.as_nanos()).unwrap_or_default()),
            )
            .done();
        frame(stream, REQUEST, &data)
    }
}

/// Why a call was not done: gRPC's number and words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// One of [`code`].
    pub code: u64,
    /// For people.
    pub message: String,
}

/// gRPC's numbers for reasons.
pub mod code {
    /// Anything else.
    pub const UNKNOWN: u64 = 2;
    /// The request makes no sense.
    pub const INVALID_ARGUMENT: u64 = 3;
    /// It took too long.
    pub const DEADLINE_EXCEEDED: u64 = 4;
    /// There is no such thing.
    pub const NOT_FOUND: u64 = 5;
    /// There is such a thing already.
    pub const ALREADY_EXISTS: u64 = 6;
    /// Too much is going on.
    pub const RESOURCE_EXHAUSTED: u64 = 8;
    /// It does not fit what is going on.
    pub const FAILED_PRECONDITION: u64 = 9;
    /// There is no such call.
    pub const UNIMPLEMENTED: u64 = 12;
}

/// The frame of a response.
#[must_use]
pub fn response(stream: u32, outcome: Result<&[u8], Refusal>) -> Vec<u8> {
    let data = match outcome {
        Ok(payload) => Writer::default().message(2, payload).done(),
        Err(refusal) => {
            let status = Writer::default().number(1, refusal.code).text(2, &refusal.message).done();
            Writer::default().message(1, &status).done()
        }
    };
    frame(stream, RESPONSE, &data)
}

/// Reads a response's data.
///
/// # Errors
/// [`Malformed`]; inside, what the other side says.
pub fn parse_response(data: &[u8]) -> Result<Result<Vec<u8>, Refusal>, Malformed> {
    let message = Message::parse(data)?;
    let status = Message::parse(message.bytes(1))?;
    match status.number(1) {
        0 => Ok(Ok(message.bytes(2).to_vec())),
        code => {
            let words = String::from_utf8_lossy(status.bytes(2));
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            let message = words.chars().map(plain).take(LONGEST_WORDS).collect();
            Ok(Err(Refusal { code, message }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_arrive() {
        let call = Call {
            limit: None,
            service: "s.Task".into(),
            method: "State".into(),
            payload: b"abc".to_vec(),
        };
        let bytes = call.frame(7);
        let mut incoming = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(take_frame(&mut incoming).unwrap(), None, "after {at} bytes");
            incoming.push(*byte);
        }
        incoming.extend(response(
            9,
            Err(Refusal { code: code::NOT_FOUND, message: "gone".to_owned() }),
        ));
        let first = take_frame(&mut incoming).unwrap().unwrap();
        assert_eq!((first.stream, first.is_request), (7, true));
        assert_eq!(Call::parse(&first.data).unwrap(), call);
        let second = take_frame(&mut incoming).unwrap().unwrap();
        assert_eq!((second.stream, second.is_request, incoming.len()), (9, false, 0));
        let refusal = parse_response(&second.data).unwrap().unwrap_err();
        assert_eq!((refusal.code, refusal.message.as_str()), (5, "gone"));
    }

    #[test]
    fn a_giant_is_refused_before_it_comes() {
        let mut giant = vec![255; HEADER];
        assert_eq!(take_frame(&mut giant), Err(Malformed));
        let mut odd = frame(1, 9, b"");
        assert_eq!(take_frame(&mut odd), Err(Malformed));
    }
}

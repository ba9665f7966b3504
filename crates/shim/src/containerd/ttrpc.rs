//! ttrpc (containerd/ttrpc, PROTOCOL.md): requests and responses in frames.
//!
//! A frame is a header of ten bytes (length of the data and number of the
//! stream, 32 bits each, big-endian; type; flags) and the data.

use super::protobuf::{Malformed, Message, Writer};
use crate::{Fault, FaultKind};

const HEADER: usize = 10;
/// Longest data, as containerd has it.
const LONGEST: usize = 4 << 20;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) stream: u32,
    pub(crate) is_request: bool,
    pub(crate) data: Vec<u8>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) payload: Vec<u8>,
}

/// Takes the next whole frame from what has come in.
pub(crate) fn take_frame(incoming: &mut Vec<u8>) -> Result<Option<Frame>, Malformed> {
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
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let message = Message::parse(data)?;
        Ok(Self {
            service: message.text(1)?,
            method: message.text(2)?,
            payload: message.bytes(3).to_vec(),
        })
    }

    /// The frame of this request.
    pub(crate) fn frame(&self, stream: u32) -> Vec<u8> {
        let data = Writer::default()
            .text(1, &self.service)
            .text(2, &self.method)
            .message(3, &self.payload)
            .done();
        frame(stream, REQUEST, &data)
    }
}

/// The frame of a response.
pub(crate) fn response(stream: u32, outcome: Result<&[u8], &Fault>) -> Vec<u8> {
    let data = match outcome {
        Ok(payload) => Writer::default().message(2, payload).done(),
        Err(fault) => {
            let status =
                Writer::default().number(1, code(fault.kind)).text(2, &fault.message).done();
            Writer::default().message(1, &status).done()
        }
    };
    frame(stream, RESPONSE, &data)
}

/// gRPC's number for it.
fn code(kind: FaultKind) -> u64 {
    match kind {
        FaultKind::Invalid => 3,
        FaultKind::TimedOut => 4,
        FaultKind::NotFound => 5,
        FaultKind::Busy => 8,
        FaultKind::WrongStatus => 9,
        FaultKind::Unsupported => 12,
        FaultKind::NoProgram | FaultKind::NotExecutable | FaultKind::Failed => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_arrive() {
        let call =
            Call { service: "s.Task".into(), method: "State".into(), payload: b"abc".to_vec() };
        let bytes = call.frame(7);
        let mut incoming = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(take_frame(&mut incoming).unwrap(), None, "after {at} bytes");
            incoming.push(*byte);
        }
        incoming.extend(response(9, Err(&Fault::new(FaultKind::NotFound, "gone"))));
        let first = take_frame(&mut incoming).unwrap().unwrap();
        assert_eq!((first.stream, first.is_request), (7, true));
        assert_eq!(Call::parse(&first.data).unwrap(), call);
        let second = take_frame(&mut incoming).unwrap().unwrap();
        assert_eq!((second.stream, second.is_request, incoming.len()), (9, false, 0));
        let status = Message::parse(&second.data).unwrap();
        let status = Message::parse(status.bytes(1)).unwrap();
        assert_eq!((status.number(1), status.text(2).unwrap().as_str()), (5, "gone"));
    }

    #[test]
    fn a_giant_is_refused_before_it_comes() {
        let mut giant = vec![255; HEADER];
        assert_eq!(take_frame(&mut giant), Err(Malformed));
        let mut odd = frame(1, 9, b"");
        assert_eq!(take_frame(&mut odd), Err(Malformed));
    }
}

//! SPDY/3.1, the side that is called: the other one opens all streams.

mod dictionary;
mod frame;
mod headers;
mod reader;
mod session;
mod window;

pub(crate) use session::{Session, SpdySender, SpdyStream};

/// The last frame of a connection where all went well.
pub(crate) fn go_away() -> Vec<u8> {
    frame::go_away(0, false)
}

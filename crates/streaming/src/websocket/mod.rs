//! WebSocket (RFC 6455), the side that is called. Messages of any size pass
//! through as they come; none is held in whole.

mod channels;
mod codec;
mod frame;
mod reader;
mod tunnel;

pub(crate) use channels::{ChannelSender, Channels, read_channels};
pub(crate) use frame::close;
pub(crate) use tunnel::{read_tunnel, write_tunnel};

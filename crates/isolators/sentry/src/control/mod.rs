//! How a running sandbox is spoken to from outside: the control socket in the
//! container's state directory.
//!
//! A request is one datagram with descriptors: a socket of the requester's own, on
//! which the conversation goes on, a file with what is asked for, and the
//! descriptors of a program that is to be executed. Only root reaches the socket;
//! what comes is checked all the same. Nobody is accepted or connected to: the
//! sentry can't make a socket.

mod forward;
mod join;
mod message;
mod server;
mod update;

pub(crate) use join::Joining;
pub(crate) use message::{Answer, Order, Told, receive, send};
pub(crate) use server::{cause, program, serve};

/// First byte of a request: this program's format.
pub(crate) const VERSION: u8 = 1;
/// Second byte: execute a program.
pub(crate) const EXECUTE: u8 = 1;
/// Second byte: make a further container ([`Joining`]).
pub(crate) const JOIN: u8 = 2;
/// Second byte: connect to a TCP port of the loopback interface, which the two bytes behind
/// it number; the second descriptor is a stream to copy to and from it.
pub(crate) const CONNECT: u8 = 3;
/// Second byte: these are new limits of the container.
pub(crate) const UPDATE: u8 = 4;
/// Descriptors that a program can be given.
pub(crate) const MAX_STREAMS: usize = 64;
/// Length of what is asked for, in a file of its own.
pub(crate) const MAX_REQUEST: usize = 4 << 20;

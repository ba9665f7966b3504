//! containerd's side: what a shim of it is asked, in its own encoding.
//!
//! The program under the name `containerd-shim-caisson-native-v2`, or `-sentry-v2`, is such a shim
//! (containerd, `core/runtime/v2/README.md`): containerd runs it with
//! `start`, connects to the socket that it prints, and speaks ttrpc there.

pub(crate) mod command;
pub(crate) mod events;

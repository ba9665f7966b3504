//! The sentry as an isolator: containers whose programs run on a kernel of their
//! own. All else of a container (its mounts, cgroup, namespaces, hooks, state) is
//! made by `caisson-native`, so the sandbox is inside of that wall, too.

pub(crate) mod adapt;
mod connect;
mod container;
mod exec;
mod guest;
mod isolator;
mod join;
mod pause;
mod terminal;
mod update;

pub use isolator::{NAME, NetworkMode, SentryIsolator, Settings};

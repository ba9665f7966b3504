//! The daemon from outside: its contract, its socket, and hostile clients.

#![cfg(test)]

mod authority;
mod calls;
mod client;
mod contract;
mod garbage;
mod tracing;

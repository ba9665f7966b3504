//! Unpacking layers: against GNU tar, against hostile archives, and what is
//! particular to layers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod archive;
mod gnu_tar;
mod hostile;
mod layers;
mod malformed;
mod mutations;
mod outcome;
mod rootless;
mod sandbox;
mod sparse;
mod tree;
mod writer;

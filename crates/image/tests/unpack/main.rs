//! Unpacking layers: against GNU tar, against hostile archives, and what is
//! particular to layers.

mod archive;
mod gnu_tar;
mod hostile;
mod layers;
mod mutations;
mod sandbox;
mod sparse;
mod tree;

//! A `create` that fails, or is killed, at any step leaves nothing behind.

#![cfg(test)]

mod bundle;

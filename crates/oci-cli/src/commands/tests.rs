//! Tests over all commands.

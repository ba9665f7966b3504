//! Device rules: who may read, write and make which device node.

pub(crate) mod program;
pub(crate) mod rule;
pub(crate) mod set;
pub(crate) mod v1;
pub(crate) mod v2;

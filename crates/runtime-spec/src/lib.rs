//! caisson-runtime-spec

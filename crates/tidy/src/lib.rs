//! caisson-tidy

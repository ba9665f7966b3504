//! caisson-isolator

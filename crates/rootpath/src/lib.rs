//! caisson-rootpath

//! caisson-native

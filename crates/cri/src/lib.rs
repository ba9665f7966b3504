//! CRI v1 over gRPC. Translates between the contract and the engine, and decides
//! nothing itself.

pub mod v1;

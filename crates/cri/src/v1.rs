//! The messages and services of `proto/cri.proto`.

// Made by prost from the contract: its names, its style.
#![allow(missing_docs, unreachable_pub, unused_qualifications)]
#![allow(clippy::all, clippy::pedantic, reason = "made by prost from the contract")]

tonic::include_proto!("runtime.v1");

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

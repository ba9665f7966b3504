//! caisson-oci-cli

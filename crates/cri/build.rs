//! Turns `proto/` into Rust, without protoc.

use std::path::{Path, PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(["cri.proto"], [&root])?;
    // For the tests that walk the contract.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    std::fs::write(out.join("cri.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Maps in a stable order: what is logged and compared stays the same.
        .btree_map(".")
        // Holds passwords; what it shows is written by hand.
        .skip_debug(["runtime.v1.AuthConfig"])
        .compile_fds(files)?;
    Ok(())
}

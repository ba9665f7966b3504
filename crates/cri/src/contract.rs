//! The contract as it was built, for tests and for whoever wants to look.

/// The descriptors of `proto/cri.proto` and what it imports, as a
/// `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cri.bin"));

/// Services and their calls.
#[cfg(test)]
pub(crate) fn services() -> Vec<(String, Vec<String>)> {
    use prost::Message as _;
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let services = set.file.into_iter().flat_map(|file| file.service);
    let calls = |service: prost_types::ServiceDescriptorProto| {
        let names = service.method.iter().map(|m| m.name().to_owned()).collect();
        (service.name().to_owned(), names)
    };
    services.map(calls).collect()
}

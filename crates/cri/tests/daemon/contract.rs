//! The ledger `coverage/cri.tsv` against our descriptor.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const LEDGER: &str = include_str!("../../../../coverage/cri.tsv");

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(caisson_cri::contract::DESCRIPTORS).unwrap()
}

/// Services in full and their calls.
pub(crate) fn methods() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in descriptors().file {
        for service in file.service {
            let name = format!("{}.{}", file.package.clone().unwrap_or_default(), service.name());
            all.extend(service.method.iter().map(|m| (name.clone(), m.name().to_owned())));
        }
    }
    all
}

fn last(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

fn word(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => last(field.type_name()),
        Type::Double => "double".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Uint64 => "uint64".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::String => "string".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        other => panic!("{other:?} is new to the contract"),
    }
}

/// The type as the .proto has it.
fn kind(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry = message.nested_type.iter().find(|nested| {
        let map = nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
        map && field.type_name().ends_with(&format!(".{}.{}", message.name(), nested.name()))
    });
    match (entry, field.label()) {
        (Some(entry), _) => format!("map<{}, {}>", word(&entry.field[0]), word(&entry.field[1])),
        (None, Label::Repeated) => format!("repeated {}", word(field)),
        _ => word(field),
    }
}

fn messages() -> BTreeMap<String, DescriptorProto> {
    let all = descriptors().file.into_iter().flat_map(|file| file.message_type);
    all.map(|message| (message.name().to_owned(), message)).collect()
}

/// Messages that hold, or are held by, those in `from`.
fn reachable(all: &BTreeMap<String, DescriptorProto>, from: Vec<String>) -> BTreeSet<String> {
    let (mut seen, mut todo) = (BTreeSet::new(), from);
    while let Some(name) = todo.pop() {
        let Some(message) = all.get(&name) else { continue };
        if seen.insert(name) {
            todo.extend(message.field.iter().map(|field| last(field.type_name())));
        }
    }
    seen
}

#[test]
fn the_ledger_has_one_sound_row_for_every_field() {
    let all = messages();
    let calls: Vec<_> = descriptors().file.into_iter().flat_map(|f| f.service).collect();
    let calls: Vec<_> = calls.into_iter().flat_map(|service| service.method).collect();
    let asked = reachable(&all, calls.iter().map(|m| last(m.input_type())).collect());
    let answered = reachable(&all, calls.iter().map(|m| last(m.output_type())).collect());
    let mut expected = BTreeSet::new();
    for (name, message) in &all {
        for field in &message.field {
            let kind = kind(message, field);
            expected.insert(format!("{name}.{}\t{}\t{kind}", field.name(), field.number()));
        }
    }
    let mut found = BTreeSet::new();
    for line in LEDGER.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [path, number, kind, status, note] = columns[..] else {
            panic!("not five columns: {line:?}");
        };
        let message = path.split('.').next().unwrap();
        let sound = match status {
            "honoured" => asked.contains(message),
            "refused" | "ignored" => asked.contains(message) && !note.is_empty(),
            "sent" => answered.contains(message),
            "never" => answered.contains(message) && !note.is_empty(),
            _ => false,
        };
        assert!(
            sound,
            "{path}: {status:?} is no status, lacks its reason, or is of the other side"
        );
        assert!(found.insert(format!("{path}\t{number}\t{kind}")), "{path} is there twice");
    }
    let missing: Vec<_> = expected.difference(&found).collect();
    let strange: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:#?} strange {strange:#?}");
}

#[test]
fn the_contract_has_all_of_its_calls() {
    let count = |name: &str| methods().iter().filter(|(service, _)| service == name).count();
    assert_eq!(count("runtime.v1.RuntimeService"), 37);
    assert_eq!(count("runtime.v1.ImageService"), 6);
}

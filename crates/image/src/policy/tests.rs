use super::{Policy, PolicyError};
use crate::registry::RegistrySettings;
use crate::{Digest, RegistryClient};

fn outcome(policy: &Policy, reference: &str) -> Result<(), PolicyError> {
    let client = RegistryClient::new(RegistrySettings { retries: 0, ..RegistrySettings::bare() });
    policy.check(&client, &reference.parse().unwrap(), &[Digest::sha256(b"x")])
}

#[test]
fn the_narrowest_scope_counts() {
    let policy = Policy::parse(
        br#"{"default":[{"type":"reject"}],"transports":{"docker":{
        "docker.io":[{"type":"insecureAcceptAnything"}],
        "docker.io/library/busybox":[{"type":"reject"}],
        "docker.io/library/busybox:good":[{"type":"insecureAcceptAnything"}],
        "r.example:5000/team":[{"type":"insecureAcceptAnything"}],
        "*.wild.example":[{"type":"insecureAcceptAnything"}],
        "bad.wild.example":[{"type":"reject"}]},
        "docker-daemon":{"":[{"type":"insecureAcceptAnything"}]}}}"#,
    )
    .unwrap();
    for (reference, accepted) in [
        ("alpine", true),
        ("busybox:bad", false),
        ("busybox:good", true),
        ("busybox", false),
        ("r.example:5000/team/app", true),
        ("r.example:5000/team", true),
        ("r.example:5000/teamwork", false),
        ("r.example/team/app", false),
        ("a.b.wild.example/x", true),
        ("bad.wild.example/x", false),
        ("wild.example/x", false),
        ("notwild.example/x", false),
    ] {
        assert_eq!(outcome(&policy, reference).is_ok(), accepted, "{reference}");
    }
    let error = outcome(&policy, "busybox:bad").unwrap_err().to_string();
    assert!(error.contains(r#"docker "docker.io/library/busybox": reject"#), "{error}");
    assert!(!policy.accepts_anything());
    assert!(Policy::accept_anything().accepts_anything());
    assert!(outcome(&Policy::accept_anything(), "x").is_ok());
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (requirement, named) in [
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}"#, "signedBy"),
        (r#"{"type":"sigstoreSigned","fulcio":{}}"#, "fulcio"),
        (
            r#"{"type":"sigstoreSigned","keyPath":"/x","rekorPublicKeyPath":"/y"}"#,
            "rekorPublicKeyPath",
        ),
    ] {
        let text = format!(r#"{{"default":[{requirement}]}}"#);
        let error = outcome(&Policy::parse(text.as_bytes()).unwrap(), "x").unwrap_err();
        assert!(matches!(error, PolicyError::Unsupported { .. }));
        assert!(error.to_string().contains(named), "{error}");
    }
    let missing = br#"{"default":[{"type":"sigstoreSigned","keyPath":"/nonexistent/key"}]}"#;
    let error = outcome(&Policy::parse(missing).unwrap(), "x").unwrap_err();
    assert!(matches!(error, PolicyError::Key { .. }), "{error}");
}

#[test]
fn mistakes_are_errors() {
    for bad in [
        "",
        "{}",
        r#"{"default":[]}"#,
        r#"{"default":[{"type":"accept"}]}"#,
        r#"{"default":[{}]}"#,
        r#"{"default":[{"type":"reject","x":1}]}"#,
        r#"{"default":[{"type":"reject"}],"Transports":{}}"#,
        r#"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#,
        r#"{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"reject"}],"a":[{"type":"insecureAcceptAnything"}]}}}"#,
        r#"{"default":[{"type":"sigstoreSigned"}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"a","keyData":"YQ=="}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyData":"%"}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPaths":[]}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"a","keypath":"b"}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"a","signedIdentity":{"type":"x"}}]}"#,
    ] {
        assert!(Policy::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

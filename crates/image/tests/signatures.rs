//! The signature policy against real signatures in a real registry: the keys and
//! signatures are openssl's, and skopeo's where it can.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod servers;

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caisson_image::manifest::{OCI_CONFIG, OCI_MANIFEST};
use caisson_image::{Digest, Policy, PolicyError, Reference, RegistryClient};
use servers::distribution::Distribution;
use servers::{client, descriptor, have, push_blob, push_image, reference, run};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A key pair of openssl's: `NAME.key`, `NAME.pub`.
fn key(dir: &Path, name: &str, kind: &[&str]) {
    let secret = format!("{name}.key");
    let mut arguments = vec!["genpkey", "-out", &secret];
    arguments.extend(kind);
    run("openssl", &arguments, dir);
    let public = format!("{name}.pub");
    run("openssl", &["pkey", "-in", &secret, "-pubout", "-out", &public], dir);
}

const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn payload(name: &str, digest: &Digest) -> Vec<u8> {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":{{"creator":"test"}}}}"#
    )
    .into_bytes()
}

fn sign(dir: &Path, key: &str, payload: &[u8]) -> Vec<u8> {
    std::fs::write(dir.join("payload"), payload).unwrap();
    let secret = format!("{key}.key");
    let arguments: &[&str] = if key == "ed25519" {
        &["pkeyutl", "-sign", "-rawin", "-inkey", &secret, "-in", "payload", "-out", "signature"]
    } else {
        &["dgst", "-sha256", "-sign", &secret, "-out", "signature", "payload"]
    };
    run("openssl", arguments, dir);
    std::fs::read(dir.join("signature")).unwrap()
}

/// Stores signatures as cosign does.
fn attach(client: &RegistryClient, image: &Reference, digest: &Digest, all: &[(Vec<u8>, Vec<u8>)]) {
    let artifact = image.with_tag(&format!("sha256-{}.sig", digest.hex())).unwrap();
    push_blob(client, &artifact, &descriptor(OCI_CONFIG, b"{}"), b"{}");
    let mut layers = Vec::new();
    for (payload, signature) in all {
        let mut layer = descriptor(PAYLOAD, payload);
        push_blob(client, &artifact, &layer, payload);
        let text = STANDARD.encode(signature);
        layer.annotations.insert("dev.cosignproject.cosign/signature".to_owned(), text);
        layers.push(layer);
    }
    let manifest = caisson_image::manifest::Manifest::oci(descriptor(OCI_CONFIG, b"{}"), layers);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    client.put_manifest(&artifact, OCI_MANIFEST, &bytes).unwrap();
}

fn policy(dir: &Path, keys: &[&str], identity: &str) -> Policy {
    let paths: Vec<String> = keys
        .iter()
        .map(|key| format!("{:?}", dir.join(format!("{key}.pub")).display().to_string()))
        .collect();
    let text = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"":[{{"type":"sigstoreSigned",
        "keyPaths":[{}],"signedIdentity":{{"type":"{identity}"}}}}]}}}}}}"#,
        paths.join(",")
    );
    Policy::parse(text.as_bytes()).unwrap()
}

#[test]
fn acceptance_and_refusal() {
    if !have("openssl") {
        return;
    }
    let Some(server) = Distribution::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    key(dir, "right", &P256);
    key(dir, "wrong", &P256);
    key(dir, "ed25519", &["-algorithm", "ED25519"]);
    key(dir, "rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    key(dir, "p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let client = client();
    let name = reference(&format!("{}/signed:1", server.host));
    let digest = push_image(&client, &name, b"content");
    let check = |policy: &Policy, digest: &Digest| {
        policy.check(&client, &name, std::slice::from_ref(digest))
    };
    let right = policy(dir, &["right"], "matchRepository");

    // Not signed.
    let error = check(&right, &digest).unwrap_err();
    assert!(matches!(error, PolicyError::NoSignature { .. }), "{error}");
    assert!(error.to_string().contains(&digest.to_string()), "{error}");

    // Signed, as cosign names images.
    let text = payload(&name.name(), &digest);
    let signature = sign(dir, "right", &text);
    attach(&client, &name, &digest, &[(text.clone(), signature.clone())]);
    check(&right, &digest).unwrap();
    check(&policy(dir, &["wrong", "right"], "matchRepository"), &digest).unwrap();
    let data = STANDARD.encode(std::fs::read(dir.join("right.pub")).unwrap());
    let by_data = format!(
        r#"{{"default":[{{"type":"sigstoreSigned","keyData":"{data}","signedIdentity":{{"type":"matchRepository"}}}}]}}"#
    );
    check(&Policy::parse(by_data.as_bytes()).unwrap(), &digest).unwrap();

    // By another key; under another name; of a key that is not supported.
    let error = check(&policy(dir, &["wrong"], "matchRepository"), &digest).unwrap_err();
    assert!(matches!(error, PolicyError::NotAccepted { .. }), "{error}");
    let error = check(&policy(dir, &["right"], "matchExact"), &digest).unwrap_err().to_string();
    assert!(error.contains("matchRepository"), "{error}");
    let error = check(&policy(dir, &["p384"], "matchRepository"), &digest).unwrap_err();
    assert!(matches!(error, PolicyError::Key { .. }), "{error}");

    // The image under the tag is exchanged: its digest has no signature.
    let other = push_image(&client, &name, b"tampered");
    assert!(matches!(check(&right, &other), Err(PolicyError::NoSignature { .. })));
    // The signature of the first is put under the second.
    attach(&client, &name, &other, &[(text.clone(), signature.clone())]);
    let error = check(&right, &other).unwrap_err().to_string();
    assert!(error.contains(&format!("for the image {digest}")), "{error}");
    // The payload is changed to name the second.
    attach(&client, &name, &other, &[(payload(&name.name(), &other), signature.clone())]);
    assert!(matches!(check(&right, &other), Err(PolicyError::NotAccepted { .. })));
    // One good signature among bad ones is enough; what is signed is looked at.
    let odd = b"{\"critical\":{}}".to_vec();
    let list = [
        (text.clone(), b"garbage".to_vec()),
        (odd.clone(), sign(dir, "right", &odd)),
        (payload(&name.name(), &other), sign(dir, "right", &payload(&name.name(), &other))),
    ];
    attach(&client, &name, &other, &list);
    check(&right, &other).unwrap();
    attach(&client, &name, &other, &list[..2]);
    assert!(matches!(check(&right, &other), Err(PolicyError::NotAccepted { .. })));
    // An index's signature counts for the image that it lists.
    right.check(&client, &name, &[digest.clone(), other]).unwrap();

    // Other kinds of keys, and names with a tag.
    for key in ["ed25519", "rsa"] {
        let text = payload(&name.to_string(), &digest);
        attach(&client, &name, &digest, &[(text.clone(), sign(dir, key, &text))]);
        check(&policy(dir, &[key], "matchRepoDigestOrExact"), &digest).unwrap();
        check(&policy(dir, &[key], "matchExact"), &digest).unwrap();
        assert!(check(&right, &digest).is_err());
    }
}

/// Encrypts `skopeo.key` as cosign does, which skopeo insists on.
const COSIGN_KEY: &str = r#"
import base64, hashlib, json, os, nacl.secret, subprocess
der = subprocess.check_output(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "skopeo.key", "-outform", "DER"])
salt, nonce = os.urandom(32), os.urandom(24)
key = hashlib.scrypt(b"secret", salt=salt, n=32768, r=8, p=1, maxmem=1 << 26, dklen=32)
box = nacl.secret.SecretBox(key).encrypt(der, nonce).ciphertext
b64 = lambda data: base64.b64encode(data).decode()
text = json.dumps({
    "kdf": {"name": "scrypt", "params": {"N": 32768, "r": 8, "p": 1}, "salt": b64(salt)},
    "cipher": {"name": "nacl/secretbox", "nonce": b64(nonce)},
    "ciphertext": b64(box),
})
body = base64.encodebytes(text.encode()).decode()
kind = "ENCRYPTED COSIGN PRIVATE KEY"
open("cosign.key", "w").write(f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n")
"#;

#[test]
fn signatures_by_skopeo() {
    if !have("skopeo") || !have("openssl") {
        return;
    }
    let help = Command::new("skopeo").args(["copy", "--help"]).output().unwrap();
    if !String::from_utf8_lossy(&help.stdout).contains("--sign-by-sigstore-private-key") {
        eprintln!("left out: this skopeo makes no sigstore signatures");
        return;
    }
    let nacl = Command::new("python3").args(["-c", "import nacl.secret"]).output();
    if !nacl.is_ok_and(|output| output.status.success()) {
        eprintln!("left out: there is no python3-nacl to make a key for skopeo");
        return;
    }
    let Some(server) = Distribution::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    key(dir, "skopeo", &P256);
    key(dir, "wrong", &P256);
    run("python3", &["-c", COSIGN_KEY], dir);
    std::fs::write(dir.join("passphrase"), "secret").unwrap();
    std::fs::create_dir(dir.join("registries.d")).unwrap();
    std::fs::write(
        dir.join("registries.d/test.yaml"),
        format!("docker: {{{}: {{use-sigstore-attachments: true}}}}\n", server.host),
    )
    .unwrap();
    let client = client();
    let source = reference(&format!("{}/source:1", server.host));
    push_image(&client, &source, b"content");
    let name = reference(&format!("{}/signed/by-skopeo:1", server.host));
    let registries = dir.join("registries.d").display().to_string();
    run(
        "skopeo",
        &[
            "--insecure-policy",
            "--registries.d",
            &registries,
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--sign-by-sigstore-private-key",
            "cosign.key",
            "--sign-passphrase-file",
            "passphrase",
            &format!("docker://{source}"),
            &format!("docker://{name}"),
        ],
        dir,
    );
    let (found, _) = client.resolve(&name).unwrap();
    let digests = [found.digest];
    for identity in ["matchRepoDigestOrExact", "matchExact", "matchRepository"] {
        policy(dir, &["skopeo"], identity).check(&client, &name, &digests).unwrap();
    }
    let wrong = policy(dir, &["wrong"], "matchRepository");
    let error = wrong.check(&client, &name, &digests).unwrap_err();
    assert!(matches!(error, PolicyError::NotAccepted { .. }), "{error}");
}

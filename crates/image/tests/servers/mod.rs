//! Servers on loopback for the tests of the registry client.
#![allow(dead_code, reason = "each test binary uses some of it")]

pub(crate) mod distribution;
pub(crate) mod scripted;
pub(crate) mod tokens;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use caisson_image::manifest::{DOCKER_CONFIG, Manifest, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use caisson_image::registry::RegistrySettings;
use caisson_image::{Descriptor, Digest, Reference, RegistryClient};

/// Settings that know nothing of this machine, and no patience.
pub(crate) fn settings() -> RegistrySettings {
    RegistrySettings {
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
        backoff: Duration::from_millis(5),
        max_retry_after: Duration::from_millis(50),
        helper_timeout: Duration::from_secs(5),
        ..RegistrySettings::bare()
    }
}

pub(crate) fn client() -> RegistryClient {
    RegistryClient::new(settings())
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Descriptor {
    let json = format!(
        r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
        Digest::sha256(content),
        content.len()
    );
    serde_json::from_str(&json).unwrap()
}

/// An image of one layer that holds `content` (which nobody unpacks): its
/// manifest, and the layer.
pub(crate) fn image(content: &[u8]) -> (Vec<u8>, Vec<u8>, Descriptor) {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::sha256(content)
    )
    .into_bytes();
    let layer = descriptor(OCI_LAYER_GZIP, content);
    let manifest = Manifest::oci(descriptor(OCI_CONFIG, &config), vec![layer.clone()]);
    (serde_json::to_vec(&manifest).unwrap(), config, layer)
}

/// Pushes such an image; the digest of its manifest.
pub(crate) fn push_image(client: &RegistryClient, name: &Reference, content: &[u8]) -> Digest {
    let (manifest, config, layer) = image(content);
    push_blob(client, name, &descriptor(DOCKER_CONFIG, &config), &config);
    push_blob(client, name, &layer, content);
    client.put_manifest(name, OCI_MANIFEST, &manifest).unwrap()
}

pub(crate) fn push_blob(
    client: &RegistryClient,
    name: &Reference,
    descriptor: &Descriptor,
    content: &[u8],
) {
    let open = || Ok(Box::new(content) as Box<dyn std::io::Read + Send + '_>);
    client.upload_blob(name, descriptor, &open, None).unwrap();
}

/// Whether there is such a program; says so if not.
pub(crate) fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        eprintln!("left out: there is no {program}");
    }
    found
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str], dir: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

/// A CA `ca.pem` in `dir`, and `NAME.crt` and `NAME.key` signed by it for loopback.
pub(crate) fn certificates(dir: &Path, names: &[&str]) {
    let openssl = |arguments: &[&str]| run("openssl", arguments, dir);
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ]);
    for name in names {
        let extensions = format!("{name}.ext");
        std::fs::write(
            dir.join(&extensions),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        let (key, request, out) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &extensions,
            "-out",
            &out,
        ]);
    }
}

//! The client against Debian's docker-registry.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod servers;

use std::io::Read as _;
use std::path::Path;

use caisson_image::manifest::{Document, OCI_MANIFEST};
use caisson_image::registry::{AuthFiles, Credential, RegistryFailure, RegistrySettings, Uploaded};
use caisson_image::{Digest, RegistryClient, RegistryError};
use servers::distribution::{Distribution, free_port};
use servers::{certificates, client, descriptor, image, push_image, reference, settings, tokens};

fn hosts(certs: &Path, registry: &str, text: &str) {
    let folder = certs.join(registry);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
}

fn with_certs(certs: &Path) -> RegistryClient {
    RegistryClient::new(RegistrySettings { certs_dirs: vec![certs.to_owned()], ..settings() })
}

fn with_credential(credential: Credential) -> RegistryClient {
    RegistryClient::new(RegistrySettings { credential: Some(credential), ..settings() })
}

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.into(), password: password.into() }
}

fn failure(error: RegistryError) -> RegistryFailure {
    *error.failure
}

#[test]
fn writes_and_reads_over_plain_http() {
    let Some(server) = Distribution::start() else { return };
    let client = client();
    let name = reference(&format!("{}/team/app:1", server.host));
    let content: Vec<u8> =
        (0..3_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let digest = push_image(&client, &name, &content);

    let (found, bytes) = client.resolve(&name).unwrap();
    assert_eq!((&found.digest, found.media_type.as_str()), (&digest, OCI_MANIFEST));
    let Document::Manifest(manifest) = Document::parse(&bytes, &found.media_type).unwrap() else {
        panic!("no manifest")
    };
    assert_eq!(client.resolve(&name.with_digest(digest.clone())).unwrap().1, bytes);
    assert_eq!(client.manifest(&name, &digest).unwrap(), (OCI_MANIFEST.to_owned(), bytes));
    assert_eq!(client.head(&name).unwrap(), found);
    assert_eq!(client.tags(&name).unwrap(), ["1"]);

    let layer = &manifest.layers[0];
    for offset in [0, 1, 1_000_000, content.len() as u64 - 1, content.len() as u64] {
        let mut stream = client.blob(&name, layer, offset).unwrap();
        assert_eq!(stream.start(), offset);
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        assert!(read == content[usize::try_from(offset).unwrap()..], "from {offset}");
    }
    assert_eq!(client.blob(&name, layer, u64::MAX).unwrap().start(), 0);
    let config = client.blob_bytes(&name, &manifest.config, 1000).unwrap();
    assert_eq!(Digest::sha256(&config), manifest.config.digest);
    assert!(client.blob_bytes(&name, layer, 1000).is_err());

    // Elsewhere in the same registry nothing needs to be sent.
    let open = || Ok(Box::new(&content[..]) as Box<dyn std::io::Read + Send + '_>);
    let other = reference(&format!("{}/other:1", server.host));
    assert_eq!(client.upload_blob(&name, layer, &open, None).unwrap(), Uploaded::Existed);
    assert!(!client.blob_exists(&other, &layer.digest).unwrap());
    assert_eq!(client.upload_blob(&other, layer, &open, Some(&name)).unwrap(), Uploaded::Mounted);
    assert!(client.blob_exists(&other, &layer.digest).unwrap());
    // A mount from where it is not becomes an upload.
    let third = reference(&format!("{}/third:1", server.host));
    let nowhere = reference(&format!("{}/nowhere:1", server.host));
    assert_eq!(client.upload_blob(&third, layer, &open, Some(&nowhere)).unwrap(), Uploaded::Sent);

    // Wrong content is refused by the server.
    let wrong = descriptor("x/y", b"right");
    let open = || Ok(Box::new(&b"wrong"[..]) as Box<dyn std::io::Read + Send + '_>);
    let error = client.upload_blob(&name, &wrong, &open, None).unwrap_err().to_string();
    assert!(error.contains("DIGEST_INVALID") && error.contains(&name.name()), "{error}");
}

#[test]
fn streams_of_unknown_length() {
    let Some(server) = Distribution::start() else { return };
    let client = RegistryClient::new(RegistrySettings { chunk: 1000, ..settings() });
    let name = reference(&format!("{}/stream", server.host));
    for length in [0, 1, 999, 1000, 1001, 2000, 5555] {
        let content = vec![7; length];
        let (digest, size) = client.upload_stream(&name, &mut &content[..]).unwrap();
        assert_eq!((&digest, size), (&Digest::sha256(&content), length as u64));
        let read = client.blob_bytes(&name, &descriptor("x/y", &content), 10_000).unwrap();
        assert_eq!(read, content);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let Some(server) = Distribution::start() else { return };
    let client = client();
    let name = reference(&format!("{}/none:1", server.host));
    let error = client.resolve(&name).unwrap_err();
    assert!(error.is_not_found());
    let text = error.to_string();
    assert!(text.contains(&name.to_string()) && text.contains("MANIFEST_UNKNOWN"), "{text}");
    assert!(client.head(&name).unwrap_err().is_not_found());
    assert!(client.tags(&name).unwrap_err().is_not_found());
    let missing = descriptor("x/y", b"missing");
    assert!(client.blob(&name, &missing, 0).unwrap_err().is_not_found());
    assert!(client.blob(&name, &missing, 3).unwrap_err().is_not_found());
    // A manifest whose blobs are not there, and one under a wrong digest.
    let (manifest, _, layer) = image(b"not pushed");
    assert!(client.put_manifest(&name, OCI_MANIFEST, &manifest).is_err());
    let other = name.with_digest(layer.digest);
    let error = failure(client.put_manifest(&other, OCI_MANIFEST, &manifest).unwrap_err());
    assert!(matches!(error, RegistryFailure::Digest { .. }), "{error}");
}

#[test]
fn https_with_own_ca() {
    if !servers::have("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["server", "client", "other"]);
    let file = |name: &str| dir.path().join(name).display().to_string();
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        file("server.crt"),
        file("server.key")
    );
    let Some(server) = Distribution::with(&tls, "") else { return };
    let host = &server.host;
    let name = reference(&format!("{host}/a:1"));
    let certs = |text: &str| {
        let certs = tempfile::tempdir().unwrap();
        hosts(certs.path(), host, text);
        certs
    };

    // Known by nobody: loopback is taken as it is, as docker does.
    push_image(&client(), &name, b"content");
    // Configured: verified.
    let strict = certs(&format!("server = \"https://{host}\""));
    let error = failure(with_certs(strict.path()).resolve(&name).unwrap_err());
    assert!(matches!(error, RegistryFailure::Tls { .. }), "{error}");
    assert!(error.to_string().contains(&format!("certs.d/{host}/ca.crt")), "{error}");
    let own = certs(&format!("ca = {:?}", file("ca.pem")));
    with_certs(own.path()).resolve(&name).unwrap();
    let skip = certs(&format!("server = \"https://{host}\"\nskip_verify = true"));
    with_certs(skip.path()).resolve(&name).unwrap();
    // docker's form.
    let docker = tempfile::tempdir().unwrap();
    std::fs::create_dir(docker.path().join(host)).unwrap();
    std::fs::copy(file("ca.pem"), docker.path().join(host).join("ca.crt")).unwrap();
    with_certs(docker.path()).resolve(&name).unwrap();
    // The right CA, another name.
    let other_name = format!("127.0.0.2:{}", host.rsplit_once(':').unwrap().1);
    let wrong_name = certs(&format!(
        "server = \"https://{host}\"\n[host.\"https://{other_name}\"]\nca = {:?}",
        file("ca.pem")
    ));
    let error = with_certs(wrong_name.path()).resolve(&name).unwrap_err().to_string();
    assert!(error.contains("127.0.0.2"), "{error}");
    // Plain HTTP at a TLS port.
    let plain = certs(&format!("server = \"http://{host}\""));
    assert!(with_certs(plain.path()).resolve(&name).is_err());
    let missing = certs("ca = \"none.pem\"");
    let error = with_certs(missing.path()).resolve(&name).unwrap_err().to_string();
    assert!(error.contains("none.pem"), "{error}");
}

#[test]
fn client_certificates() {
    if !servers::have("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["server", "client", "other"]);
    let file = |name: &str| dir.path().join(name).display().to_string();
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n    clientcas: [{}]\n",
        file("server.crt"),
        file("server.key"),
        file("ca.pem")
    );
    let Some(server) = Distribution::with(&tls, "") else { return };
    let name = reference(&format!("{}/a:1", server.host));
    let attempt = |client: &str| {
        let certs = tempfile::tempdir().unwrap();
        hosts(certs.path(), &server.host, &format!("ca = {:?}\n{client}", file("ca.pem")));
        with_certs(certs.path()).resolve(&name).map(|_| ()).unwrap_err()
    };
    let pair = |key: &str| format!("client = [[{:?}, {:?}]]", file("client.crt"), file(key));
    assert!(!attempt("").is_not_found());
    let error = attempt(&pair("client.key"));
    assert!(error.is_not_found(), "{error}");
    // A key of another certificate is found out here, without a panic.
    let error = attempt(&pair("other.key"));
    assert!(matches!(*error.failure, RegistryFailure::Hosts { .. }), "{error}");
    let error = attempt(&pair("client.crt")).to_string();
    assert!(error.contains("no PEM private key"), "{error}");
}

#[test]
fn basic_authentication() {
    let dir = tempfile::tempdir().unwrap();
    if !servers::have("htpasswd") {
        return;
    }
    let line = servers::run("htpasswd", &["-nbB", "user", "password"], dir.path());
    std::fs::write(dir.path().join("htpasswd"), line).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: test, path: {}}}}}",
        dir.path().join("htpasswd").display()
    );
    let Some(server) = Distribution::with("", &auth) else { return };
    let name = reference(&format!("{}/team/app:1", server.host));

    let error = failure(client().resolve(&name).unwrap_err());
    assert!(matches!(error, RegistryFailure::Unauthorized { with_credential: false, .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("caisson login {}", server.host)), "{text}");
    assert!(text.contains("REGISTRY_AUTH_FILE"), "{text}");
    let wrong = with_credential(basic("user", "wrong"));
    let error = failure(wrong.resolve(&name).unwrap_err());
    assert!(matches!(error, RegistryFailure::Unauthorized { with_credential: true, .. }));
    assert!(!error.to_string().contains("wrong"), "{error}");
    push_image(&with_credential(basic("user", "password")), &name, b"content");

    // By file; the narrowest key counts. "dXNlcjpwYXNzd29yZA==" is user:password.
    let file = dir.path().join("auth.json");
    let host = &server.host;
    std::fs::write(
        &file,
        format!(
            r#"{{"auths":{{"{host}":{{"auth":"eDp5"}},"{host}/team":{{"auth":"dXNlcjpwYXNzd29yZA=="}}}}}}"#
        ),
    )
    .unwrap();
    let by_file =
        RegistryClient::new(RegistrySettings { auth_files: AuthFiles::only(file), ..settings() });
    by_file.resolve(&name).unwrap();
    assert!(by_file.resolve(&reference(&format!("{host}/elsewhere"))).is_err());
}

#[test]
fn token_authentication() {
    if !servers::have("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let authority = tokens::start(dir.path());
    let auth = format!(
        "auth: {{token: {{realm: \"http://{}/token\", service: {}, issuer: {}, rootcertbundle: {}}}}}",
        authority.host,
        tokens::SERVICE,
        tokens::ISSUER,
        dir.path().join("tokens.pem").display()
    );
    let Some(server) = Distribution::with("", &auth) else { return };
    let public = reference(&format!("{}/public/app:1", server.host));
    let private = reference(&format!("{}/private/app:1", server.host));
    let user = with_credential(basic("user", "password"));
    push_image(&user, &public, b"content");
    push_image(&user, &private, b"content");
    let asked = authority.seen().len();
    assert!(asked <= 4, "{asked} tokens for two repositories");

    let anyone = client();
    let (descriptor, _) = anyone.resolve(&public).unwrap();
    anyone.head(&public).unwrap();
    anyone.resolve(&public.with_digest(descriptor.digest)).unwrap();
    assert_eq!(authority.seen().len(), asked + 1, "a token is used as long as it lives");
    let error = failure(anyone.resolve(&private).unwrap_err());
    assert!(
        matches!(error, RegistryFailure::Unauthorized { with_credential: false, .. }),
        "{error}"
    );

    let refresh = with_credential(Credential::IdentityToken("refresh".into()));
    refresh.resolve(&private).unwrap();
    let wrong = with_credential(basic("user", "wrong"));
    let error = failure(wrong.resolve(&private).unwrap_err());
    assert!(
        matches!(error, RegistryFailure::Unauthorized { with_credential: true, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("incorrect username"), "{error}");

    // From another repository of the same registry, by a token for both.
    let (_, bytes) = user.resolve(&private).unwrap();
    let Document::Manifest(manifest) = Document::parse(&bytes, "").unwrap() else { panic!() };
    let open = || -> std::io::Result<Box<dyn std::io::Read + Send>> { panic!("is mounted") };
    let target = reference(&format!("{}/new/app", server.host));
    let how = user.upload_blob(&target, &manifest.layers[0], &open, Some(&private)).unwrap();
    assert_eq!(how, Uploaded::Mounted);
}

#[test]
fn mirrors() {
    let Some(server) = Distribution::start() else { return };
    let mirrored = reference(&format!("{}/library/busybox:latest", server.host));
    let digest = push_image(&client(), &mirrored, b"busybox");
    let certs = tempfile::tempdir().unwrap();
    let dead = free_port();
    let text = format!(
        "server = \"http://127.0.0.1:{dead}\"\n[host.\"http://127.0.0.1:{dead}\"]\n\
         [host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        server.host
    );
    hosts(certs.path(), "docker.io", &text);
    hosts(certs.path(), "_default", &format!("[host.\"http://{}\"]", server.host));
    let client = with_certs(certs.path());
    let (found, bytes) = client.resolve(&reference("busybox")).unwrap();
    assert_eq!(found.digest, digest);
    let Document::Manifest(manifest) = Document::parse(&bytes, "").unwrap() else { panic!() };
    let mut content = Vec::new();
    client
        .blob(&reference("busybox"), &manifest.layers[0], 0)
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(content, b"busybox");
    // Nowhere: each server's answer is told.
    let error = client.resolve(&reference("nothing")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&server.host) && text.contains(&format!("127.0.0.1:{dead}")), "{text}");
    assert!(!error.is_not_found());
    // What the registry itself says counts, though its mirror is dead.
    let own = format!("server = \"http://{}\"\n[host.\"http://127.0.0.1:{dead}\"]\n", server.host);
    hosts(certs.path(), "own.example", &own);
    assert!(client.resolve(&reference("own.example/nothing")).unwrap_err().is_not_found());
    // Any registry by `_default`.
    assert_eq!(
        client.resolve(&reference("quay.example/library/busybox")).unwrap().0.digest,
        digest
    );

    hosts(
        certs.path(),
        "docker.io",
        &format!("[host.\"http://{}\"]\ncapabilities=[]", server.host),
    );
    hosts(certs.path(), "r.example", "capabilities = [\"push\"]");
    let error = failure(with_certs(certs.path()).resolve(&reference("r.example/a")).unwrap_err());
    assert!(matches!(error, RegistryFailure::NoServer { .. }), "{error}");
}

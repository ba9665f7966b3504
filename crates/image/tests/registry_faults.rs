//! The client against servers that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod servers;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use caisson_image::registry::{Credential, RegistryFailure, RegistrySettings};
use caisson_image::{Descriptor, Digest, Reference, RegistryClient, RegistryError};
use servers::scripted::{Request, Scripted, answer, raw};
use servers::{descriptor, image, reference, settings};

const MANIFEST: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";

/// A client for which `hosts` are plain HTTP.
fn plain(hosts: &[&str], settings: RegistrySettings) -> (RegistryClient, tempfile::TempDir) {
    let certs = tempfile::tempdir().unwrap();
    for host in hosts {
        let folder = certs.path().join(host);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hosts.toml"), format!("server = \"http://{host}\"")).unwrap();
    }
    let certs_dirs = vec![certs.path().to_owned()];
    (RegistryClient::new(RegistrySettings { certs_dirs, ..settings }), certs)
}

struct Scene {
    server: Scripted,
    client: RegistryClient,
    name: Reference,
    _certs: tempfile::TempDir,
}

fn scene(
    settings: RegistrySettings,
    script: impl Fn(&Request, usize, &mut TcpStream) + Send + Sync + 'static,
) -> Scene {
    let server = Scripted::start(script);
    let (client, certs) = plain(&[&server.host], settings);
    let name = reference(&format!("{}/a/b:1", server.host));
    Scene { server, client, name, _certs: certs }
}

fn quick() -> RegistrySettings {
    RegistrySettings {
        response_timeout: Duration::from_millis(400),
        body_timeout: Duration::from_millis(400),
        stall_timeout: Duration::from_millis(400),
        retries: 1,
        ..settings()
    }
}

fn kind(error: &RegistryError) -> &RegistryFailure {
    &error.failure
}

fn content() -> Vec<u8> {
    (0..500_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn read(scene: &Scene, blob: &Descriptor) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut stream = scene.client.blob(&scene.name, blob, 0).map_err(std::io::Error::other)?;
    stream.read_to_end(&mut all)?;
    Ok(all)
}

fn range_start(request: &Request) -> Option<usize> {
    request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

#[test]
fn faults_that_pass_are_waited_out() {
    let (manifest, ..) = image(b"x");
    let all = ["500 Oops", "503 Busy", "429 Slow", "408 Late", "502 Gate"];
    for status in all {
        let body = manifest.clone();
        let scene = scene(settings(), move |_, number, stream| match number {
            0 => answer(stream, status, &["Retry-After: 0"], b""),
            // A connection that is closed without a word.
            1 => {}
            _ => answer(stream, "200 OK", &[MANIFEST], &body),
        });
        scene.client.resolve(&scene.name).unwrap();
        assert_eq!(scene.server.seen().len(), 3, "{status}");
    }
}

#[test]
fn faults_that_stay_are_told() {
    let scene_of = |status: &'static str, body: &'static [u8]| {
        scene(settings(), move |_, _, stream| answer(stream, status, &["Retry-After: 3600"], body))
    };
    let limited =
        scene_of("429 Slow", br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"limit"}]}"#);
    let begin = Instant::now();
    let error = limited.client.resolve(&limited.name).unwrap_err();
    // An hour is asked for, the settings allow 50 ms.
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(matches!(kind(&error), RegistryFailure::RateLimited { .. }), "{error}");
    assert!(error.to_string().contains("TOOMANYREQUESTS"), "{error}");
    assert_eq!(limited.server.seen().len(), 4);
    // Refusals are not repeated.
    for (status, tries) in
        [("404 No", 1), ("403 No", 1), ("400 No", 1), ("401 No", 1), ("501 No", 1), ("500 No", 4)]
    {
        let scene = scene_of(status, b"because");
        let error = scene.client.resolve(&scene.name).unwrap_err().to_string();
        assert!(error.contains("because") && error.contains(&scene.server.host), "{error}");
        assert_eq!(scene.server.seen().len(), tries, "{status}");
    }
}

#[test]
fn broken_downloads_go_on_where_they_broke() {
    let all = content();
    let blob = descriptor("x/y", &all);
    for ranges in [true, false] {
        let all = content();
        let scene = scene(settings(), move |request, number, stream| {
            let from = range_start(request).filter(|_| ranges).unwrap_or(0);
            let rest = &all[from..];
            let head = if from > 0 {
                format!(
                    "HTTP/1.1 206 P\nContent-Length: {}\nContent-Range: bytes {from}-{}/{}\n\n",
                    rest.len(),
                    all.len() - 1,
                    all.len()
                )
            } else {
                format!("HTTP/1.1 200 OK\nContent-Length: {}\n\n", rest.len())
            };
            let part = if number < 3 { rest.len() / 2 } else { rest.len() };
            raw(stream, &head, &rest[..part]);
        });
        assert!(read(&scene, &blob).unwrap() == content(), "ranges: {ranges}");
        let seen = scene.server.seen();
        assert_eq!(seen.len(), 4, "ranges: {ranges}");
        assert!(range_start(&seen[1]).is_some());
    }
    // Without end it breaks without end: told, with the place.
    let scene = scene(settings(), move |_, _, stream| {
        raw(stream, "HTTP/1.1 200 OK\nContent-Length: 2000000\n\n", &content()[..1000]);
    });
    let error = read(&scene, &blob).unwrap_err().to_string();
    assert!(error.contains(&blob.digest.to_string()), "{error}");
    assert_eq!(scene.server.seen().len(), 4);
}

#[test]
fn a_server_without_ranges_says_where_it_begins() {
    let blob = descriptor("x/y", b"0123456789");
    for status in ["200 OK", "416 No"] {
        let scene = scene(settings(), move |request, _, stream| {
            if status == "416 No" && request.header("range").is_some() {
                answer(stream, status, &[], b"");
            } else {
                answer(stream, "200 OK", &[], b"0123456789");
            }
        });
        let mut stream = scene.client.blob(&scene.name, &blob, 5).unwrap();
        assert_eq!(stream.start(), 0);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123456789");
    }
    for range in ["bytes 4-9/10", "bytes 5-8/10", "bytes 5-9/11", "nonsense", "bytes 5-99/10"] {
        let scene = scene(settings(), move |_, _, stream| {
            answer(stream, "206 P", &[&format!("Content-Range: {range}")], b"56789");
        });
        assert!(scene.client.blob(&scene.name, &blob, 5).is_err(), "{range}");
    }
}

#[test]
fn lengths_that_lie() {
    let blob = descriptor("x/y", &[7; 1000]);
    let long = scene(settings(), |_, _, stream| answer(stream, "200 OK", &[], &[7; 2000]));
    let error = long.client.blob(&long.name, &blob, 0).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Size { expected: 1000, actual: 2000, .. }));
    let short = scene(settings(), |_, _, stream| answer(stream, "200 OK", &[], &[7; 10]));
    assert!(short.client.blob(&short.name, &blob, 0).is_err());
    // No length at all, and no end.
    let endless = scene(quick(), |_, _, stream| {
        raw(stream, "HTTP/1.1 200 OK\n\n", b"");
        while stream.write_all(&[7; 4096]).is_ok() {}
    });
    let error = read(&endless, &blob).unwrap_err().to_string();
    assert!(error.contains("longer than 1000 bytes"), "{error}");
    let error = endless.client.resolve(&endless.name).unwrap_err();
    assert!(matches!(
        kind(&error),
        RegistryFailure::TooLong { .. } | RegistryFailure::Timeout { .. }
    ));
    let error = endless.client.tags(&endless.name).unwrap_err();
    assert!(matches!(
        kind(&error),
        RegistryFailure::TooLong { .. } | RegistryFailure::Timeout { .. }
    ));
    // Headers without end.
    let headers = scene(quick(), |_, _, stream| {
        raw(stream, "HTTP/1.1 200 OK\n", b"");
        while stream.write_all(b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n").is_ok() {}
    });
    assert!(headers.client.resolve(&headers.name).is_err());
}

#[test]
fn other_content_than_asked_for() {
    let (manifest, ..) = image(b"x");
    let other = Digest::sha256(b"other");
    let wrong = scene(settings(), {
        let manifest = manifest.clone();
        move |_, _, stream| answer(stream, "200 OK", &[MANIFEST], &manifest)
    });
    let error = wrong.client.resolve(&wrong.name.with_digest(other.clone())).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Digest { expected, .. } if *expected == other));
    wrong.client.resolve(&wrong.name).unwrap();
    let blob = descriptor("x/y", &vec![b'x'; manifest.len()]);
    let error = wrong.client.blob_bytes(&wrong.name, &blob, 10_000).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Digest { .. }), "{error}");
    let header = scene(settings(), move |_, _, stream| {
        let digest = format!("Docker-Content-Digest: {other}");
        answer(stream, "200 OK", &[MANIFEST, &digest], &manifest);
    });
    assert!(header.client.resolve(&header.name).is_err());
    let html = scene(settings(), |_, _, stream| {
        answer(stream, "200 OK", &["Content-Type: text/html"], b"<html>log in to the hotel</html>");
    });
    let error = html.client.resolve(&html.name).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Manifest { .. }), "{error}");
}

#[test]
fn stalls_are_given_up() {
    let blob = descriptor("x/y", &[7; 100_000]);
    let silent = scene(quick(), |_, _, stream| {
        // Holds the connection until the client leaves.
        let _ = stream.read(&mut [0]);
    });
    let begin = Instant::now();
    let error = silent.client.resolve(&silent.name).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Timeout { .. }), "{error}");
    let halfway = scene(quick(), |_, _, stream| {
        raw(stream, "HTTP/1.1 200 OK\nContent-Length: 100000\n\n", &[7; 10]);
        let _ = stream.read(&mut [0]);
    });
    let error = read(&halfway, &blob).unwrap_err().to_string();
    assert!(error.contains("took longer"), "{error}");
    // A byte now and then is no progress.
    let dripping = scene(quick(), |_, _, stream| {
        raw(stream, "HTTP/1.1 200 OK\nContent-Length: 100000\n\n", b"");
        while stream.write_all(&[7]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let error = read(&dripping, &blob).unwrap_err().to_string();
    assert!(error.contains("kilobyte"), "{error}");
    let error = dripping.client.resolve(&dripping.name).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn secrets_stay_with_the_registry() {
    let (manifest, ..) = image(b"x");
    let elsewhere = Scripted::start(move |request, _, stream| {
        if request.target.starts_with("/401") {
            answer(stream, "401 No", &["WWW-Authenticate: Basic realm=x"], b"");
        } else {
            answer(stream, "200 OK", &[MANIFEST], &manifest);
        }
    });
    let target = elsewhere.host.clone();
    let settings = RegistrySettings {
        credential: Some(Credential::Basic { username: "u".into(), password: "p".into() }),
        ..settings()
    };
    let scene = scene(settings, move |request, _, stream| {
        if request.header("authorization").is_none() {
            answer(stream, "401 No", &["WWW-Authenticate: Basic realm=\"x\""], b"");
        } else if request.target.ends_with("/challenge") {
            answer(stream, "307 There", &[&format!("Location: http://{target}/401")], b"");
        } else {
            answer(stream, "307 There", &[&format!("Location: http://{target}/x?y=z")], b"");
        }
    });
    scene.client.resolve(&scene.name).unwrap();
    let challenged = scene.name.with_tag("challenge").unwrap();
    let error = scene.client.resolve(&challenged).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Unauthorized { .. }), "{error}");
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|request| request.header("authorization").is_none()));
    assert!(scene.server.seen().iter().any(|request| request.header("authorization").is_some()));
}

#[test]
fn redirections_that_are_not_followed() {
    for (location, said) in [
        ("Location: file:///etc/passwd", "no HTTP URL"),
        ("Location: http://u:p@127.0.0.1/", "no HTTP URL"),
        ("Location: /v2/a/b/manifests/again", "redirections"),
    ] {
        let scene =
            scene(settings(), move |_, _, stream| answer(stream, "302 F", &[location], b""));
        let error = scene.client.resolve(&scene.name).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(scene.server.seen().len() <= 6);
    }
    // Uploads go to nobody else.
    let scene = scene(settings(), |_, _, stream| answer(stream, "307 T", &["Location: /x"], b""));
    assert!(scene.client.put_manifest(&scene.name, "x/y", b"{}").is_err());
}

#[test]
fn authorisation_servers_that_misbehave() {
    for (body, said) in [
        (&b"no json"[..], "no JSON"),
        (b"{}", "no token"),
        (b"{\"token\":\"a\\nb\"}", "can't be sent"),
    ] {
        let authority = Scripted::start(move |_, _, stream| answer(stream, "200 OK", &[], body));
        let challenge =
            format!("WWW-Authenticate: Bearer realm=\"http://{}/t\",service=\"s\"", authority.host);
        let scene =
            scene(settings(), move |_, _, stream| answer(stream, "401 No", &[&challenge], b""));
        let error = scene.client.resolve(&scene.name).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    // A token that is not accepted is asked for once.
    let authority =
        Scripted::start(|_, _, stream| answer(stream, "200 OK", &[], b"{\"token\":\"t\"}"));
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/t\"", authority.host);
    let scene = scene(settings(), move |_, _, stream| answer(stream, "401 No", &[&challenge], b""));
    scene.client.resolve(&scene.name).unwrap_err();
    assert_eq!((authority.seen().len(), scene.server.seen().len()), (1, 2));
    let scopes = authority.seen()[0].query("scope");
    assert_eq!(scopes, ["repository:a/b:pull"]);
}

#[test]
fn uploads_begin_anew() {
    let blob = descriptor("x/y", b"content");
    let scene =
        scene(settings(), |request, number, stream| match (request.method.as_str(), number) {
            ("HEAD", _) => answer(stream, "404 No", &[], b""),
            ("POST", _) => {
                let location = format!("Location: /upload/{number}?state=a%2Fb");
                answer(stream, "202 Go", &[&location], b"");
            }
            ("PUT", 2) => {}
            ("PUT", 4) => answer(stream, "500 Oops", &[], b""),
            _ => answer(stream, "201 Created", &[], b""),
        });
    let open = || Ok(Box::new(&b"content"[..]) as Box<dyn std::io::Read + Send + '_>);
    scene.client.upload_blob(&scene.name, &blob, &open, None).unwrap();
    let seen = scene.server.seen();
    let last = seen.last().unwrap();
    assert_eq!(last.target, format!("/upload/5?state=a%2Fb&digest={}", blob.digest));
    assert_eq!(last.body, b"content");
    // A source that can't be read is told as such.
    let open = || Err(std::io::Error::other("gone"));
    let error = scene.client.upload_blob(&scene.name, &blob, &open, None).unwrap_err();
    assert!(matches!(kind(&error), RegistryFailure::Source(_)), "{error}");
}

#[test]
fn pieces_that_arrived_are_not_sent_again() {
    let settings = RegistrySettings { chunk: 4, ..settings() };
    let scene = scene(settings, |request, number, stream| {
        let go = ["Location: /upload/x", "Range: 0-3"];
        match (request.method.as_str(), number) {
            // The answer to the first piece is lost.
            ("PATCH", 1) => {}
            ("GET", _) => answer(stream, "204 State", &go, b""),
            ("PUT", _) => answer(stream, "201 Created", &[], b""),
            _ => answer(stream, "202 Go", &go, b""),
        }
    });
    let (digest, size) = scene.client.upload_stream(&scene.name, &mut &b"0123456"[..]).unwrap();
    assert_eq!((digest, size), (Digest::sha256(b"0123456"), 7));
    let ranges: Vec<_> = scene
        .server
        .seen()
        .iter()
        .filter(|request| request.method == "PATCH")
        .map(|request| request.header("content-range").unwrap().to_owned())
        .collect();
    assert_eq!(ranges, ["0-3", "4-6"]);
}

#[test]
fn lists_of_tags_have_an_end() {
    let scene = scene(settings(), |request, number, stream| {
        let next = format!("Link: </v2/a/b/tags/list?last={number}>; rel=\"next\"");
        if request.target.contains("last=1") {
            answer(stream, "200 OK", &[], br#"{"tags":["c"]}"#);
        } else {
            answer(stream, "200 OK", &[&next], format!("{{\"tags\":[\"{number}\"]}}").as_bytes());
        }
    });
    assert_eq!(scene.client.tags(&scene.name).unwrap(), ["0", "1", "c"]);
    let stuck = self::scene(settings(), |_, _, stream| {
        let next = "Link: </v2/a/b/tags/list?last=x>; rel=\"next\"";
        answer(stream, "200 OK", &[next], br#"{"tags":[]}"#);
    });
    assert!(stuck.client.tags(&stuck.name).unwrap().is_empty());
}

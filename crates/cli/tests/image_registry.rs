//! Pull, push and login against Debian's registry server, and what is seen of
//! it on a terminal and elsewhere.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caisson;
mod registry;
mod terminal;

use std::process::Command;
use std::time::Duration;

use caisson::Caisson;
use registry::{Registry, free_port, slow_way};

/// Enough for a few bars, in an uncompressed layer.
fn large() -> String {
    "0123456789abcdef".repeat(1 << 17)
}

#[test]
fn an_image_goes_there_and_comes_back() {
    let caisson = Caisson::new();
    let Some(registry) = Registry::start(&caisson.path(""), "") else { return };
    let name = format!("localhost:{}/some/web:1.2", registry.port);
    let id = caisson.load(&["web:1.2"], "hello");
    let file = caisson.path("digest");
    let pushed = caisson.run(&["push", "web:1.2", &name, "--digestfile", file.to_str().unwrap()]);
    let digest = pushed.trim();
    assert!(digest.starts_with("sha256:"), "{pushed}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), digest);

    let other = Caisson::new();
    assert_eq!(other.run(&["pull", &name]).trim(), id);
    let by_digest = format!("localhost:{}/some/web@{digest}", registry.port);
    let again = other.try_run(&["pull", &name, &by_digest]);
    assert_eq!((again.code, again.stdout), (0, format!("{id}\n{id}\n")));
    assert!(again.stderr.contains("already there"), "{}", again.stderr);
    assert_eq!(other.run(&["inspect", "-f", "Id", &by_digest]).trim(), id);
    // Nobody is asked for what is here.
    drop(registry);
    assert_eq!(other.run(&["pull", "--policy", "missing", &name]).trim(), id);
    assert_eq!(other.run(&["pull", "--policy", "newer", &name]).trim(), id);
    let error = other.fail(1, &["pull", &name]);
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn lines_are_plain_where_no_terminal_is() {
    let caisson = Caisson::new();
    let Some(registry) = Registry::start(&caisson.path(""), "") else { return };
    let name = format!("localhost:{}/large", registry.port);
    let id = caisson.load(&["large"], &large());
    let pushed = caisson.try_run(&["push", "large", &name]);
    assert!(pushed.stderr.contains("uploading"), "{pushed:?}");
    let other = Caisson::new();
    let pulled = other.try_run(&["pull", &name]);
    assert_eq!(pulled.stdout.trim(), id);
    for word in ["1 layer, 2.1", ": downloading 2.1", ": done"] {
        assert!(pulled.stderr.contains(word), "{word}: {}", pulled.stderr);
    }
    assert!(pulled.stderr.lines().count() < 10, "{}", pulled.stderr);
    for text in [&pushed.stderr, &pulled.stderr] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    let quiet = Caisson::new().try_run(&["pull", "--quiet", &name]);
    assert_eq!((quiet.stdout.trim(), quiet.stderr.as_str()), (id.as_str(), ""));
}

#[test]
fn bars_are_drawn_on_a_terminal() {
    let caisson = Caisson::new();
    let Some(registry) = Registry::start(&caisson.path(""), "") else { return };
    caisson.load(&["large"], &large());
    caisson.run(&["push", "-q", "large", &format!("localhost:{}/large", registry.port)]);
    let slow = slow_way(registry.port, 32 << 10, Duration::from_millis(15));
    let other = Caisson::new();
    let (code, stdout, seen) =
        terminal::run(other.command(&["pull", &format!("localhost:{slow}/large")]));
    assert_eq!(code, 0, "{seen}");
    assert!(stdout.starts_with("sha256:") && stdout.lines().count() == 1, "{stdout}");
    for word in ["total", "downloading", "[=", "MB/", "/s", " left", "done", "2.1MB in "] {
        assert!(seen.contains(word), "{word}: {seen:?}");
    }
    // Drawn over itself; the end is plain lines.
    assert!(seen.contains("\x1b[1A") && seen.contains("\x1b[2K"), "{seen:?}");
    assert!(!seen.contains('█') && seen.ends_with('\n'), "{seen:?}");
    let (code, _, seen) =
        terminal::run(other.command(&["pull", "-q", &format!("localhost:{slow}/large")]));
    assert_eq!((code, seen.as_str()), (0, ""));
    let mut dumb = other.command(&["pull", &format!("localhost:{slow}/large")]);
    dumb.env("TERM", "dumb");
    let (_, _, seen) = terminal::run(dumb);
    assert!(seen.contains("already there") && !seen.contains('\x1b'), "{seen:?}");
}

#[test]
fn what_is_not_there_is_told() {
    let caisson = Caisson::new();
    let Some(registry) = Registry::start(&caisson.path(""), "") else { return };
    let error = caisson.fail(1, &["pull", &format!("localhost:{}/none:1", registry.port)]);
    assert!(error.contains("none:1") && error.contains("check the name"), "{error}");
    let error = caisson.fail(1, &["pull", &format!("localhost:{}/none", free_port())]);
    assert!(error.contains("refused") && error.contains("is the port right?"), "{error}");
    let error = caisson.fail(1, &["pull", "Localhost/Upper"]);
    assert!(error.contains("lower case"), "{error}");
    caisson.load(&["near:1"], "near");
    let error = caisson.fail(1, &["pull", &format!("localhost:{}/near", free_port())]);
    assert!(error.contains("did you mean near:1, which is here?"), "{error}");
    let error = caisson.fail(1, &["push", "none", "localhost:1/x"]);
    assert!(error.contains("no image \"none\" is here"), "{error}");
    caisson.load(&["web:1"], "hello");
    let id = caisson.run(&["images", "-q", "web"]);
    let error = caisson.fail(125, &["push", id.trim()]);
    assert!(error.contains("REGISTRY/REPOSITORY:TAG"), "{error}");
}

#[test]
fn a_login_opens_what_was_closed() {
    let caisson = Caisson::new();
    let words = caisson.path("htpasswd");
    let made = Command::new("python3")
        .args([
            "-Wignore",
            "-c",
            "import crypt; print('alice:' + crypt.crypt('secret', \
               crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)).replace('$2b$', '$2y$'))",
        ])
        .output()
        .unwrap();
    std::fs::write(&words, made.stdout).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", words.display());
    let Some(registry) = Registry::start(&caisson.path(""), &auth) else { return };
    let host = format!("localhost:{}", registry.port);
    let name = format!("{host}/web");
    let id = caisson.load(&["web"], "hello");
    let error = caisson.fail(1, &["push", "-q", "web", &name]);
    assert!(error.contains("caisson login"), "{error}");

    let wrong = caisson.fail(1, &["login", "-u", "alice", "-p", "wrong", &host]);
    assert!(wrong.contains("unauthorized") && !wrong.contains("wrong:"), "{wrong}");
    assert_eq!(std::fs::read_to_string(caisson.path("auth.json")).unwrap(), "{}");
    let error = caisson.fail(1, &["login", &host]);
    assert!(error.contains("--password-stdin"), "{error}");

    let word = caisson.path("word");
    std::fs::write(&word, "secret\n").unwrap();
    let mut login = caisson.command(&["login", "-u", "alice", "--password-stdin", &host]);
    let output = login.stdin(std::fs::File::open(&word).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    caisson.run(&["push", "-q", "web", &name]);
    // podman's and docker's file: others find it too.
    let kept = std::fs::read_to_string(caisson.path("auth.json")).unwrap();
    assert!(kept.contains(&host), "{kept}");
    let other = Caisson::new();
    let creds = other.run(&["pull", "-q", "--creds", "alice:secret", &name]);
    assert_eq!(creds.trim(), id);

    caisson.run(&["logout", &host]);
    caisson.fail(1, &["push", "-q", "web", &name]);
    let error = caisson.fail(1, &["logout", &host]);
    assert!(error.contains("no credential"), "{error}");
}

#[test]
fn a_policy_decides_what_comes_in() {
    let caisson = Caisson::new();
    let Some(registry) = Registry::start(&caisson.path(""), "") else { return };
    let name = format!("localhost:{}/web", registry.port);
    caisson.load(&["web"], "hello");
    caisson.run(&["push", "-q", "web", &name]);
    let policy = |kind: &str| {
        let file = caisson.path(&format!("{kind}.json"));
        std::fs::write(&file, format!(r#"{{"default":[{{"type":"{kind}"}}]}}"#)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let other = Caisson::new();
    let reject = policy("reject");
    let error = other.fail(1, &["pull", "-q", "--signature-policy", &reject, &name]);
    assert!(error.contains("reject"), "{error}");
    let settings = caisson.path("config.toml");
    std::fs::write(&settings, format!("[storage]\nsignature_policy = {reject:?}\n")).unwrap();
    let error = other.fail(1, &["--config", settings.to_str().unwrap(), "pull", "-q", &name]);
    assert!(error.contains("reject"), "{error}");
    assert_eq!(other.run(&["images", "-q"]), "");
    let accept = policy("insecureAcceptAnything");
    other.run(&["pull", "-q", "--signature-policy", &accept, &name]);
    let error = other.fail(1, &["pull", "--signature-policy", "/nonexistent", &name]);
    assert!(error.contains("/nonexistent"), "{error}");
}

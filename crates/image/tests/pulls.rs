//! Pulling from a registry that counts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod fixture;

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caisson_image::policy::Policy;
use caisson_image::{
    Digest, LayerState, NoProgress, ProgressEvent, ProgressSink, PullError, PullPolicy,
    PullRequest, Reference, pull, push,
};
use fixture::server::{Server, client};
use fixture::{assert_clean, gzip_layer, image, large_image, read_file, store, tar};

fn request(reference: &Reference, when: PullPolicy) -> PullRequest {
    PullRequest { when, ..PullRequest::new(reference.clone()) }
}

#[derive(Default)]
struct Recorder {
    states: Mutex<Vec<(usize, LayerState)>>,
    total: Mutex<(u64, u64, u64)>,
}

impl ProgressSink for Recorder {
    fn event(&self, event: ProgressEvent<'_>) {
        match event {
            ProgressEvent::Layer { index, state, .. } => {
                self.states.lock().unwrap().push((index, state));
            }
            ProgressEvent::Total { fetched, unpacked, bytes } => {
                *self.total.lock().unwrap() = (fetched, unpacked, bytes);
            }
            _ => {}
        }
    }
}

#[test]
fn pulls_once_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let (store, server, client) = (store(dir.path()), Server::start(), client());
    let image = large_image("x");
    server.add(&image, "1");
    let reference = server.reference("1");
    let recorder = Recorder::default();
    let never = request(&reference, PullPolicy::Never);
    assert!(matches!(pull(&store, &client, &never, &NoProgress), Err(PullError::NotHere(_))));
    let pulled =
        pull(&store, &client, &request(&reference, PullPolicy::Missing), &recorder).unwrap();
    assert_eq!(server.blob_requests().len(), 6);
    assert_eq!(pulled.manifest.digest, Digest::sha256(&image.manifest));
    assert_eq!(pulled.digests.len(), 1);
    let size: u64 = image.layers.iter().map(|l| l.blob.len() as u64).sum();
    assert_eq!(*recorder.total.lock().unwrap(), (size, size, size));
    let states = recorder.states.lock().unwrap();
    for index in 0..5 {
        let last = states.iter().rfind(|(i, _)| *i == index).unwrap().1;
        assert_eq!(last, LayerState::Done);
    }
    for when in [PullPolicy::Missing, PullPolicy::Never, PullPolicy::Always, PullPolicy::Newer] {
        let again = pull(&store, &client, &request(&reference, when), &NoProgress).unwrap();
        assert_eq!(again.id, pulled.id);
    }
    assert_eq!(server.blob_requests().len(), 6);
    // By digest, without a request for a blob either.
    let by_digest = reference.with_digest(pulled.manifest.digest.clone());
    let found =
        pull(&store, &client, &request(&by_digest, PullPolicy::Missing), &NoProgress).unwrap();
    assert_eq!(found.id, pulled.id);
    assert_eq!(read_file(&store, &found, "data/3/5").unwrap(), fixture::noise(5 * 997 + 100, 3001));
    // A layer that is not unpacked any more is unpacked from its blob; a blob
    // that is not there any more is fetched.
    std::fs::remove_dir_all(&store.rootfs(&pulled).unwrap().lowers[1]).unwrap();
    std::fs::remove_file(store.content().path(&pulled.layers[0].digest)).unwrap();
    assert!(!store.verify().unwrap().is_clean());
    pull(&store, &client, &request(&reference, PullPolicy::Missing), &NoProgress).unwrap();
    assert_eq!(server.blob_requests().len(), 7);
    assert_clean(&store);
}

#[test]
fn a_newer_image_takes_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, server, client) = (store(dir.path()), Server::start(), client());
    server.add(&image(&[gzip_layer(&tar(&[("a", b"1")]))], "x"), "1");
    let reference = server.reference("1");
    let newer = request(&reference, PullPolicy::Newer);
    let first = pull(&store, &client, &newer, &NoProgress).unwrap();
    server.add(&image(&[gzip_layer(&tar(&[("a", b"2")]))], "y"), "1");
    let kept = pull(&store, &client, &PullRequest::new(reference.clone()), &NoProgress).unwrap();
    assert_eq!(kept.id, first.id);
    let second = pull(&store, &client, &newer, &NoProgress).unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(store.find(&reference.to_string()).unwrap().id, second.id);
    assert!(store.find(first.short_id()).unwrap().names.is_empty());
    // A registry that is not there: what is here will do.
    let gone: Reference = "127.0.0.1:1/some/image:1".parse().unwrap();
    store.tag(&second, &gone).unwrap();
    pull(&store, &client, &request(&gone, PullPolicy::Newer), &NoProgress).unwrap();
    let always = pull(&store, &client, &request(&gone, PullPolicy::Always), &NoProgress);
    assert!(matches!(always, Err(PullError::Registry(_))));
}

#[test]
fn broken_connections_go_on_where_they_broke() {
    let dir = tempfile::tempdir().unwrap();
    let (store, server, client) = (store(dir.path()), Server::start(), client());
    server.add(&large_image("x"), "1");
    server.cut(3);
    pull(&store, &client, &PullRequest::new(server.reference("1")), &NoProgress).unwrap();
    let resumed = server.blob_requests().iter().filter(|(_, from)| *from > 0).count();
    assert_eq!((server.blob_requests().len(), resumed), (9, 3));
    assert_clean(&store);
}

#[test]
fn a_damaged_beginning_is_fetched_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, server, client) = (store(dir.path()), Server::start(), client());
    let image = large_image("x");
    server.add(&image, "1");
    for (number, layer) in image.layers.iter().enumerate() {
        let hex = Digest::sha256(&layer.blob).hex().to_owned();
        let path = dir.path().join(format!("content/ingest/sha256-{hex}"));
        let mut start = layer.blob[..layer.blob.len() / 2].to_vec();
        match number {
            0 => start[10] ^= 0x55,
            1 => start[5000] ^= 0x55,
            2 => start = vec![0; start.len()],
            3 => start = layer.blob.clone(),
            _ => {}
        }
        std::fs::write(path, start).unwrap();
    }
    pull(&store, &client, &PullRequest::new(server.reference("1")), &NoProgress).unwrap();
    let anew = server.blob_requests().iter().filter(|(_, from)| *from == 0).count();
    // The configuration, and the three damaged ones.
    assert_eq!(anew, 4, "{:?}", server.blob_requests());
    assert_clean(&store);
}

#[test]
fn what_the_registry_says_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (store, server, client) = (store(dir.path()), Server::start(), client());
    let mut wrong = image(&[gzip_layer(&tar(&[("a", b"1")]))], "x");
    let honest = wrong.layers[0].clone();
    wrong.layers[0].diff_id = Digest::sha256(b"other");
    let wrong = image(&wrong.layers, "x");
    server.add(&wrong, "diff");
    let error = pull(&store, &client, &PullRequest::new(server.reference("diff")), &NoProgress)
        .unwrap_err();
    assert!(error.to_string().contains("the configuration says"), "{error}");
    let mut bomb = tar(&[("zeros", &[0; 2 << 20])]);
    bomb.extend(vec![0; 30 << 20]);
    server.add(&image(&[gzip_layer(&bomb)], "x"), "bomb");
    let mut settings = store.settings().clone();
    settings.max_layer_bytes = 1 << 20;
    let small = caisson_image::Store::open(settings).unwrap();
    let error = pull(&small, &client, &PullRequest::new(server.reference("bomb")), &NoProgress)
        .unwrap_err();
    assert!(error.to_string().contains("1048576"), "{error}");
    // An index without this machine.
    let index = "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
                 \"manifests\":[]}";
    let kind = "application/vnd.oci.image.index.v1+json";
    server.add_document(kind, index.as_bytes(), "index");
    let error = pull(&store, &client, &PullRequest::new(server.reference("index")), &NoProgress)
        .unwrap_err();
    assert!(matches!(error, PullError::Platform { .. }), "{error}");
    assert!(store.images().unwrap().is_empty());
    server.add(&image(&[honest], "x"), "good");
    pull(&store, &client, &PullRequest::new(server.reference("good")), &NoProgress).unwrap();
    assert_clean(&store);
}

#[test]
fn what_is_pushed_can_be_pulled() {
    let dir = tempfile::tempdir().unwrap();
    let (first, server, client) = (store(&dir.path().join("1")), Server::start(), client());
    let archive = fixture::oci_archive(&large_image("x"), "thing:1");
    let image = fixture::load(&first, &archive).unwrap().remove(0);
    let target = server.reference("pushed");
    let digest = push(&first, &client, &image, &target, &NoProgress).unwrap();
    assert_eq!(digest, image.manifest.digest);
    assert_eq!(server.uploads(), 6);
    push(&first, &client, &image, &server.reference("again"), &NoProgress).unwrap();
    assert_eq!(server.uploads(), 6);
    let second = store(&dir.path().join("2"));
    let request = PullRequest::new(target.with_digest(digest));
    let pulled = pull(&second, &client, &request, &NoProgress).unwrap();
    assert_eq!(pulled.id, image.id);
    // Without a name it would be dangling; it has the one it was asked for by.
    second.prune(&caisson_image::PruneFilter::default()).unwrap();
    assert_clean(&second);
    assert_eq!(second.images().unwrap().len(), 1);
}

#[test]
fn the_policy_is_asked_first() {
    let dir = tempfile::tempdir().unwrap();
    let (store, server, client) = (store(dir.path()), Server::start(), client());
    server.add(&image(&[gzip_layer(&tar(&[("a", b"1")]))], "x"), "1");
    let mut request = PullRequest::new(server.reference("1"));
    let reject = br#"{"default":[{"type":"reject"}]}"#;
    request.policy = Some(Arc::new(Policy::parse(reject).unwrap()));
    let error = pull(&store, &client, &request, &NoProgress).unwrap_err();
    assert!(matches!(error, PullError::Policy(_)), "{error}");
    assert_eq!(server.blob_requests().len(), 0);
    request.policy = Some(Arc::new(Policy::accept_anything()));
    pull(&store, &client, &request, &NoProgress).unwrap();
}

/// Not a test: what the tests below run in processes of their own.
#[test]
#[ignore = "run by other tests"]
fn child() {
    let Ok(root) = std::env::var("CAISSON_TEST_ROOT") else { return };
    let reference: Reference = std::env::var("CAISSON_TEST_IMAGE").unwrap().parse().unwrap();
    let store = store(std::path::Path::new(&root));
    pull(&store, &client(), &PullRequest::new(reference), &NoProgress).unwrap();
}

fn start_child(root: &std::path::Path, reference: &Reference) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child"])
        .env("CAISSON_TEST_ROOT", root)
        .env("CAISSON_TEST_IMAGE", reference.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn several_processes_fetch_each_layer_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start();
    server.add(&large_image("x"), "1");
    let mut other = large_image("x");
    other.layers.reverse();
    server.add(&image(&other.layers, "y"), "2");
    server.pause(Duration::from_millis(1));
    let mut children: Vec<Child> = ["1", "2", "1", "2"]
        .map(|tag| start_child(dir.path(), &server.reference(tag)))
        .into_iter()
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let mut requests = server.blob_requests();
    let configs: Vec<String> =
        store(dir.path()).images().unwrap().iter().map(|image| image.id.to_string()).collect();
    assert_eq!(configs.len(), 2);
    requests.retain(|(digest, _)| !configs.contains(digest));
    assert_eq!(requests.len(), 5, "{requests:?}");
    assert_clean(&store(dir.path()));
}

#[test]
fn a_pull_killed_at_any_moment_leaves_a_clean_store() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start();
    server.add(&large_image("x"), "1");
    server.pause(Duration::from_millis(2));
    let reference = server.reference("1");
    let rounds =
        std::env::var("CAISSON_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut complete = 0;
    for round in 0..rounds {
        let mut child = start_child(dir.path(), &reference);
        let moment = u64::from_le_bytes(fixture::noise(8, round + 1).try_into().unwrap()) % 400;
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let store = store(dir.path());
        assert_clean(&store);
        if store.find(&reference.to_string()).is_ok() {
            complete += 1;
            store.remove(&reference.to_string(), false).unwrap();
            store.prune(&caisson_image::PruneFilter::default()).unwrap();
            assert_eq!(store.usage().unwrap().blobs, 0, "{status}");
        }
    }
    println!("{complete} of {rounds} were complete");
    let store = store(dir.path());
    pull(&store, &client(), &PullRequest::new(reference), &NoProgress).unwrap();
    assert_clean(&store);
    // Nothing half-made is left.
    for name in ["content/ingest", "leases"] {
        let left = std::fs::read_dir(dir.path().join(name)).unwrap().count();
        assert!(name == "leases" || left == 0, "{left} in {name}");
    }
    let half = std::fs::read_dir(dir.path().join("snapshots")).unwrap();
    assert!(half.flatten().all(|e| !e.file_name().to_string_lossy().starts_with("tmp-")));
    store.prune(&caisson_image::PruneFilter { all: true, ..Default::default() }).unwrap();
    assert_eq!(fixture::entries(&dir.path().join("snapshots")), Vec::<String>::new());
    assert_eq!(fixture::entries(&dir.path().join("leases")), Vec::<String>::new());
}

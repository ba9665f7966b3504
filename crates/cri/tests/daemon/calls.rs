//! Calls, good and bad.

use caisson_cri::{InvalidConfig, ServeError, ServeOptions, v1};

use crate::client::Daemon;
use crate::contract::methods;

const RUNTIME: &str = "/runtime.v1.RuntimeService";
const IMAGES: &str = "/runtime.v1.ImageService";
const INVALID: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn names_and_codes() {
    let Some(daemon) = Daemon::start() else { return };
    let version: v1::VersionResponse =
        daemon.call(&format!("{RUNTIME}/Version"), &v1::VersionRequest::default()).await.unwrap();
    assert_eq!(version.runtime_name, "caisson");
    assert_eq!(version.runtime_api_version, "v1");
    for path in ["/runtime.v1.RuntimeService/Nonsense", "/runtime.v1alpha2.ImageService/ListImages"]
    {
        assert_eq!(daemon.raw(path, &[]).await.0, 12, "{path}");
    }
    let list: v1::ListImagesResponse = daemon
        .call(&format!("{IMAGES}/ListImages"), &v1::ListImagesRequest::default())
        .await
        .unwrap();
    assert!(list.images.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_not_here() {
    let Some(daemon) = Daemon::start() else { return };
    let spec =
        |image: &str| Some(v1::ImageSpec { image: image.to_owned(), ..v1::ImageSpec::default() });
    let path = |call: &str| format!("{IMAGES}/{call}");
    let request = v1::ImageStatusRequest { image: spec("nothing:1"), verbose: true };
    let status: v1::ImageStatusResponse =
        daemon.call(&path("ImageStatus"), &request).await.unwrap();
    assert!(status.image.is_none() && status.info.is_empty());
    for image in ["nothing:1", "sha256:abcdef", "no name at all"] {
        let request = v1::RemoveImageRequest { image: spec(image) };
        let gone: Result<v1::RemoveImageResponse, _> =
            daemon.call(&path("RemoveImage"), &request).await;
        assert!(gone.is_ok(), "{image}: {gone:?}");
    }
    let pull = |image: Option<v1::ImageSpec>| {
        let request = v1::PullImageRequest { image, ..v1::PullImageRequest::default() };
        let (daemon, path) = (&daemon, path("PullImage"));
        async move { daemon.call::<_, v1::PullImageResponse>(&path, &request).await.unwrap_err() }
    };
    assert_eq!(pull(None).await.0, INVALID);
    assert_eq!(pull(spec("a/UPPER")).await.0, INVALID);
    let (code, text) = pull(spec("127.0.0.1:1/x")).await;
    assert!(code == 2 && text.starts_with("RegistryUnavailable: "), "{code} {text}");
    let other = spec("a").map(|s| v1::ImageSpec { runtime_handler: "nope".to_owned(), ..s });
    let (code, text) = pull(other).await;
    assert!(code == INVALID && text.contains("nope") && text.contains("kata"), "{code} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_answers_an_empty_request_and_a_broken_one() {
    let Some(daemon) = Daemon::start() else { return };
    for (service, method) in methods() {
        let path = format!("/{service}/{method}");
        let (code, text, _) = daemon.raw(&path, &[]).await;
        assert!((0..=16).contains(&code), "{path}: {code} {text}");
        // A field of a length that is not there.
        let (code, _, _) = daemon.raw(&path, &[0x0a, 0xff, 0xff, 0xff, 0x7f, 1]).await;
        assert_ne!(code, 0, "{path}");
        // A longer list of numbers that mean nothing.
        daemon.raw(&path, &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).await;
    }
    let path = format!("{RUNTIME}/RunPodSandbox");
    assert_eq!(daemon.raw(&path, &[]).await.0, INVALID);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_daemon_at_a_time() {
    let Some(daemon) = Daemon::start() else { return };
    let engine = Daemon::engine(&daemon.temp);
    let options = ServeOptions { engine, settings_file: None, socket: None };
    let refused = std::thread::spawn(move || caisson_cri::serve(options)).join().unwrap();
    assert!(matches!(refused, Err(ServeError::Instance(_))), "{refused:?}");
    let text = InvalidConfig::NotLoopback("1.2.3.4:5".parse().unwrap()).to_string();
    assert!(text.contains("serve.metrics_address"));
}

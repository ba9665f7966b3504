use super::{
    DOCKER_MANIFEST, Document, ImageConfig, Index, InvalidManifest, LayerCompression, MAX_MANIFEST,
    OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, UnsupportedLayer, layer_compression,
};

const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{D}","size":3}}"#)
}

fn manifest(media_type: &str, layer: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,{media_type}"config":{},"layers":[{}],"annotations":null}}"#,
        descriptor(OCI_CONFIG),
        descriptor(layer)
    )
}

#[test]
fn kinds_are_told_apart() {
    let plain = manifest("", OCI_LAYER_GZIP);
    for announced in ["", OCI_MANIFEST, "application/json; charset=utf-8", DOCKER_MANIFEST] {
        let document = Document::parse(plain.as_bytes(), announced).unwrap();
        assert!(matches!(&document, Document::Manifest(m) if m.layers.len() == 1), "{announced}");
    }
    let typed = manifest(&format!(r#""mediaType":"{DOCKER_MANIFEST}","#), OCI_LAYER_GZIP);
    let document = Document::parse(typed.as_bytes(), DOCKER_MANIFEST).unwrap();
    assert_eq!(document.media_type(), DOCKER_MANIFEST);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST));
    let document = Document::parse(index.as_bytes(), "").unwrap();
    assert_eq!(document.media_type(), OCI_INDEX);
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let typed = manifest(&format!(r#""mediaType":"{DOCKER_MANIFEST}","#), OCI_LAYER_GZIP);
    let error = Document::parse(typed.as_bytes(), OCI_INDEX).unwrap_err();
    assert!(matches!(error, InvalidManifest::TypeMismatch { .. }), "{error}");
    let both = format!(
        r#"{{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}}"#,
        descriptor(OCI_CONFIG)
    );
    for announced in ["", OCI_INDEX, OCI_MANIFEST] {
        let error = Document::parse(both.as_bytes(), announced).unwrap_err();
        assert!(matches!(error, InvalidManifest::Ambiguous), "{error}");
    }
}

#[test]
fn other_documents_are_refused_by_name() {
    let parse =
        |text: &str, announced: &str| Document::parse(text.as_bytes(), announced).unwrap_err();
    let schema1 = r#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[]}"#;
    let error = parse(schema1, "application/vnd.docker.distribution.manifest.v1+prettyjws");
    assert!(matches!(error, InvalidManifest::Schema1(_)), "{error}");
    assert!(error.to_string().contains("v1+prettyjws"));
    assert!(matches!(parse(schema1, ""), InvalidManifest::Schema1(_)));
    let error = parse(r#"{"schemaVersion":2,"mediaType":"text/x"}"#, "");
    assert!(matches!(error, InvalidManifest::UnknownType(name) if name == "text/x"));
    for bad in ["", "[]", "{}", "null", "{\"schemaVersion\":2}", "<html>", &"[".repeat(100_000)] {
        assert!(matches!(parse(bad, ""), InvalidManifest::Malformed(_)), "{bad:.20}");
    }
    let long = format!("{}{}", manifest("", OCI_LAYER_GZIP), " ".repeat(MAX_MANIFEST));
    assert!(matches!(parse(&long, ""), InvalidManifest::TooLong(_)));
    let layers = vec![descriptor(OCI_LAYER_GZIP); 600].join(",");
    let many =
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{layers}]}}"#, descriptor(OCI_CONFIG));
    assert!(matches!(parse(&many, ""), InvalidManifest::TooMany { count: 600, .. }));
}

#[test]
fn layers_of_other_types_are_refused_by_name() {
    let layers = |layer: &str| {
        let Document::Manifest(manifest) =
            Document::parse(manifest("", layer).as_bytes(), "").unwrap()
        else {
            panic!("no manifest")
        };
        manifest.image_layers().map(|layers| layers[0].1)
    };
    assert_eq!(layers(OCI_LAYER_GZIP).unwrap(), LayerCompression::Gzip);
    assert_eq!(
        layer_compression("application/vnd.docker.image.rootfs.diff.tar.zstd").unwrap(),
        LayerCompression::Zstd
    );
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let error = layers(foreign).unwrap_err().to_string();
    assert!(error.contains(foreign), "{error}");
    assert!(matches!(
        layer_compression("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        Err(UnsupportedLayer::Foreign(_))
    ));
    assert!(matches!(
        layer_compression("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
        Err(UnsupportedLayer::Encrypted(_))
    ));
    assert!(layers("application/x-thing").unwrap_err().to_string().contains("application/x-thing"));
}

fn index(platforms: &[&str]) -> Index {
    let entries: Vec<String> = platforms
        .iter()
        .enumerate()
        .map(|(at, platform)| {
            let parts: Vec<&str> = platform.split('/').collect();
            let platform = match parts.as_slice() {
                [os, arch] => format!(r#","platform":{{"os":"{os}","architecture":"{arch}"}}"#),
                [os, arch, v] => format!(
                    r#","platform":{{"os":"{os}","architecture":"{arch}","variant":"{v}"}}"#
                ),
                _ => String::new(),
            };
            format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{D}","size":{at}{platform}}}"#)
        })
        .collect();
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    match Document::parse(text.as_bytes(), "").unwrap() {
        Document::Index(index) => index,
        Document::Manifest(_) => panic!("no index"),
    }
}

#[test]
fn the_best_platform_is_chosen() {
    let chosen = |there: &[&str], wanted: &str| {
        index(there).select(&wanted.parse().unwrap()).map(|entry| entry.size)
    };
    let all = ["unknown/unknown", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64"];
    assert_eq!(chosen(&all, "linux/amd64"), Ok(4));
    assert_eq!(chosen(&all, "linux/amd64/v3"), Ok(4));
    assert_eq!(chosen(&all, "linux/arm64"), Ok(3));
    assert_eq!(chosen(&all, "linux/arm64/v9"), Ok(3));
    assert_eq!(chosen(&all, "linux/arm"), Ok(2));
    assert_eq!(chosen(&all, "linux/arm/v6"), Ok(1));
    assert_eq!(chosen(&["linux/arm64"], "linux/arm64/v8"), Ok(0));
    assert_eq!(chosen(&["linux/amd64", "linux/amd64/v3"], "linux/amd64/v3"), Ok(1));
    assert_eq!(chosen(&["", "linux/arm64"], "linux/amd64"), Ok(0));
    let error = chosen(&all, "linux/s390x").unwrap_err().to_string();
    assert!(error.contains("linux/arm/v7") && !error.contains("unknown"), "{error}");
    for (there, wanted) in [
        (&["linux/arm/v7"] as &[&str], "linux/arm/v6"),
        (&["linux/amd64/v3"], "linux/amd64"),
        (&["windows/amd64"], "linux/amd64"),
        (&["", ""], "linux/amd64"),
        (&["unknown/unknown"], "linux/amd64"),
        (&[], "linux/amd64"),
    ] {
        assert!(chosen(there, wanted).is_err(), "{there:?} {wanted}");
    }
}

#[test]
fn configurations_with_nulls_are_read_and_written_back() {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":null,"Cmd":["sh"],"Entrypoint":null,
        "ExposedPorts":{{"80/tcp":{{}}}},"Volumes":null,"Labels":null,"User":"","Healthcheck":
        {{"Test":["NONE"]}},"Hostname":"x","ArgsEscaped":true}},"rootfs":{{"type":"layers",
        "diff_ids":["{D}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
    );
    let config = ImageConfig::parse(text.as_bytes(), 1).unwrap();
    assert_eq!(config.config.cmd, ["sh"]);
    assert!(config.config.exposed_ports.contains("80/tcp"));
    assert_eq!(config.platform().to_string(), "linux/amd64");
    let written = serde_json::to_string(&config).unwrap();
    assert!(written.contains(r#""ExposedPorts":{"80/tcp":{}}"#), "{written}");
    assert_eq!(ImageConfig::parse(written.as_bytes(), 1).unwrap(), config);
    assert!(ImageConfig::parse(text.as_bytes(), 2).is_err());
    assert!(ImageConfig::parse(b"{}", 0).is_err());
}

//! Bundles with a static busybox and `runc spec`'s default configuration.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::BenchError;
use crate::runtimes::{Runtime, call};

const BUSYBOX: &str = "/bin/busybox";

/// A directory with one shared root file system and one bundle per variation.
pub(crate) struct Bundles {
    directory: PathBuf,
    default: Value,
}

impl Bundles {
    /// Prepares `directory` with a root file system, and takes the default
    /// configuration from the newest runc there is, else from ours.
    pub(crate) fn prepare(directory: &Path, runtimes: &[Runtime]) -> Result<Self, BenchError> {
        let rootfs = directory.join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            let path = rootfs.join(name);
            fs::create_dir_all(&path).map_err(BenchError::path("create", path))?;
        }
        if !Path::new(BUSYBOX).exists() {
            return Err(BenchError::NoBusybox);
        }
        let busybox = rootfs.join("bin/busybox");
        fs::copy(BUSYBOX, &busybox).map_err(BenchError::path("write", busybox))?;
        for name in ["true", "sh", "sleep"] {
            let link = rootfs.join("bin").join(name);
            symlink("busybox", &link).map_err(BenchError::path("link", link))?;
        }
        let speaker = ["runc new", "runc debian", "ours"]
            .iter()
            .find_map(|name| runtimes.iter().find(|r| r.name == *name)?.path.as_deref())
            .ok_or_else(|| BenchError::Usage("no runtime offers `spec`".into()))?;
        let spec = directory.join("spec");
        fs::create_dir_all(&spec).map_err(BenchError::path("create", &spec))?;
        call(speaker, ["spec".as_ref(), "--bundle".as_ref(), spec.as_os_str()])?;
        Ok(Self { directory: directory.to_owned(), default: read_json(&spec.join("config.json"))? })
    }

    /// Writes bundle `name`: the default configuration without terminal,
    /// running `arguments`, then changed by `vary`.
    pub(crate) fn write(
        &self,
        name: &str,
        arguments: &[&str],
        vary: impl FnOnce(&mut Value),
    ) -> Result<PathBuf, BenchError> {
        let bundle = self.directory.join(name);
        fs::create_dir_all(&bundle).map_err(BenchError::path("create", &bundle))?;
        let mut config = self.default.clone();
        // The newest runc writes a version that older peers refuse.
        config["ociVersion"] = json!("1.0.2");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(arguments);
        config["root"]["path"] = json!(self.directory.join("rootfs"));
        vary(&mut config);
        let file = bundle.join("config.json");
        fs::write(&file, config.to_string()).map_err(BenchError::path("write", file))?;
        Ok(bundle)
    }
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value, BenchError> {
    let text = fs::read(path).map_err(BenchError::path("read", path))?;
    serde_json::from_slice(&text)
        .map_err(|source| BenchError::Json { path: path.to_owned(), source })
}

//! The real program, with state of its own.
#![allow(dead_code, reason = "each test uses a part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A caisson with folders of its own, which go with it.
pub(crate) struct Caisson {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Caisson {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("auth.json"), "{}").unwrap();
        Self { dir }
    }

    /// A path below the temporary folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command, ready to be changed and run.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_caisson"));
        command
            .args(args)
            .env("CAISSON_ROOT", self.path("state"))
            .env("CAISSON_RUN_ROOT", self.path("run"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("TERM", "xterm")
            .stdin(Stdio::null());
        command
    }

    /// Runs it, whatever comes of it.
    pub(crate) fn try_run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Runs it: it must succeed. Gives its standard output.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let ran = self.try_run(args);
        assert_eq!(ran.code, 0, "{:?}: {ran:?}", line(args));
        ran.stdout
    }

    /// Runs it: it must fail with `code`. Gives its standard error.
    pub(crate) fn fail<S: AsRef<OsStr>>(&self, code: i32, args: &[S]) -> String {
        let ran = self.try_run(args);
        assert_eq!(ran.code, code, "{:?}: {ran:?}", line(args));
        ran.stderr
    }

    /// An archive as `docker save` writes it, with one layer of one file.
    pub(crate) fn archive(&self, names: &[&str], content: &str) -> PathBuf {
        let work = self.path(&format!("archive-{}", content.len()));
        std::fs::create_dir_all(work.join("tree")).unwrap();
        std::fs::write(work.join("tree/file"), content).unwrap();
        tar(&work.join("layer.tar"), &work.join("tree"), &["file"]);
        let config = format!(
            r#"{{"created":"2020-01-02T03:04:05Z","architecture":"amd64","os":"linux",
            "config":{{"Env":["A=1"],"Cmd":["/bin/true"],"Labels":{{"kind":"test"}}}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}},
            "history":[{{"created":"2020-01-02T03:04:05Z","created_by":"made by a test"}},
            {{"created_by":"CMD true","empty_layer":true}}]}}"#,
            sha256(&work.join("layer.tar"))
        );
        std::fs::write(work.join("config.json"), config).unwrap();
        let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        let manifest = format!(
            r#"[{{"Config":"config.json","RepoTags":[{}],"Layers":["layer.tar"]}}]"#,
            names.join(",")
        );
        std::fs::write(work.join("manifest.json"), manifest).unwrap();
        let archive = self.path(&format!("{}.tar", content.len()));
        tar(&archive, &work, &["manifest.json", "config.json", "layer.tar"]);
        archive
    }

    /// Loads such an archive; the image's id.
    pub(crate) fn load(&self, names: &[&str], content: &str) -> String {
        let archive = self.archive(names, content);
        let id = self.run(&["load", "-q", "-i", archive.to_str().unwrap()]);
        id.trim().to_owned()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn line<S: AsRef<OsStr>>(args: &[S]) -> Vec<&OsStr> {
    args.iter().map(AsRef::as_ref).collect()
}

fn tar(archive: &Path, folder: &Path, files: &[&str]) {
    let status = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .args(["--owner=0", "--group=0", "--mtime=@0", "-cf"])
        .arg(archive)
        .args(files)
        .status();
    assert!(status.unwrap().success());
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

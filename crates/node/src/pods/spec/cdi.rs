//! CDI: devices that a vendor describes in a file, by a name such as
//! `vendor.com/gpu=0` (container-device-interface, SPEC.md).

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cdi_file::{self, Edits, File};
use crate::pods::PodError;
use crate::pods::request::PodContainerRequest;

/// Where descriptions lie; later folders win.
pub(super) const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// What keys of annotations begin with that name devices.
const ANNOTATION: &str = "cdi.k8s.io/";

/// The names that a request asks for, each once: those of its field, then those
/// of its annotations.
pub(super) fn names(request: &PodContainerRequest) -> Vec<String> {
    let annotated = request
        .annotations
        .iter()
        .filter(|(key, _)| key.starts_with(ANNOTATION))
        .flat_map(|(_, names)| names.split(',').map(str::trim));
    let mut seen = BTreeSet::new();
    let all = request.cdi_devices.iter().map(String::as_str).chain(annotated);
    all.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

/// What the devices of these names need, in their order; what a file says for
/// all of its devices comes once, before the first of them.
pub(super) fn edits(folders: &[&str], names: &[String]) -> Result<Vec<Edits>, PodError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let read = ReadFiles::read(folders);
    let mut common = BTreeSet::new();
    let mut list = Vec::new();
    for name in names {
        let (path, file, own) = read
            .find(name)
            .map_err(|why| PodError::invalid("cdi_devices", format!("{name}: {why}")))?;
        if common.insert(path.clone()) {
            list.push(file.container_edits.clone());
        }
        list.push(own.clone());
    }
    Ok(list)
}

struct ReadFiles<'f> {
    folders: &'f [&'f str],
    /// By folder.
    files: Vec<Vec<(PathBuf, File)>>,
    /// Why others could not be used.
    troubles: Vec<String>,
}

impl<'f> ReadFiles<'f> {
    fn read(folders: &'f [&'f str]) -> Self {
        let mut troubles = Vec::new();
        let files = folders.iter().map(|folder| read_folder(folder, &mut troubles)).collect();
        Self { folders, files, troubles }
    }

    /// The file that describes a device, and what it says of it alone.
    fn find(&self, name: &str) -> Result<(&PathBuf, &File, &Edits), String> {
        let Some((kind, device)) = name.split_once('=') else {
            return Err("a name is vendor.com/class=device".to_owned());
        };
        for folder in self.files.iter().rev() {
            let mut found =
                folder.iter().filter(|(_, file)| file.kind == kind).flat_map(|(path, file)| {
                    let own = file.devices.iter().filter(|own| own.name == device);
                    own.map(move |own| (path, file, &own.container_edits))
                });
            match (found.next(), found.next()) {
                (None, _) => {}
                (Some(only), None) => return Ok(only),
                (Some((one, ..)), Some((two, ..))) => {
                    return Err(format!(
                        "is described twice, in {} and {}, of which neither comes first",
                        one.display(),
                        two.display()
                    ));
                }
            }
        }
        let mut reason = format!("is in no description in {}", self.folders.join(" or "));
        for trouble in &self.troubles {
            reason += &format!("; {trouble}");
        }
        Err(reason)
    }
}

fn read_folder(folder: &str, troubles: &mut Vec<String>) -> Vec<(PathBuf, File)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if !matches!(path.extension().and_then(|e| e.to_str()), Some("json" | "yaml" | "yml")) {
            continue;
        }
        match cdi_file::read(&path) {
            Ok(file) => files.push((path, file)),
            Err(why) => troubles.push(format!("{}: {why}", path.display())),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn devices_are_found_and_what_is_common_comes_once() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(
            temp.path().join("a.json"),
            r#"{"cdiVersion":"0.6.0","kind":"v.com/gpu",
                "containerEdits":{"env":["ALL=1"]},
                "devices":[{"name":"0","containerEdits":{"env":["ZERO=1"]}},
                           {"name":"1","containerEdits":{"env":["ONE=1"]}}]}"#,
        )
        .unwrap();
        std::fs::write(temp.path().join("b.yaml"), "cdiVersion: 0.6.0").unwrap();
        std::fs::write(temp.path().join("c.json"), "{").unwrap();
        let folders = [temp.path().to_str().unwrap()];
        let found = edits(&folders, &strings(&["v.com/gpu=1", "v.com/gpu=0"])).unwrap();
        let env: Vec<&str> = found.iter().flat_map(|e| &e.env).map(String::as_str).collect();
        assert_eq!(env, ["ALL=1", "ONE=1", "ZERO=1"]);
        let error = edits(&folders, &strings(&["v.com/gpu=9"])).unwrap_err().to_string();
        assert!(error.contains("b.yaml") && error.contains("c.json"), "{error}");
        assert!(edits(&folders, &strings(&["gpu"])).is_err());
        assert!(edits(&["/no/such"], &[]).unwrap().is_empty());
    }

    #[test]
    fn later_folders_win_and_equals_are_in_conflict() {
        let temp = tempfile::tempdir().unwrap();
        let describe = |file: &str, device: &str, env: &str| {
            let text = format!(
                "cdiVersion: 1.0.0\nkind: v.com/gpu\ndevices:\n- name: {device}\n  \
                 containerEdits:\n    env: [\"{env}\"]\n"
            );
            let path = temp.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        describe("etc/z.yaml", "one", "FROM=etc");
        describe("run/a.yaml", "one", "FROM=run");
        describe("etc/a.yaml", "two", "FROM=a");
        describe("etc/b.yml", "two", "FROM=b");
        let folders = ["etc", "run"].map(|name| temp.path().join(name).display().to_string());
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let found = edits(&folders, &strings(&["v.com/gpu=one"])).unwrap();
        let env: Vec<&str> = found.iter().flat_map(|e| &e.env).map(String::as_str).collect();
        assert_eq!(env, ["FROM=run"]);
        let error = edits(&folders, &strings(&["v.com/gpu=two"])).unwrap_err().to_string();
        assert!(error.contains("a.yaml") && error.contains("b.yml"), "{error}");
        // A later folder's settles it.
        describe("run/two.yaml", "two", "FROM=run");
        assert!(edits(&folders, &strings(&["v.com/gpu=two"])).is_ok());
    }

    #[test]
    fn annotations_name_devices_too() {
        let mut request = PodContainerRequest {
            cdi_devices: strings(&["v.com/a=1", "v.com/a=2"]),
            ..PodContainerRequest::default()
        };
        for (key, value) in [("cdi.k8s.io/x_y", "v.com/a=2, v.com/b=3"), ("other", "v.com/c=4")] {
            request.annotations.insert(key.to_owned(), value.to_owned());
        }
        assert_eq!(names(&request), ["v.com/a=1", "v.com/a=2", "v.com/b=3"]);
    }
}

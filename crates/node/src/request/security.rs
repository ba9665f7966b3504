//! `--security-opt`, `--cap-add`, `--cap-drop`, `--privileged`.

use serde::{Deserialize, Serialize};

use super::OptionError;

/// Which filter of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompChoice {
    /// Docker's default, less for fewer capabilities.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile, its JSON text.
    Profile(String),
}

/// Privileges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityRequest {
    /// All capabilities and devices, no filter, nothing hidden.
    pub privileged: bool,
    /// Capabilities beyond the default ones, with or without `CAP_`; `ALL`.
    pub cap_add: Vec<String>,
    /// Default capabilities that it does without; `ALL`.
    pub cap_drop: Vec<String>,
    /// It can't gain privileges by exec.
    pub no_new_privileges: bool,
    /// Filter of system calls.
    pub seccomp: SeccompChoice,
    /// AppArmor profile; `unconfined` for none.
    pub apparmor: Option<String>,
    /// SELinux label's parts (`type:container_t`), or `disable`.
    pub labels: Vec<String>,
    /// Nothing of `/proc` and `/sys` is hidden.
    pub unmask: bool,
}

impl SecurityRequest {
    /// Applies one `--security-opt`; `read` reads a file that it names.
    ///
    /// # Errors
    /// If the option is unknown, or its file can't be read.
    pub fn apply(
        &mut self,
        text: &str,
        read: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<(), OptionError> {
        let fail = |reason: String| OptionError::new(text, reason);
        // Docker takes both signs, and wrote `:` in its early days.
        let (key, value) = match text.find(['=', ':']) {
            Some(at) => (text.get(..at).unwrap_or(text), text.get(at + 1..)),
            None => (text, None),
        };
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => self.no_new_privileges = true,
            ("no-new-privileges", Some("false")) => self.no_new_privileges = false,
            ("seccomp", Some("unconfined")) => self.seccomp = SeccompChoice::Unconfined,
            ("seccomp", Some("builtin")) => self.seccomp = SeccompChoice::Default,
            ("seccomp", Some(file)) => {
                let profile = read(file).map_err(|e| fail(format!("cannot read {file}: {e}")))?;
                self.seccomp = SeccompChoice::Profile(profile);
            }
            ("apparmor", Some(profile)) if !profile.is_empty() => {
                self.apparmor = Some(profile.to_owned());
            }
            ("label", Some(label)) if !label.is_empty() => self.labels.push(label.to_owned()),
            ("systempaths", Some("unconfined")) => self.unmask = true,
            ("unmask", Some("ALL")) => self.unmask = true,
            _ => {
                return Err(fail(
                    "known are: no-new-privileges, seccomp=unconfined|FILE, apparmor=PROFILE, \
                     label=…, systempaths=unconfined"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let read = |file: &str| match file {
            "p.json" => Ok("{}".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let mut security = SecurityRequest::default();
        for text in [
            "no-new-privileges",
            "apparmor=mine",
            "label=type:t",
            "systempaths=unconfined",
            "seccomp=p.json",
        ] {
            security.apply(text, &read).unwrap();
        }
        assert!(security.no_new_privileges && security.unmask);
        assert_eq!(security.seccomp, SeccompChoice::Profile("{}".to_owned()));
        assert_eq!(security.labels, ["type:t"]);
        security.apply("seccomp:unconfined", &read).unwrap();
        assert_eq!(security.seccomp, SeccompChoice::Unconfined);
        for bad in ["", "nope", "seccomp=none.json", "apparmor=", "no-new-privileges=perhaps"] {
            assert!(security.apply(bad, &read).is_err(), "{bad}");
        }
    }
}

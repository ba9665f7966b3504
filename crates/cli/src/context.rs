//! What every command is given: settings, folders, how much to say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use caisson_image::{Digest, Policy, QuotaPolicy, Store, StoreSettings};
use caisson_node::metadata::{Event, EventKind, Metadata};
use caisson_node::paths::{Identity, Paths, PathsError};
use caisson_node::settings::Settings;
use caisson_node::{Engine, EngineOptions, rootless};
use rustix::termios::isatty;

use crate::args::GlobalArgs;
use crate::failure::Failure;
use crate::log::Level;

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where state is kept; not made yet.
    pub(crate) paths: Paths,
    /// What the administrator set.
    pub(crate) settings: Settings,
    /// How much to say on standard error.
    pub(crate) level: Level,
    /// The settings file that the user named.
    pub(crate) settings_file: Option<PathBuf>,
    /// Who runs this.
    pub(crate) identity: Identity,
}

impl Context {
    /// Reads options, environment and settings.
    pub(crate) fn new(global: &GlobalArgs) -> Result<Self, Failure> {
        let uid = rustix::process::geteuid().as_raw();
        let identity = if uid == 0 { Identity::System } else { Identity::User { uid } };
        let settings = Settings::load(global.config.as_deref())?;
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let paths = paths(global, &settings, identity, &variable)?;
        let settings_file = global.config.clone();
        Ok(Self { paths, settings, level: global.log_level, settings_file, identity })
    }

    /// Where a user without privileges runs this: becomes root of a user
    /// namespace. To be called before anything is opened.
    pub(crate) fn gain_namespace(&self) -> Result<(), Failure> {
        match self.identity {
            Identity::System => Ok(()),
            Identity::User { .. } => Ok(rootless::enter(&self.paths).map_err(Failure::of_engine)?),
        }
    }

    /// Opens the image store, and makes the folders where there are none.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        let paths = self.paths.clone().prepare()?;
        let mut settings = StoreSettings::at(paths.root());
        settings.quota = self.settings.storage.quota;
        settings.quota_policy = QuotaPolicy::Evict;
        Ok(Store::open(settings)?)
    }

    /// The policy of this file, or else of the settings, about which images may
    /// be used; `None` allows all.
    pub(crate) fn signature_policy(&self, file: Option<&Path>) -> Result<Option<Policy>, Failure> {
        let settings = self.settings.storage.signature_policy.as_deref();
        Ok(file.or(settings).map(Policy::load).transpose()?)
    }

    /// Opens the engine.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let program = std::env::current_exe()?;
        let mut exit_command = vec![text(&program)];
        let config = self.settings_file.as_deref().map(std::path::absolute).transpose()?;
        let dirs = [
            ("--root", Some(std::path::absolute(self.paths.root())?)),
            ("--run-root", Some(std::path::absolute(self.paths.run())?)),
            ("--config", config),
        ];
        for (option, value) in dirs {
            if let Some(value) = value {
                exit_command.extend([option.to_owned(), text(&value)]);
            }
        }
        exit_command.push("container-cleanup".to_owned());
        Ok(Engine::open(EngineOptions {
            paths: self.paths.clone(),
            settings: self.settings.clone(),
            rootless: rootless::in_user_namespace(),
            exit_command,
        })?)
    }

    /// Notes for `caisson events` what was done to an image. What was done
    /// stays done where that fails.
    pub(crate) fn note_image(
        &self,
        store: &Store,
        action: &str,
        id: &Digest,
        name: Option<String>,
    ) {
        let mut event = Event::now(EventKind::Image, action, &id.to_string());
        if let Some(name) = name {
            event = event.with("name", name);
        }
        let noted = Metadata::open(store.database_path()).and_then(|mut it| it.note(&event));
        if let Err(error) = noted {
            self.warn(&format!("no event is noted: {error}"));
        }
    }

    /// Says what works, but not as asked.
    pub(crate) fn warn(&self, message: &str) {
        self.level.say(Level::Warn, message);
    }

    /// Whether standard error is a terminal: bars are drawn there.
    pub(crate) fn stderr_is_terminal(&self) -> bool {
        isatty(rustix::stdio::stderr())
    }
}

/// Option before environment before the administrator's settings, which are
/// about the system's folders, before the default.
fn paths(
    global: &GlobalArgs,
    settings: &Settings,
    identity: Identity,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Paths, PathsError> {
    let set = |option: &Option<PathBuf>, name: &str, setting: &Option<PathBuf>| {
        let administrators = setting.clone().filter(|_| identity == Identity::System);
        option.clone().or_else(|| variable(name).map(PathBuf::from)).or(administrators)
    };
    let root = set(&global.root, "CAISSON_ROOT", &settings.storage.root);
    let run = set(&global.run_root, "CAISSON_RUN_ROOT", &settings.storage.run_root);
    Paths::choose(root, run, identity, variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_beats_environment_beats_settings() {
        let mut settings = Settings::default();
        settings.storage.root = Some("/settings".into());
        let root = |option: Option<&str>, environment: Option<&str>, identity| {
            let global = GlobalArgs { root: option.map(PathBuf::from), ..GlobalArgs::default() };
            let variable = |name: &str| match name {
                "CAISSON_ROOT" => environment.map(OsString::from),
                "HOME" => Some("/home/u".into()),
                _ => None,
            };
            paths(&global, &settings, identity, &variable).unwrap().root().display().to_string()
        };
        assert_eq!(root(Some("/option"), Some("/env"), Identity::System), "/option");
        assert_eq!(root(None, Some("/env"), Identity::System), "/env");
        assert_eq!(root(None, None, Identity::System), "/settings");
        let user = Identity::User { uid: 7 };
        assert_eq!(root(None, None, user), "/home/u/.local/share/caisson");
    }
}

//! `caisson login` and `caisson logout`.

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::PathBuf;

use caisson_image::registry::Credential;
use caisson_image::{DEFAULT_REGISTRY, RegistryClient, RegistrySettings};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};

use crate::auth_file::AuthFile;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::registry_args::RegistryArgs;

/// The longest password.
const MAX_PASSWORD: u64 = 64 << 10;

/// Keep a user name and a password for a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "They go where podman keeps them: $REGISTRY_AUTH_FILE, else \
                        $XDG_RUNTIME_DIR/containers/auth.json, else \
                        /run/containers/UID/auth.json.\nThe registry is asked first whether it \
                        takes them.")]
pub(crate) struct Login {
    /// Host, and port where needed; docker.io if not given
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
    /// User name
    #[arg(short, long)]
    username: Option<String>,
    /// Password; others on this machine can see it: better --password-stdin
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The file to keep them in
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// `false` also takes a registry without a valid certificate, or without
    /// TLS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    tls_verify: Option<bool>,
}

/// Forget the user name and the password for a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// Host, and port where needed; docker.io if not given
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
    /// Forget those of all registries
    #[arg(short, long, conflicts_with = "registry")]
    all: bool,
    /// The file they are kept in
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl Login {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let registry = registry(self.registry.as_deref())?;
        let username = match &self.username {
            Some(name) => name.clone(),
            None if self.password_stdin => {
                return Err(Failure::usage("--password-stdin needs --username"));
            }
            None => ask("User name: ", true)?,
        };
        let password = match &self.password {
            Some(password) => {
                context.warn("others on this machine can see --password: use --password-stdin");
                password.clone()
            }
            None if self.password_stdin => from_stdin()?,
            None => ask("Password: ", false)?,
        };
        if username.is_empty() || username.contains(':') {
            return Err(Failure::usage("a user name is needed, without ':'"));
        }
        let args = RegistryArgs { tls_verify: self.tls_verify, ..RegistryArgs::default() };
        let credential =
            Credential::Basic { username: username.clone(), password: password.clone() };
        let settings = RegistrySettings { credential: Some(credential), ..args.settings(context)? };
        RegistryClient::new(settings).check_login(&registry)?;
        let path = self.authfile.clone().unwrap_or_else(AuthFile::of_user);
        let mut file = AuthFile::open(&path)?;
        file.insert(&registry, &username, &password);
        file.save()?;
        output::text("Login succeeded\n")
    }
}

impl Logout {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let path = self.authfile.clone().unwrap_or_else(AuthFile::of_user);
        let mut file = AuthFile::open(&path)?;
        if self.all {
            let count = file.clear();
            file.save()?;
            return output::text(&format!("Forgot {count} credentials in {}\n", path.display()));
        }
        let registry = registry(self.registry.as_deref())?;
        if !file.remove(&registry) {
            return Err(Failure::new(format!(
                "there is no credential for {registry} in {}",
                path.display()
            )));
        }
        file.save()?;
        output::text(&format!("Forgot the credential for {registry}\n"))
    }
}

/// The registry as names of images have it.
fn registry(typed: Option<&str>) -> Result<String, Failure> {
    let typed = typed.unwrap_or(DEFAULT_REGISTRY);
    let host = typed.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.trim_end_matches('/');
    // Read as part of a name, so that what is kept is what is looked up. A
    // host without a dot is one by its slash only if it has a port.
    let reference: caisson_image::Reference = format!("{host}/name").parse()?;
    let known = reference.registry();
    if known != host && known != DEFAULT_REGISTRY || host.contains('/') {
        return Err(Failure::usage(format!("{typed:?} is no host of a registry")));
    }
    if known == DEFAULT_REGISTRY && host != DEFAULT_REGISTRY && !host.ends_with("docker.io") {
        return Err(Failure::usage(format!("{typed:?} is no host of a registry: it has no dot"))
            .hint("a host is localhost, has a dot, or a port: registry.example, registry:5000"));
    }
    Ok(known.to_owned())
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks on the terminal; where `echo` is not set, what is typed is not shown.
fn ask(question: &str, echo: bool) -> Result<String, Failure> {
    let stdin = rustix::stdio::stdin();
    if !isatty(stdin) {
        return Err(Failure::new("there is no terminal to ask for user name and password")
            .hint("give --username and --password-stdin"));
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let before = tcgetattr(stdin)?;
    if !echo {
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin, OptionalActions::Flush, &hidden)?;
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_PASSWORD).read_line(&mut line);
    if !echo {
        tcsetattr(stdin, OptionalActions::Flush, &before)?;
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::registry;

    #[test]
    fn registries_are_what_names_have() {
        for (typed, known) in [
            (None, "docker.io"),
            (Some("index.docker.io"), "docker.io"),
            (Some("localhost:5000"), "localhost:5000"),
            (Some("https://registry.example/"), "registry.example"),
        ] {
            assert_eq!(registry(typed).unwrap(), known);
        }
        for typed in ["registry", "registry.example/a", "a b"] {
            assert!(registry(Some(typed)).is_err(), "{typed}");
        }
    }
}

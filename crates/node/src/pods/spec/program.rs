//! What runs: the image's defaults, and what the request puts in their place,
//! by Kubernetes' rules.

use caisson_image::manifest::ImageConfig;

use crate::oci_spec::set_variable;
use crate::pods::PodError;
use crate::pods::request::PodContainerRequest;
use crate::signals;

/// Longest list of an image that is taken over.
const MAX_ITEMS: usize = 4096;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments, variables and directory.
pub(super) struct Program {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
}

/// Puts `request` over the image's `config`. A command of the request also
/// removes the image's arguments.
pub(super) fn program(
    request: &PodContainerRequest,
    config: &ImageConfig,
) -> Result<Program, PodError> {
    let image = &config.config;
    for (what, len) in
        [("Entrypoint", image.entrypoint.len()), ("Cmd", image.cmd.len()), ("Env", image.env.len())]
    {
        if len > MAX_ITEMS {
            return Err(PodError::invalid("image", format!("its {what} is longer than any needs")));
        }
    }
    let command = match (request.command.is_empty(), request.args.is_empty()) {
        (false, _) => request.command.iter().chain(&request.args),
        (true, false) => image.entrypoint.iter().chain(&request.args),
        (true, true) => image.entrypoint.iter().chain(&image.cmd),
    };
    let args: Vec<String> = command.cloned().collect();
    if args.first().is_none_or(String::is_empty) {
        let reason = format!("neither it nor image {} names a program", request.image.image);
        return Err(PodError::invalid("command", reason));
    }
    let mut env = vec![DEFAULT_PATH.to_owned()];
    if request.tty {
        env.push("TERM=xterm".to_owned());
    }
    // An image's malformed variables are of no use to anybody.
    for variable in image.env.iter().filter(|v| v.find('=').is_some_and(|at| at > 0)) {
        set_variable(&mut env, variable);
    }
    for (name, value) in &request.envs {
        set_variable(&mut env, &format!("{name}={value}"));
    }
    let cwd = match (request.working_dir.as_str(), image.working_dir.as_str()) {
        ("", "") => "/".to_owned(),
        ("", own) if own.starts_with('/') => own.to_owned(),
        ("", relative) => format!("/{relative}"),
        (own, _) if own.starts_with('/') => own.to_owned(),
        (own, _) => {
            return Err(PodError::invalid("working_dir", format!("{own:?} is not absolute")));
        }
    };
    if args.iter().chain(&env).chain([&cwd]).any(|text| text.contains('\0')) {
        return Err(PodError::invalid("command", "a zero byte is in it"));
    }
    Ok(Program { args, env, cwd })
}

/// The signal that asks the container to end: the request's, else the image's,
/// else SIGTERM. An image's that is none is not used.
pub(in crate::pods) fn stop_signal(
    request: &PodContainerRequest,
    config: &ImageConfig,
) -> Result<i32, PodError> {
    match (&request.stop_signal, &config.config.stop_signal) {
        (Some(own), _) => {
            signals::parse(own).map_err(|error| PodError::invalid("stop_signal", error.to_string()))
        }
        (None, Some(image)) => Ok(signals::parse(image).unwrap_or(signals::TERM)),
        (None, None) => Ok(signals::TERM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_rules() {
        let mut config = ImageConfig::default();
        config.config.entrypoint = vec!["/entry".to_owned()];
        config.config.cmd = vec!["cmd".to_owned()];
        config.config.env = vec!["A=image".to_owned(), "=x".to_owned()];
        config.config.stop_signal = Some("SIGQUIT".to_owned());
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let args = |command: &[&str], args: &[&str]| {
            let request = PodContainerRequest {
                command: strings(command),
                args: strings(args),
                ..PodContainerRequest::default()
            };
            program(&request, &config).unwrap().args
        };
        assert_eq!(args(&[], &[]), ["/entry", "cmd"]);
        assert_eq!(args(&[], &["a"]), ["/entry", "a"]);
        assert_eq!(args(&["c"], &[]), ["c"]);
        assert_eq!(args(&["c"], &["a"]), ["c", "a"]);
        let mut request = PodContainerRequest {
            envs: vec![("A".to_owned(), "mine".to_owned())],
            ..PodContainerRequest::default()
        };
        let made = program(&request, &config).unwrap();
        assert_eq!(made.env[1..], ["A=mine"]);
        assert_eq!(stop_signal(&request, &config).unwrap(), 3);
        request.stop_signal = Some("SIGUSR1".to_owned());
        assert_eq!(stop_signal(&request, &config).unwrap(), 10);
        request.stop_signal = Some("SIGNOPE".to_owned());
        assert!(stop_signal(&request, &config).is_err());
        assert!(program(&request, &ImageConfig::default()).is_err());
    }
}

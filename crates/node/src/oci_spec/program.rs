//! What runs: the image's defaults, and what the request puts in their place.

use caisson_image::manifest::ImageConfig;

use crate::metadata::Program;
use crate::request::ContainerRequest;
use crate::signals;

/// Longest list or text of an image that is taken over.
const MAX_ITEMS: usize = 4096;

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Neither image nor request names a program.
    #[error("image {0} names no program: give one after the image, or with --entrypoint")]
    NoProgram(String),
    /// A variable has no name.
    #[error("{0:?} is no variable: NAME=VALUE is needed")]
    Variable(String),
    /// A working directory that is not absolute.
    #[error("working directory {0:?} is not absolute")]
    WorkingDir(String),
    /// A signal that there is not.
    #[error("stop signal: {0}")]
    Signal(#[from] signals::UnknownSignal),
    /// An image with lists beyond all measure.
    #[error("the image's {0} is longer than any program needs")]
    TooLong(&'static str),
    /// A text that the kernel could not take.
    #[error("{0} holds a zero byte")]
    ZeroByte(&'static str),
}

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Puts `request` over the image's `config`, by docker's rules: an entry point
/// of the request also removes the image's arguments.
///
/// # Errors
/// [`ProgramError`].
pub fn program(request: &ContainerRequest, config: &ImageConfig) -> Result<Program, ProgramError> {
    let image = &config.config;
    for (what, len) in [
        ("Entrypoint", image.entrypoint.len()),
        ("Cmd", image.cmd.len()),
        ("Env", image.env.len()),
        ("Labels", image.labels.len()),
        ("Volumes", image.volumes.len()),
        ("ExposedPorts", image.exposed_ports.len()),
    ] {
        if len > MAX_ITEMS {
            return Err(ProgramError::TooLong(what));
        }
    }
    let (entrypoint, command) = match &request.entrypoint {
        Some(own) => (own.clone(), request.command.clone()),
        None if request.command.is_empty() => (image.entrypoint.clone(), image.cmd.clone()),
        None => (image.entrypoint.clone(), request.command.clone()),
    };
    let entrypoint_len = entrypoint.len();
    let args: Vec<String> = entrypoint.into_iter().chain(command).collect();
    if args.first().is_none_or(String::is_empty) {
        return Err(ProgramError::NoProgram(request.image.clone()));
    }
    let working_dir = match request.working_dir.as_deref() {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ if image.working_dir.is_empty() => "/".to_owned(),
        // Docker reads a relative one from the root.
        _ if !image.working_dir.starts_with('/') => format!("/{}", image.working_dir),
        _ => image.working_dir.clone(),
    };
    if !working_dir.starts_with('/') {
        return Err(ProgramError::WorkingDir(working_dir));
    }
    let env = environment(&image.env, request)?;
    for (what, bad) in [
        ("an argument", args.iter().any(|arg| arg.contains('\0'))),
        ("a variable", env.iter().any(|variable| variable.contains('\0'))),
        ("the working directory", working_dir.contains('\0')),
    ] {
        if bad {
            return Err(ProgramError::ZeroByte(what));
        }
    }
    let mut labels = image.labels.clone();
    labels.extend(request.labels.clone());
    let signal = request.stop_signal.as_deref().or(image.stop_signal.as_deref());
    let mut exposed_ports: Vec<String> = image.exposed_ports.iter().cloned().collect();
    exposed_ports.extend(request.network.expose.iter().cloned());
    Ok(Program {
        args,
        entrypoint_len,
        env,
        working_dir,
        user: request.user.clone().unwrap_or_else(|| image.user.clone()),
        labels,
        stop_signal: match signal {
            Some(text) if !text.is_empty() => signals::parse(text)?,
            _ => signals::TERM,
        },
        exposed_ports,
    })
}

fn environment(image: &[String], request: &ContainerRequest) -> Result<Vec<String>, ProgramError> {
    let mut env: Vec<String> = vec![DEFAULT_PATH.to_owned()];
    if request.tty {
        env.push("TERM=xterm".to_owned());
    }
    // An image's malformed variables are of no use to anybody; a user's are a
    // mistake to be told.
    for variable in image.iter().filter(|variable| is_variable(variable)) {
        set(&mut env, variable);
    }
    for variable in &request.env {
        if !is_variable(variable) {
            return Err(ProgramError::Variable(variable.clone()));
        }
        set(&mut env, variable);
    }
    Ok(env)
}

fn is_variable(text: &str) -> bool {
    text.find('=').is_some_and(|at| at > 0)
}

/// Sets `NAME=value` in a list of those.
pub(crate) fn set(env: &mut Vec<String>, variable: &str) {
    let name = variable.split('=').next().unwrap_or(variable);
    let same = |old: &&mut String| old.split('=').next() == Some(name);
    match env.iter_mut().find(same) {
        Some(old) => variable.clone_into(old),
        None => env.push(variable.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        let mut image = ImageConfig::default();
        image.config.entrypoint = vec!["/entry".to_owned()];
        image.config.cmd = vec!["default".to_owned()];
        image.config.env = vec!["A=image".to_owned(), "B=image".to_owned(), "broken".to_owned()];
        image.config.user = "www".to_owned();
        image.config.labels = [("l".to_owned(), "image".to_owned())].into();
        image.config.stop_signal = Some("SIGQUIT".to_owned());
        image
    }

    fn request(command: &[&str]) -> ContainerRequest {
        ContainerRequest {
            command: command.iter().map(|arg| (*arg).to_owned()).collect(),
            ..ContainerRequest::default()
        }
    }

    #[test]
    fn arguments_follow_dockers_rules() {
        let args = |request: &ContainerRequest| program(request, &image()).unwrap().args;
        assert_eq!(args(&request(&[])), ["/entry", "default"]);
        assert_eq!(args(&request(&["x"])), ["/entry", "x"]);
        let mut own = request(&[]);
        own.entrypoint = Some(vec!["/own".to_owned()]);
        assert_eq!(args(&own), ["/own"]);
        own.entrypoint = Some(Vec::new());
        assert!(matches!(program(&own, &image()), Err(ProgramError::NoProgram(_))));
        own.command = vec!["sh".to_owned()];
        assert_eq!(args(&own), ["sh"]);
    }

    #[test]
    fn the_request_wins_over_the_image() {
        let mut asked = request(&[]);
        asked.env = vec!["B=own".to_owned(), "C=own".to_owned()];
        asked.labels = [("m".to_owned(), "own".to_owned())].into();
        let made = program(&asked, &image()).unwrap();
        assert_eq!(made.env, [DEFAULT_PATH, "A=image", "B=own", "C=own"]);
        assert_eq!((made.user.as_str(), made.stop_signal), ("www", 3));
        assert_eq!(made.labels.len(), 2);
        asked.user = Some("0".to_owned());
        assert_eq!(program(&asked, &image()).unwrap().user, "0");
        asked.env = vec!["=x".to_owned()];
        assert!(matches!(program(&asked, &image()), Err(ProgramError::Variable(_))));
    }

    #[test]
    fn hostile_images_are_refused() {
        let mut hostile = image();
        hostile.config.cmd = vec!["a\0b".to_owned()];
        assert!(matches!(program(&request(&[]), &hostile), Err(ProgramError::ZeroByte(_))));
        hostile.config.cmd = vec!["a".to_owned(); MAX_ITEMS + 1];
        assert!(matches!(program(&request(&[]), &hostile), Err(ProgramError::TooLong(_))));
        hostile = image();
        hostile.config.stop_signal = Some("999".to_owned());
        assert!(program(&request(&[]), &hostile).is_err());
        hostile = image();
        hostile.config.working_dir = "../../etc".to_owned();
        assert_eq!(program(&request(&[]), &hostile).unwrap().working_dir, "/../../etc");
    }
}

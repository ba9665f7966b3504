//! `caisson inspect`: containers, images, volumes and the daemon's pods.

use std::process::ExitCode;

use caisson_node::lifecycle::ContainerError;
use caisson_node::metadata::MetadataError;
use caisson_node::volumes::VolumeError;
use serde_json::Value;

use crate::commands::{image, pods, volume};
use crate::context::Context;
use crate::failure::{self, Failure};
use crate::output;

/// Show all about containers, images, volumes or the daemon's pods, as JSON
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Names or ids
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Look only for this kind
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<Kind>,
    #[command(flatten)]
    format: InspectFormat,
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Container,
    Image,
    Volume,
}

/// How objects are shown.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct InspectFormat {
    /// `json`, or members to show, one a line, such as `Id` or
    /// `Config.Env,Architecture`
    #[arg(short, long, value_name = "FORMAT", default_value = "json", hide_default_value = true)]
    format: String,
}

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let store = engine.store()?;
        self.format.print(&self.names, |name| {
            if matches!(self.kind, None | Some(Kind::Container)) {
                match engine.inspect(name) {
                    Ok(container) => return Ok(container),
                    Err(ContainerError::Metadata(MetadataError::NotFound(_)))
                        if self.kind.is_none() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if matches!(self.kind, None | Some(Kind::Image))
                && let Some(image) = image::inspect::find(store, name)?
            {
                return Ok(image);
            }
            if matches!(self.kind, None | Some(Kind::Volume)) {
                match engine.volume(name) {
                    Ok(volume) => return Ok(volume::inspect::describe(&volume)),
                    Err(VolumeError::NotFound(_)) if self.kind.is_none() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if self.kind.is_none()
                && let Some(found) = pods::find(context, name)?
            {
                return Ok(found);
            }
            // The store's own error suggests names that are near.
            store.find(name)?;
            Err(Failure::new(format!("nothing here is called {name:?}")))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl InspectFormat {
    /// Shows what `find` gives for each of `names`; tells of those that are
    /// not found after those that are.
    pub(crate) fn print(
        &self,
        names: &[String],
        find: impl Fn(&str) -> Result<Value, Failure>,
    ) -> Result<(), Failure> {
        let paths = self.paths()?;
        let mut found = Vec::new();
        let result = failure::each(names, |name| {
            found.push(find(name)?);
            Ok(())
        });
        match paths {
            None => output::json(&found)?,
            Some(paths) => {
                let mut text = String::new();
                for (object, path) in found.iter().flat_map(|o| paths.iter().map(move |p| (o, p))) {
                    text.push_str(&member(object, path)?);
                    text.push('\n');
                }
                output::text(&text)?;
            }
        }
        result
    }

    fn paths(&self) -> Result<Option<Vec<&str>>, Failure> {
        if self.format.trim() == "json" {
            return Ok(None);
        }
        if self.format.contains("{{") {
            let message = format!("--format {:?}: Go templates are not spoken here", self.format);
            return Err(Failure::usage(message).hint(
                "name members by their path, without braces: --format Config.Env; several are \
                 separated by commas",
            ));
        }
        Ok(Some(self.format.split(',').map(|path| path.trim().trim_start_matches('.')).collect()))
    }
}

/// The member at `path`: strings as they are, the rest as JSON. Names match
/// whatever their case; numbers count into arrays.
fn member(object: &Value, path: &str) -> Result<String, Failure> {
    let mut at = object;
    for name in path.split('.') {
        let next = match at {
            Value::Object(map) => {
                map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            }
            Value::Array(list) => name.parse::<usize>().ok().and_then(|index| list.get(index)),
            _ => None,
        };
        at = next.ok_or_else(|| {
            let failure = Failure::usage(format!("--format {path}: there is no {name:?}"));
            match at {
                Value::Object(map) => {
                    let keys: Vec<_> = map.keys().map(String::as_str).collect();
                    failure.hint(format!("there are: {}", keys.join(", ")))
                }
                Value::Array(list) => failure.hint(format!("it is a list of {}", list.len())),
                _ => failure,
            }
        })?;
    }
    Ok(match at {
        Value::String(text) => output::printable(text),
        Value::Null => String::new(),
        other => serde_json::to_string(other)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_found_by_path() {
        let object = json!({"Id": "x", "Config": {"Env": ["A=1", "B=2"], "User": null}});
        for (path, text) in [
            ("id", "x"),
            ("Config.Env", r#"["A=1","B=2"]"#),
            ("config.env.1", "B=2"),
            ("Config.User", ""),
        ] {
            assert_eq!(member(&object, path).unwrap(), text);
        }
        let failure = member(&object, "Config.Envs").unwrap_err();
        assert!(format!("{failure:?}").contains("Env, User"), "{failure:?}");
    }

    #[test]
    fn templates_are_answered_with_what_works() {
        let format = InspectFormat { format: "{{.Id}}".to_owned() };
        assert!(format!("{:?}", format.paths().unwrap_err()).contains("without braces"));
    }
}

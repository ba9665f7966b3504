//! `list`: the containers of one state directory.

use caisson_isolator::ContainerInfo;

use super::Command;
use super::state::StateDocument;
use crate::clock::rfc3339_nanos;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;
use crate::output;
use crate::runtime::RootSource;

pub(super) const FORMAT: Flag =
    Flag::new("format", Kind::Text, "table or json (default: table)").short('f');

pub(crate) const COMMAND: Command = Command {
    name: "list",
    summary: "list the containers of the state directory",
    arguments: "",
    details: "The state directory is the one that the global option --root names.",
    flags: &[FORMAT, Flag::new("quiet", Kind::Switch, "print nothing but names").short('q')],
    end: FlagsEnd::Never,
    counts: (0, Some(0)),
    run: list,
};

/// Whether the output is JSON.
pub(super) fn wants_json(invocation: &Invocation<'_>) -> Result<bool, CliError> {
    match invocation.flags.text("format")? {
        None | Some("table") => Ok(false),
        Some("json") => Ok(true),
        Some(_) => Err(CliError::Refused("invalid format option".to_owned())),
    }
}

fn list(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let quiet = invocation.flags.switch("quiet");
    let json = !quiet && wants_json(invocation)?;
    let root = &invocation.options.root;
    if invocation.root == RootSource::Flag {
        // A mistyped path is not an empty directory.
        std::fs::metadata(root).map_err(|e| CliError::io(format!("open {}", root.display()), e))?;
    }
    let containers = containers(invocation)?;
    if quiet {
        let names = containers.iter().map(|info| format!("{}\n", info.id)).collect::<String>();
        output::stdout(names.as_bytes())?;
        return Ok(0);
    }
    let users = Users::read();
    let owners: Vec<String> = containers.iter().map(|info| users.name(info.owner_uid)).collect();
    let listed = containers.iter().zip(&owners);
    if json {
        let documents: Vec<_> =
            listed.map(|(info, owner)| StateDocument::new(info, owner)).collect();
        // Go prints an empty list as null, and its callers are used to it.
        let documents = (!documents.is_empty()).then_some(documents);
        output::stdout(&output::json_line(&documents)?)?;
    } else {
        let rows = listed.map(|(info, owner)| row(info, owner));
        output::stdout(table(rows).as_bytes())?;
    }
    Ok(0)
}

/// Every container that can be read; what can't is said and left out, because
/// it may just have been deleted.
fn containers(invocation: &Invocation<'_>) -> Result<Vec<ContainerInfo>, CliError> {
    let isolator = invocation.isolator()?;
    let mut infos = Vec::new();
    for sandbox_id in isolator.sandboxes()? {
        let loaded = isolator.open_sandbox(&sandbox_id).and_then(|sandbox| {
            for id in sandbox.containers()? {
                infos.push(sandbox.container(&id)?.info()?);
            }
            Ok(())
        });
        if let Err(error) = loaded {
            eprintln!("load container {sandbox_id}: {error}");
        }
    }
    Ok(infos)
}

fn row(info: &ContainerInfo, owner: &str) -> [String; 6] {
    [
        info.id.to_string(),
        info.pid.to_string(),
        info.status.to_string(),
        info.bundle.display().to_string(),
        rfc3339_nanos(info.created),
        owner.to_owned(),
    ]
}

/// Columns of at least 12 characters, 3 of them blank.
fn table(rows: impl Iterator<Item = [String; 6]>) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(rows).collect();
    let mut widths = [12_usize; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + 3);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths).take(5) {
            line.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(&line);
        text.push_str(row.last().map_or("", String::as_str));
        text.push('\n');
    }
    text
}

/// The host's users, from `passwd(5)`; entries of other sources go unnamed.
struct Users(String);

impl Users {
    fn read() -> Self {
        use std::io::Read;
        let mut text = String::new();
        let limit = 4 << 20;
        let read = std::fs::File::open("/etc/passwd")
            .and_then(|file| file.take(limit).read_to_string(&mut text));
        Self(read.map_or_else(|_| String::new(), |_| text))
    }

    fn name(&self, uid: u32) -> String {
        let number = uid.to_string();
        let found = self.0.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then_some(name)
        });
        found.map_or_else(|| format!("#{uid}"), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::{Users, table};

    #[test]
    fn the_table_is_laid_out_as_runcs() {
        assert_eq!(
            table(std::iter::empty()),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
        let row = ["c1", "42", "running", "/bundles/one", "2026-11-21T02:00:50.12Z", "root"];
        assert_eq!(
            table(std::iter::once(row.map(str::to_owned))),
            "ID          PID         STATUS      BUNDLE         CREATED                   OWNER\n\
             c1          42          running     /bundles/one   2026-11-21T02:00:50.12Z   root\n"
        );
    }

    #[test]
    fn owners_have_names_or_numbers() {
        let users =
            Users("root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/:/bin/sh\n".into());
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(1000), "me");
        assert_eq!(users.name(7), "#7");
    }
}

//! `ps`: the processes of a container.

use std::collections::BTreeSet;
use std::process::Command as Program;

use super::Command;
use super::list::{FORMAT, wants_json};
use crate::failure::CliError;
use crate::flags::FlagsEnd;
use crate::invocation::Invocation;
use crate::output;

pub(crate) const COMMAND: Command = Command {
    name: "ps",
    summary: "show the processes of a container",
    arguments: "<container-id> [ps options]",
    details: "The options are those of ps(1), which prints the table (default: -ef). Its output \
              needs a PID column.",
    flags: &[FORMAT],
    end: FlagsEnd::AtFirst,
    counts: (1, None),
    run: ps,
};

fn ps(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let json = wants_json(invocation)?;
    let container = invocation.container()?;
    let pids: BTreeSet<i32> = container
        .resources()
        .processes()?
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    if json {
        output::stdout(&output::json_line(&pids)?)?;
        return Ok(0);
    }
    let mut program = Program::new("ps");
    match invocation.flags.positionals().get(1..) {
        Some(options) if !options.is_empty() => program.args(options),
        _ => program.arg("-ef"),
    };
    let ran = program.output().map_err(|e| CliError::io("run ps", e))?;
    let text = String::from_utf8_lossy(&ran.stdout);
    if !ran.status.success() {
        let complaint = String::from_utf8_lossy(&ran.stderr);
        return Err(CliError::Refused(format!("ps: {}: {text}{complaint}", ran.status)));
    }
    output::stdout(rows_of(&text, &pids)?.as_bytes())?;
    Ok(0)
}

/// The header and the rows of `table` whose PID is one of `pids`.
fn rows_of(table: &str, pids: &BTreeSet<i32>) -> Result<String, CliError> {
    let refused = |why: &str| CliError::Refused(why.to_owned());
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or_else(|| refused("couldn't find PID field in ps output"))?;
    let mut text = format!("{header}\n");
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let pid = line
            .split_whitespace()
            .nth(column)
            .and_then(|field| field.parse::<i32>().ok())
            .ok_or_else(|| refused(&format!("unable to parse pid in ps output: {line:?}")))?;
        if pids.contains(&pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::rows_of;

    #[test]
    fn rows_are_chosen_by_pid() {
        let table = "UID          PID    PPID CMD\nroot           1       0 /sbin/init\n\
                     me            42       1 sleep 43\nme            43       1 sleep 42\n";
        assert_eq!(
            rows_of(table, &[42].into()).unwrap(),
            "UID          PID    PPID CMD\nme            42       1 sleep 43\n"
        );
        assert!(rows_of("USER CMD\n", &[42].into()).is_err());
        assert!(rows_of("UID PID\nroot\n", &[42].into()).is_err());
    }
}

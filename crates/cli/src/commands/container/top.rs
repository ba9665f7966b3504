//! `caisson top`.

use std::process::ExitCode;

use caisson_node::clock;
use caisson_node::top::ProcessRow;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::listing::{Column, ListArgs};
use crate::output::sizes;

/// Show the processes of a container
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: uid, pid, ppid, started, tty, time, command, state, rss")]
pub(crate) struct Top {
    #[command(flatten)]
    list: ListArgs,
    /// Name or id
    container: String,
}

const COLUMNS: [Column<ProcessRow>; 9] = [
    Column::<ProcessRow>::new("uid", "UID", |row, _| row.uid.to_string()),
    Column::<ProcessRow>::new("pid", "PID", |row, _| row.pid.to_string()).number(),
    Column::<ProcessRow>::new("ppid", "PPID", |row, _| row.ppid.to_string()).number(),
    Column::<ProcessRow>::new("started", "STARTED", |row, _| started(row)),
    Column::<ProcessRow>::new("tty", "TTY", |row, _| tty(row)),
    Column::<ProcessRow>::new("time", "TIME", |row, _| time(row)),
    Column::<ProcessRow>::new("command", "CMD", |row, _| row.command.clone()),
    Column::<ProcessRow>::new("state", "STATE", |row, _| row.state.to_string()).on_request(),
    Column::<ProcessRow>::new("rss", "RSS", |row, _| sizes::human(row.resident)).on_request(),
];

impl Top {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let rows = context.engine()?.processes(&self.container)?;
        self.list.print(&COLUMNS, &rows, |row, _| row.pid.to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn started(row: &ProcessRow) -> String {
    clock::rfc3339(row.started).get(11..16).unwrap_or_default().to_owned()
}

/// Pseudo-terminals have the majors 136 to 143 (proc(5) on how they are coded).
fn tty(row: &ProcessRow) -> String {
    let number = u32::try_from(row.terminal).unwrap_or(0);
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        _ => "?".to_owned(),
    }
}

fn time(row: &ProcessRow) -> String {
    let seconds = row.ticks / 100;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

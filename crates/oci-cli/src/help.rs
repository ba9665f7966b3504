//! Help texts, in the layout of runc's.

use std::fmt::Write as _;

use crate::commands::{ALL, Command};
use crate::flags::{Flag, Kind};
use crate::runtime::Runtime;

/// Help for the whole program.
pub(crate) fn program(runtime: &Runtime) -> String {
    let name = runtime.name;
    let mut text = format!(
        "NAME:\n   {name} - {}\n\nUSAGE:\n   {name} [global options] command [command options] \
         [arguments...]\n\nVERSION:\n   {}\n\nCOMMANDS:\n",
        runtime.description, runtime.version
    );
    for command in ALL {
        let _ = writeln!(text, "   {:<12}{}", command.name, command.summary);
    }
    let _ = writeln!(text, "   {:<12}show this help, or a command's", "help, h");
    text.push_str("\nGLOBAL OPTIONS:\n");
    options(&mut text, &runtime.global_flags());
    text
}

/// Help for one command.
pub(crate) fn command(runtime: &Runtime, command: &Command) -> String {
    let (program, name) = (runtime.name, command.name);
    let with_options =
        if command.flags.iter().any(|flag| !flag.hidden) { " [command options]" } else { "" };
    let mut text = format!(
        "NAME:\n   {program} {name} - {}\n\nUSAGE:\n   {program} {name}{with_options} {}\n",
        command.summary, command.arguments
    );
    if !command.details.is_empty() {
        let _ = write!(text, "\nDESCRIPTION:\n{}\n", command.details);
    }
    if !with_options.is_empty() {
        text.push_str("\nOPTIONS:\n");
        options(&mut text, command.flags);
    }
    text
}

fn options(text: &mut String, flags: &[Flag]) {
    let spelling = |flag: &Flag| {
        let value = if flag.kind == Kind::Switch { "" } else { " value" };
        let short = flag.short.map_or_else(String::new, |letter| format!(", -{letter}{value}"));
        format!("--{}{value}{short}", flag.name)
    };
    let shown = || flags.iter().filter(|flag| !flag.hidden);
    let width = shown().map(|flag| spelling(flag).len()).max().unwrap_or(0);
    for flag in shown() {
        let repeatable = matches!(flag.kind, Kind::Texts | Kind::Integers);
        let note = if repeatable { " (may be repeated)" } else { "" };
        let _ = writeln!(text, "   {:<width$}  {}{note}", spelling(flag), flag.help);
    }
}

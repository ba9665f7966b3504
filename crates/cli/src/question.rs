//! Asking before something can't be undone.

use std::io::{BufRead as _, Write as _};

use rustix::termios::isatty;

use crate::failure::Failure;

/// Asks on the terminal; only `y` and `yes` are a yes.
///
/// # Errors
///
/// Nobody can be asked: standard input is no terminal.
pub(crate) fn ask(question: &str) -> Result<bool, Failure> {
    if !isatty(rustix::stdio::stdin()) {
        return Err(Failure::new("cannot ask whether to remove: standard input is no terminal")
            .hint("--force removes without asking"));
    }
    let mut stderr = std::io::stderr();
    // Without the question on the screen the answer is a no.
    if write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).is_err() {
        return Ok(false);
    }
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

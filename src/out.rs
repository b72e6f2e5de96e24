//! What commands print. Rust ignores SIGPIPE, so a reader that has gone, as in `| head`, comes back as an error, on which
//! `println!` panics. Here it ends the command quietly, as the signal would have. clippy.toml bans the macros.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints a line on standard output; ends the process if nobody reads it any longer.
pub(crate) fn line(text: impl Display) {
    ended_by(writeln!(io::stdout().lock(), "{text}"));
}

/// Prints a text that has its own line ends; ends the process if nobody reads it any longer.
pub(crate) fn text(text: impl Display) {
    let mut out = io::stdout().lock();
    ended_by(write!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints a line of a process that goes on serving, whether anybody reads it or not.
pub(crate) fn notice(text: impl Display) {
    let _unread = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a line on standard error, whether anybody reads it or not: the exit status says the same.
pub(crate) fn problem(text: impl Display) {
    let _unread = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a text that has its own line ends on standard error, whether anybody reads it or not.
pub(crate) fn problem_text(text: impl Display) {
    let _unread = write!(io::stderr().lock(), "{text}");
}

fn ended_by(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            problem(format_args!("error: standard output can't be written: {error}"));
            std::process::exit(1);
        }
    }
}

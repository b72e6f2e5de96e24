//! What commands print. Rust ignores SIGPIPE, so a reader that has gone, as in `| head`, comes back as an error, on which
//! `println!` panics. Here it silences what follows, and the command still ends with its own exit status. clippy.toml bans
//! the macros.

use std::fmt::Display;
use std::io::{self, ErrorKind, StdoutLock, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the reader of standard output has gone.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads standard output any longer: a command that prints again and again, or asks a question, ends then.
pub(crate) fn is_unread() -> bool {
    UNREAD.load(Ordering::Relaxed)
}

/// Prints a line on standard output, or nothing if its reader has gone.
pub(crate) fn line(text: impl Display) {
    print(|out| writeln!(out, "{text}"));
}

/// Prints a text that has its own line ends, or nothing if its reader has gone.
pub(crate) fn text(text: impl Display) {
    print(|out| write!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints a line of a process that keeps serving, whether anybody reads it or not.
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

fn print(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) {
    if is_unread() {
        return;
    }
    match write(&mut io::stdout().lock()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            UNREAD.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            problem(format_args!("error: standard output can't be written: {error}"));
            std::process::exit(1);
        }
    }
}

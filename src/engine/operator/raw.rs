//! The terminal of the person at the client: raw while a shell is open, and as it was before in every end.
//!
//! Raw means that each key goes through at once and unread, Ctrl-C too, which is for the shell and not for the client.

use std::io::{self, Stdin, stdin};
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::wire::shell::{Size, TerminalType};

/// What the terminal was like, as long as it is raw. A process has one terminal, and a panic has to find it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A raw terminal. Dropping it makes it what it was.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Makes the terminal on standard input raw. Nothing if there is none.
    ///
    /// # Errors
    ///
    /// There is one, but it does not do as it is told.
    pub(crate) fn enter() -> io::Result<Option<Raw>> {
        let stdin = stdin();
        if !isatty(&stdin) {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        restore_on_panic();
        let guard = Raw(());
        tcsetattr(&stdin, OptionalActions::Drain, &raw)?;
        Ok(Some(guard))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// The size of the window, if there is a terminal that knows it.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(stdin()).ok()?;
    Some(Size { columns: size.ws_col, rows: size.ws_row }).filter(|size| size.columns > 0 && size.rows > 0)
}

/// The type of the terminal, if there is one that says it.
pub(crate) fn terminal() -> Option<TerminalType> {
    size().and(std::env::var("TERM").ok()).and_then(|name| TerminalType::new(&name))
}

/// Also where a panic ends the process without unwinding.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

fn restore() {
    // Whoever holds it does nothing that can panic or take long.
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let stdin: Stdin = stdin();
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&stdin, OptionalActions::Drain, &before);
    }
}

//! What the program was asked to do, done: each task, and the one place where an error that ends it is printed.

mod checkpoint;
mod demo;
mod render;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Invocation, PROGRAM, Task};
use crate::log;
use crate::run::{self, Hangup};
use render::Render;
use terminal::{documents, ending};

/// Does it, and says how the process shall exit.
pub fn run(invocation: Invocation) -> ExitCode {
    let Invocation { log, task } = invocation;
    log::start(log.format, log.level);
    match task {
        Task::Serve(config) => {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
            ended(run::serve(&config, Hangup::GoOn, |_| {}))
        }
        Task::CheckConfig(config) => match run::reload::check(&config) {
            Ok(()) => ended(write!(Printed, "{config}")),
            Err(error) => ending::unusable(PROGRAM, &error),
        },
        Task::Render { files, limits, bounds } => render(&Render { files, limits, bounds }),
        Task::Demo { listen } => ended(demo::demo(listen, log)),
        Task::ShowCheckpoint { state_dir } => ended(checkpoint::show(&state_dir, &mut Printed)),
        Task::Documents { command, directory } => ended(
            documents::write(*command, &directory)
                .map_err(|error| format!("{}: {error}", directory.display())),
        ),
        Task::ResetCheckpoint { state_dir } => ended(checkpoint::reset(&state_dir, &mut Printed)),
    }
}

fn render(render: &Render) -> ExitCode {
    ended(render.run(&mut io::stdin().lock(), &mut Printed).map(|summary| {
        if !summary.is_clean() {
            tracing::warn!("{summary}");
        }
    }))
}

fn ended(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ending::failed(PROGRAM, &error),
    }
}

/// Standard output for a reader who may leave when there was enough to read, as `head` does. That is no failure, and
/// what comes after it goes nowhere.
struct Printed;

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_left(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_left(io::stdout().flush(), ())
    }
}

fn unless_left<T>(result: io::Result<T>, written: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(written),
        other => other,
    }
}

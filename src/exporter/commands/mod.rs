//! Runs what the command line asks for: each task, and the one place where an error that ends it is printed.

mod checkpoint;
mod demo;
mod render;

use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::config::{Invocation, PROGRAM, Task};
use crate::log;
use crate::run::{self, Hangup};
use render::Render;
use terminal::printed::Printed;
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
            Ok(()) => ended(write!(Printed, "{config}{}", remark_on(&config.journal))),
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

/// What `--check-config` says of a journal that cannot be read now. It is no error: the agent may make it later.
fn remark_on(journal: &Path) -> String {
    match fs::metadata(journal) {
        Ok(_) => String::new(),
        Err(error) => format!("note: the journal cannot be read now: {}: {error}\n", journal.display()),
    }
}

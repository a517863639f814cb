//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! Three groups of modules, each of which uses those below it, on a common base:
//!
//! * `operator`: the client side: a push, a shell on another engine, a run for a person, a build.
//! * `agent`: the server side: the engine as a process.
//! * [`wire`]: what travels between them. `operator` and `agent` never see each other; a test below says so.
//!
//! * [`program`], [`jsonnet`]: how a program is rendered and what it sees.
//! * [`pattern`]: what is to be done, decoded from JSON by `fields` and checked.
//! * `run`: lists of Commands, one step after the other.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * `config`: file, environment and flags, as one configuration.
//! * `stop`: the request that all work ends.
//!
//! [`cli`] reads the command line.
//!
//! # What was decided
//!
//! Where Etcha's documents leave a choice, or its last public source does what a user would not expect:
//! `docs/engine-reference.md`, with every key, function, variable and limit.

mod agent;
pub mod cli;
mod config;
pub mod exec;
mod fields;
pub mod jsonnet;
mod operator;
pub mod pattern;
pub mod program;
mod run;
mod stop;
mod values;
pub mod wire;

pub use config::table as configuration_table;

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::{Path, PathBuf};

    /// The sources of a module and of all that is in it.
    fn sources(module: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join(format!("{module}.rs"))];
        let mut directories: Vec<_> =
            Some(root.join(module)).filter(|path| path.is_dir()).into_iter().collect();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files
    }

    #[test]
    fn no_wing_sees_one_that_it_does_not_stand_on() {
        let ground = ["config", "exec", "fields", "jsonnet", "pattern", "program", "run", "stop", "values"];
        let mut forbidden = vec![
            ("operator", vec!["agent", "cli"]),
            ("agent", vec!["operator", "cli"]),
            ("wire", vec!["operator", "agent", "cli"]),
        ];
        forbidden.extend(ground.map(|module| (module, vec!["operator", "agent", "cli"])));
        for (module, others) in forbidden {
            for path in sources(module) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                for (other, line) in
                    others.iter().flat_map(|other| code.clone().map(move |line| (other, line)))
                {
                    assert!(!line.contains(&format!("crate::{other}")), "{}: {line}", path.display());
                }
            }
        }
    }
}

//! What the comparisons of `make bench` need beside the programs they compare: journals, the parser alone, and a
//! writer that keeps a pace. It measures nothing but what only a process can know of itself; the driver does the rest.
//!
//! * `journal PATH LINES SERIES SHAPE [PART]`: a journal that is the same each time, or its part of this number, in a
//!   file of its own. Shapes are mixed, commands and sources (the mix with nothing else), canonical, reordered and fresh.
//! * `parse PATH`: each line by `serde_json` into borrowed fields, and nothing else.
//! * `append PATH LINES SERIES RATE`: lines by the contract's writer, so many a second.
//! * `cost PATH LINES`: what an append costs beside `write(2)`, as JSON.

mod cost;
mod journal;
mod labels;
mod mix;
mod parse;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match *words {
        ["journal", path, lines, series, shape, ref part @ ..] if part.len() < 2 => {
            let part = part.first().map_or(Ok(0), |part| part.parse())?;
            journal::generate(Path::new(path), lines.parse()?, series.parse()?, shape.parse()?, part)?;
        }
        ["parse", path] => println!("{}", parse::all(Path::new(path))?),
        ["append", path, lines, series, rate] => {
            journal::append(Path::new(path), lines.parse()?, series.parse()?, rate.parse()?)?;
        }
        ["cost", path, lines] => println!("{}", cost::measure(Path::new(path), lines.parse()?)?),
        _ => return Err("what to do? The head of benches/workload/main.rs says what there is".into()),
    }
    Ok(())
}

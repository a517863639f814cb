//! The table of the documentation, out of the definitions of settings.

use std::fmt::Write as _;

use super::setting::{Defined, Reread};

/// A table in Markdown, a row for each setting.
pub fn table<'a>(settings: impl IntoIterator<Item = &'a dyn Defined>) -> String {
    let mut text =
        "| flag | in the file | default | takes effect | what it is |\n|---|---|---|---|---|\n".to_owned();
    for setting in settings {
        let about = setting.about();
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let flag = if about.flag.is_empty() { String::new() } else { format!("`--{}`", about.flag) };
        let default = if about.default.is_empty() && about.value.is_empty() && about.key.is_empty() {
            String::new()
        } else if about.default.is_empty() {
            code(&setting.default())
        } else {
            about.default.to_owned()
        };
        let effect = match about.reread {
            _ if about.key.is_empty() => "",
            Reread::Running => "while it runs",
            Reread::Restart => "at start",
        };
        let bounds = setting.bounds();
        let bounds = if bounds.is_empty() { bounds } else { format!("; {bounds}") };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {flag} | {} | {default} | {effect} | {}{bounds} |",
            code(about.key),
            about.help.replace('|', "\\|"),
        );
    }
    text
}

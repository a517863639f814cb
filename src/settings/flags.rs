//! Flags, their variables and their help, out of the definitions of settings.

use std::ffi::OsString;

use clap::{Arg, ArgAction, value_parser};

use super::setting::{About, Defined, Many};
use super::value::Shape;

/// The variable that stands for a flag: `poll-interval` is `PREFIX_POLL_INTERVAL`.
pub(crate) fn variable(prefix: &str, flag: &str) -> String {
    format!("{prefix}{}", flag.replace('-', "_").to_uppercase())
}

/// The flag of a setting, with a variable if `prefix` is not empty. Takes any text: [`super::Layers`] reads it, so that
/// what is wrong with flags and with the file is said together.
pub fn arg(setting: &dyn Defined, prefix: &str) -> Arg {
    let about = setting.about();
    let arg = Arg::new(about.flag)
        .long(about.flag)
        .aliases(about.aliases)
        .help_heading(Some(about.group).filter(|group| !group.is_empty()))
        .help(help(about, &setting.default(), setting.shape()))
        .long_help(long_help(setting));
    if about.value.is_empty() {
        return arg.action(ArgAction::SetTrue);
    }
    let arg = arg.value_name(about.value).value_parser(value_parser!(OsString));
    let arg = if prefix.is_empty() {
        arg
    } else {
        // The help gives the rule once, and no value of the environment.
        arg.env(variable(prefix, about.flag)).hide_env(true).hide_env_values(true)
    };
    let arg = match about.many {
        Many::No => arg,
        Many::Repeated => arg.action(ArgAction::Append),
        Many::Commas => arg.action(ArgAction::Append).value_delimiter(','),
    };
    match setting.shape() {
        Shape::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Shape::Text | Shape::Number | Shape::Json => arg,
    }
}

fn help(about: &About, default: &str, shape: Shape) -> String {
    let repeatable = if about.many == Many::No { "" } else { "; repeatable" };
    if default.is_empty() || shape == Shape::Switch {
        format!("{}{repeatable}", about.help)
    } else {
        format!("{}{repeatable} [default: {default}]", about.help)
    }
}

fn long_help(setting: &dyn Defined) -> String {
    let about = setting.about();
    let mut text = help(about, &setting.default(), setting.shape());
    let bounds = setting.bounds();
    let bounds = if bounds.is_empty() { bounds } else { format!("{bounds}.") };
    let more: Vec<_> = [about.more, &bounds].into_iter().filter(|part| !part.is_empty()).collect();
    if !more.is_empty() {
        text.push_str("\n\n");
        text.push_str(&more.join(" "));
    }
    text
}

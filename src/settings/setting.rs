//! A setting: everything about it in one value, with its type; and the part that does not depend on the type.

use super::value::{Shape, Value};

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    /// Without a restart.
    Running,
    /// With the next start.
    Restart,
}

/// Whether a setting takes several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// One.
    No,
    /// The flag may be given again.
    Repeated,
    /// The flag may be given again, and commas separate several values in one.
    Commas,
}

/// One setting of the type `T`, written as a `static`.
pub struct Setting<T: Value + 'static> {
    /// What is said about it whatever its type.
    pub about: About,
    /// What limits its value.
    pub bounds: T::Bounds,
    /// Its value where no layer names it.
    pub default: fn() -> T,
}

impl<T: Value> Setting<T> {
    /// A setting with its bounds and its default.
    pub const fn new(about: About, bounds: T::Bounds, default: fn() -> T) -> Self {
        Self { about, bounds, default }
    }
}

/// What is said about a setting whatever its type.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The long flag without its dashes; empty if it has none. Also the name of its variable.
    pub flag: &'static str,
    /// Other accepted spellings of the flag.
    pub aliases: &'static [&'static str],
    /// The key in the file, as in `run.stateDir`; empty if it has none.
    pub key: &'static str,
    /// What stands for the value in the help; empty for a flag that takes none.
    pub value: &'static str,
    /// The heading in the help; empty for that of clap.
    pub group: &'static str,
    /// Its name where the configuration is shown; empty if it is not shown by itself.
    pub label: &'static str,
    /// Whether it takes several values.
    pub many: Many,
    /// When a change takes effect.
    pub reread: Reread,
    /// The default for a person, where the value itself does not say it.
    pub default: &'static str,
    /// One line, without a full stop: in the short help and in the table.
    pub help: &'static str,
    /// Full sentences, in the long help alone.
    pub more: &'static str,
}

impl About {
    /// Nothing said.
    pub const NONE: Self = Self {
        flag: "",
        aliases: &[],
        key: "",
        value: "",
        group: "",
        label: "",
        many: Many::No,
        reread: Reread::Restart,
        default: "",
        help: "",
        more: "",
    };

    /// A flag with what stands for its value and its heading in the help.
    pub const fn flag(flag: &'static str, value: &'static str, group: &'static str) -> Self {
        Self { flag, value, group, ..Self::NONE }
    }

    /// Other spellings of the flag are also accepted.
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// It has this key in the file.
    pub const fn key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// It is shown by this name.
    pub const fn label(self, label: &'static str) -> Self {
        Self { label, ..self }
    }

    /// It takes several values, a flag for each.
    pub const fn repeated(self) -> Self {
        Self { many: Many::Repeated, ..self }
    }

    /// It takes several values, a flag for each or separated by commas.
    pub const fn commas(self) -> Self {
        Self { many: Many::Commas, ..self }
    }

    /// A change takes effect without a restart.
    pub const fn running(self) -> Self {
        Self { reread: Reread::Running, ..self }
    }

    /// Its default in words.
    pub const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// What it is, in one line, and more about it in full sentences.
    pub const fn help(self, help: &'static str, more: &'static str) -> Self {
        Self { help, more, ..self }
    }
}

/// A setting without its type, for tables of them.
pub trait Defined: Sync {
    /// What is said about it.
    fn about(&self) -> &About;
    /// Which kind of JSON it is.
    fn shape(&self) -> Shape;
    /// Its default for a person; empty if there is none.
    fn default(&self) -> String;
    /// Its bounds for a person; empty if there are none.
    fn bounds(&self) -> String;
}

impl<T: Value> Defined for Setting<T> {
    fn about(&self) -> &About {
        &self.about
    }

    fn shape(&self) -> Shape {
        T::SHAPE
    }

    fn default(&self) -> String {
        if self.about.default.is_empty() { (self.default)().show() } else { self.about.default.to_owned() }
    }

    fn bounds(&self) -> String {
        T::show_bounds(&self.bounds)
    }
}

/// A setting whose value is an object, not text. The module that owns the setting reads it.
impl Defined for About {
    fn about(&self) -> &About {
        self
    }

    fn shape(&self) -> Shape {
        Shape::Json
    }

    fn default(&self) -> String {
        self.default.to_owned()
    }

    fn bounds(&self) -> String {
        String::new()
    }
}

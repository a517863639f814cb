//! The groups around a Command: as people see them, and as a label.

use crate::pattern::command::SEPARATOR;

/// The groups around a Command. Each list has its own: what one group adds, the next one beside it does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parents {
    /// The Source, then the groups.
    path: String,
    /// Whether there is a group.
    in_group: bool,
}

impl Parents {
    /// Outside all groups.
    pub(crate) fn top(source: &str) -> Parents {
        Parents { path: source.to_owned(), in_group: false }
    }

    /// Inside the group `id` of these.
    #[must_use]
    pub(crate) fn inside(&self, id: &str) -> Parents {
        Parents { path: self.display(id), in_group: true }
    }

    /// The Source and the groups, joined. This is what a filter sees.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Empty outside groups, else the path: the `parent_id` of a Command.
    pub(crate) fn label(&self) -> &str {
        if self.in_group { &self.path } else { "" }
    }

    /// How people see the Command `id` inside.
    pub(crate) fn display(&self, id: &str) -> String {
        if self.path.is_empty() { id.to_owned() } else { format!("{}{SEPARATOR}{id}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_groups_the_label_is_empty_and_inside_it_begins_with_the_source() {
        let top = Parents::top("web");
        assert_eq!((top.label(), top.path(), top.display("a")), ("", "web", "web > a".to_owned()));
        let inside = top.inside("g1").inside("g2");
        assert_eq!(inside.label(), "web > g1 > g2");
        assert_eq!(Parents::top("").inside("g").label(), "g");
    }
}

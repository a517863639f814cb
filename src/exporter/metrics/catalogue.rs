//! The catalogue: every family that is counted from the journal, with name, type, labels and help text.
//!
//! Names, types and labels of the first four are those of Etcha's monitoring guide. A test compares the tables in
//! `docs/metrics.md` with this list.

/// A family counted from the journal. Each is described by its `Desc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum FamilyId {
    Commands,
    SourcesCommands,
    SourcesShells,
    Sources,
    ShellDuration,
    ShellsClosed,
    ShellsOpened,
    SourceLastChange,
    SourceLastRun,
    SourceLastSuccess,
    SourceRunDuration,
    // A checkpoint holds these by their numbers: new ones come last.
    Refusals,
    SourceRunStart,
}

/// What a family is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desc {
    /// Name, with the suffix `_total` for counters.
    pub name: &'static str,
    /// Prometheus' type.
    pub kind: Kind,
    /// Label names, sorted.
    pub labels: &'static [&'static str],
    /// What a value says, one sentence.
    pub help: &'static str,
}

/// Prometheus' types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

impl Kind {
    /// The type as the exposition spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Upper bounds of [`FamilyId::ShellDuration`], in seconds: from a mistyped command to a forgotten session.
pub(crate) const SHELL_BOUNDS: &[f64] = &[1.0, 10.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0];

/// Upper bounds of [`FamilyId::SourceRunDuration`], in seconds: from a run of skipped commands to a full install.
pub(crate) const RUN_BOUNDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];

impl FamilyId {
    /// The four families of Etcha's monitoring guide, in the order of their names.
    pub(crate) const GUIDE: [FamilyId; 4] =
        [FamilyId::Commands, FamilyId::SourcesCommands, FamilyId::SourcesShells, FamilyId::Sources];

    /// The further ones, in the order of their names.
    pub(crate) const FURTHER: [FamilyId; 9] = [
        FamilyId::Refusals,
        FamilyId::ShellDuration,
        FamilyId::ShellsClosed,
        FamilyId::ShellsOpened,
        FamilyId::SourceLastChange,
        FamilyId::SourceLastRun,
        FamilyId::SourceLastSuccess,
        FamilyId::SourceRunDuration,
        FamilyId::SourceRunStart,
    ];

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = FamilyId> {
        FamilyId::GUIDE.into_iter().chain(FamilyId::FURTHER)
    }

    /// What the family is.
    pub(crate) fn desc(self) -> &'static Desc {
        match self {
            FamilyId::Commands => &Desc {
                name: "etcha_commands_total",
                kind: Kind::Counter,
                labels: &["error", "id", "mode", "parent_id", "public_key", "remote_addr", "source"],
                help: "Total number of Command scripts run. With mode \"check\", error \"1\" means that action is needed.",
            },
            FamilyId::SourcesCommands => &Desc {
                name: "etcha_sources_commands",
                kind: Kind::Gauge,
                labels: &["mode", "name", "public_key", "remote_addr", "trigger"],
                help: "Number of Commands that the latest run of a Source changed or removed.",
            },
            FamilyId::SourcesShells => &Desc {
                name: "etcha_sources_shells",
                kind: Kind::Gauge,
                labels: &["name", "public_key", "remote_addr"],
                help: "Whether at least one shell of a Source is open.",
            },
            FamilyId::Sources => &Desc {
                name: "etcha_sources_total",
                kind: Kind::Counter,
                labels: &["error", "name", "public_key", "remote_addr", "trigger"],
                help: "Total number of finished runs of Sources. error is \"1\" for failed runs.",
            },
            FamilyId::ShellDuration => &Desc {
                name: "etcha_shell_duration_seconds",
                kind: Kind::Histogram,
                labels: &["name"],
                help: "Duration of shell sessions.",
            },
            FamilyId::ShellsClosed => &Desc {
                name: "etcha_shells_closed_total",
                kind: Kind::Counter,
                labels: &["name", "public_key", "reason", "remote_addr"],
                help: "Total number of shell sessions closed. Reason \"orphaned\" means that the agent died, \"stopped\" that it ended.",
            },
            FamilyId::ShellsOpened => &Desc {
                name: "etcha_shells_opened_total",
                kind: Kind::Counter,
                labels: &["name", "public_key", "remote_addr"],
                help: "Total number of shell sessions opened.",
            },
            FamilyId::SourceLastChange => &Desc {
                name: "etcha_source_last_change_timestamp_seconds",
                kind: Kind::Gauge,
                labels: &["name"],
                help: "Time of the last run of a Source that changed or removed something.",
            },
            FamilyId::SourceLastRun => &Desc {
                name: "etcha_source_last_run_timestamp_seconds",
                kind: Kind::Gauge,
                labels: &["name"],
                help: "Time of the last run of a Source.",
            },
            FamilyId::SourceLastSuccess => &Desc {
                name: "etcha_source_last_success_timestamp_seconds",
                kind: Kind::Gauge,
                labels: &["name"],
                help: "Time of the last run of a Source without error.",
            },
            FamilyId::SourceRunDuration => &Desc {
                name: "etcha_source_run_duration_seconds",
                kind: Kind::Histogram,
                labels: &["name"],
                help: "Duration of runs of a Source, if the agent reports it.",
            },
            FamilyId::Refusals => &Desc {
                name: "etcha_refusals_total",
                kind: Kind::Counter,
                labels: &["action", "reason"],
                help: "Total number of requests that the agent refused, if it reports them.",
            },
            FamilyId::SourceRunStart => &Desc {
                name: "etcha_source_run_start_timestamp_seconds",
                kind: Kind::Gauge,
                labels: &["name", "trigger"],
                help: "Start time of the oldest run of a Source that is under way. Absent if none is, or only short ones.",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_sorted() {
        for list in [&FamilyId::GUIDE[..], &FamilyId::FURTHER[..]] {
            assert!(list.iter().map(|family| family.desc().name).is_sorted());
            assert!(list.iter().all(|family| family.desc().labels.is_sorted()));
        }
    }

    #[test]
    fn counters_and_only_they_end_in_total() {
        for family in FamilyId::GUIDE.iter().chain(&FamilyId::FURTHER) {
            let desc = family.desc();
            assert_eq!(desc.kind == Kind::Counter, desc.name.ends_with("_total"), "{}", desc.name);
        }
    }
}

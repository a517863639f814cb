//! What happens in the journals of the benchmarks that have nothing but commands, all of them pushed and in nested groups,
//! in lines of 250 to 290 bytes. The same each time. [`crate::mix`] is what an agent writes.

use journal_schema::{Command, Event, Mode};

/// The label values of the latest event, kept for their room.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    id: String,
    parent_id: String,
    source: String,
    remote_addr: String,
}

impl Labels {
    /// An event of the series of this number. `any` decides what is no label.
    pub(crate) fn event(&mut self, series: u64, any: u64) -> Event<'_> {
        let Labels { id, parent_id, source, remote_addr } = self;
        for text in [&mut *id, &mut *parent_id, &mut *source, &mut *remote_addr] {
            text.clear();
        }
        let (of_source, group) = (series % 40, series / 40 % 25);
        push(id, format_args!("service {series:07}"));
        push(source, format_args!("site-{of_source:02}"));
        push(parent_id, format_args!("site-{of_source:02} > role-{group:02}"));
        push(remote_addr, format_args!("192.0.2.{}", 100 + of_source));
        let mode = [Mode::Check, Mode::Changed, Mode::Remove];
        Event::Command(Command {
            id: id.as_str().into(),
            mode: mode[usize::try_from(series % 3).unwrap_or(0)],
            error: series.is_multiple_of(7),
            parent_id: parent_id.as_str().into(),
            source: source.as_str().into(),
            public_key: "deploy-key".into(),
            remote_addr: remote_addr.as_str().into(),
            duration_seconds: Some(f64::from(u32::try_from(any >> 48).unwrap_or(0)) / 10_000.0),
        })
    }
}

pub(crate) fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    let written = std::fmt::Write::write_fmt(text, what);
    debug_assert!(written.is_ok(), "memory takes every character");
}

/// Numbers without order, the same each time: SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

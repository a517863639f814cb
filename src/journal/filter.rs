//! Which lines are asked for: by time, kind, Source, Command, key, address and outcome. Pure: a line in, yes or no out.

use std::net::IpAddr;

use clap::ValueEnum;
use jiff::Timestamp;
use journal_schema::{Event, Line, Mode, Trigger, address};

use crate::Expected;
use crate::append::word;

/// Lines must pass every filter that is given.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filter {
    /// Only what happened since: a time such as 2026-01-31T09:30:00Z or 2026-01-31, or how long ago, such as 90m or 2d
    #[arg(long, value_name = "WHEN", value_parser = crate::time::when)]
    pub(crate) since: Option<Timestamp>,
    /// Only what happened before this time
    #[arg(long, value_name = "WHEN", value_parser = crate::time::when)]
    pub(crate) until: Option<Timestamp>,
    /// Only events of this kind; several separated by commas. Heartbeats are only shown if they are named here
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<Kind>,
    /// Only lines of this Source
    #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
    source: Option<String>,
    /// Only Commands with this id
    #[arg(long, allow_hyphen_values = true)]
    id: Option<String>,
    /// Only what was signed or opened with this key
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    key: Option<String>,
    /// Only what came from this IP address, or from this network, such as 192.0.2.0/24
    #[arg(long, value_name = "IP", value_parser = network)]
    address: Option<Network>,
    /// Only runs of Sources with this trigger: event, pull, push, webhook or init
    #[arg(long, value_parser = word::<Trigger>)]
    trigger: Option<Trigger>,
    /// Only failures. With --shells: failures and shells
    #[arg(long)]
    errors: bool,
    /// Only shells
    #[arg(long)]
    shells: bool,
}

/// The events by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Engine,
    Command,
    Source,
    Shell,
    Run,
    Heartbeat,
    Refused,
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// What the filters look at, of whatever event.
struct Facts<'a> {
    kind: Kind,
    source: Option<&'a str>,
    id: Option<&'a str>,
    key: &'a str,
    address: &'a str,
    trigger: Option<Trigger>,
    failed: bool,
}

impl Filter {
    /// Whether any filter is given.
    pub(crate) fn is_set(&self) -> bool {
        let Filter { since, until, kind, source, id, key, address, trigger, errors, shells } = self;
        let times = since.is_some() || until.is_some();
        let labels =
            source.is_some() || id.is_some() || key.is_some() || address.is_some() || trigger.is_some();
        times || labels || !kind.is_empty() || *errors || *shells
    }

    /// Whether a span of time is given, which is then shown whole.
    pub(crate) fn has_span(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// Whether the line passes.
    pub(crate) fn wants(&self, line: &Line<'_>) -> bool {
        let facts = Facts::of(&line.event);
        let time = line.envelope.time;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let is_wanted_kind = match (self.kind.is_empty(), facts.kind) {
            // One a minute would hide what happened.
            (true, kind) => kind != Kind::Heartbeat,
            (false, kind) => self.kind.contains(&kind),
        };
        let is_wanted_outcome = match (self.errors, self.shells) {
            (false, false) => true,
            (errors, shells) => errors && facts.failed || shells && facts.kind == Kind::Shell,
        };
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && is_wanted_kind
            && is(&self.source, facts.source)
            && is(&self.id, facts.id)
            && is(&self.key, Some(facts.key))
            && self.address.is_none_or(|network| network.holds(facts.address))
            && self.trigger.is_none_or(|trigger| facts.trigger == Some(trigger))
            && is_wanted_outcome
    }
}

impl<'a> Facts<'a> {
    fn of(event: &'a Event<'_>) -> Facts<'a> {
        let none = Facts {
            kind: Kind::Engine,
            source: None,
            id: None,
            key: "",
            address: "",
            trigger: None,
            failed: false,
        };
        match event {
            Event::Command(command) => Facts {
                kind: Kind::Command,
                source: Some(&command.source),
                id: Some(&command.id),
                key: &command.public_key,
                address: &command.remote_addr,
                failed: command.error && command.mode != Mode::Check,
                ..none
            },
            Event::Source(source) => Facts {
                kind: Kind::Source,
                source: Some(&source.name),
                key: &source.public_key,
                address: &source.remote_addr,
                trigger: Some(source.trigger),
                failed: source.failed(),
                ..none
            },
            Event::Shell(shell) => Facts {
                kind: Kind::Shell,
                source: Some(&shell.name),
                key: &shell.public_key,
                address: &shell.remote_addr,
                ..none
            },
            Event::Run(run) => Facts {
                kind: Kind::Run,
                source: Some(&run.name),
                key: &run.public_key,
                address: &run.remote_addr,
                trigger: Some(run.trigger),
                ..none
            },
            Event::Refused(refused) => Facts {
                kind: Kind::Refused,
                source: Some(&refused.name),
                key: &refused.public_key,
                address: &refused.remote_addr,
                failed: true,
                ..none
            },
            Event::Heartbeat(_) => Facts { kind: Kind::Heartbeat, ..none },
            Event::Engine(_) => none,
        }
    }
}

impl Network {
    fn holds(self, text: &str) -> bool {
        let Some(address) = address::ip(text) else { return false };
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_bits(u128::from(ours.to_bits()) << 96, u128::from(theirs.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same_bits(ours.to_bits(), theirs.to_bits(), self.bits),
            _ => false,
        }
    }
}

/// Whether the first `bits` of both are equal.
fn same_bits(one: u128, other: u128, bits: u8) -> bool {
    (one ^ other).leading_zeros() >= u32::from(bits)
}

fn network(text: &str) -> Result<Network, Expected> {
    let wrong = Expected("an IP address such as 192.0.2.7, or a network such as 192.0.2.0/24");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong)?)),
        None => (text, None),
    };
    let address = address::ip(address).ok_or(wrong)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    if bits <= most { Ok(Network { address, bits }) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let holds = |network_text: &str, address: &str| network(network_text).unwrap().holds(address);
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("2001:db8::/32", "2001:DB8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("0.0.0.0/0", "9.9.9.9") && !holds("0.0.0.0/0", "::1") && !holds("0.0.0.0/0", ""));
        assert!(holds("::ffff:192.0.2.7", "192.0.2.7"));
        for wrong in ["", "host", "192.0.2.0/33", "::/129", "192.0.2.0/"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn heartbeats_are_shown_if_they_are_asked_for() {
        let line = br#"{"v":1,"writer":"w","seq":1,"time":"2026-01-31T09:30:00.000Z","event":"heartbeat"}"#;
        let line = journal_schema::decode(line).unwrap();
        assert!(!Filter::default().wants(&line));
        assert!(Filter { kind: vec![Kind::Heartbeat], ..Filter::default() }.wants(&line));
    }

    #[test]
    fn a_line_must_pass_every_filter() {
        let line = br#"{"v":1,"writer":"w","seq":1,"time":"2026-01-31T09:30:00.000Z","event":"source","name":"web","trigger":"push","error":true,"public_key":"ops","remote_addr":"192.0.2.7"}"#;
        let line = journal_schema::decode(line).unwrap();
        let wants = |set: &dyn Fn(&mut Filter)| {
            let mut filter = Filter { source: Some("web".to_owned()), ..Filter::default() };
            set(&mut filter);
            filter.wants(&line)
        };
        let time = |text: &str| Some(crate::time::when(text).unwrap());
        for (passes, set) in [
            (true, &(|_: &mut Filter| {}) as &dyn Fn(&mut Filter)),
            (true, &|filter| filter.since = time("2026-01-31T09:30:00Z")),
            (false, &|filter| filter.since = time("2026-01-31T09:30:01Z")),
            (true, &|filter| filter.until = time("2026-01-31T09:30:01Z")),
            (false, &|filter| filter.until = time("2026-01-31T09:30:00Z")),
            (true, &|filter| filter.kind = vec![Kind::Shell, Kind::Source]),
            (false, &|filter| filter.kind = vec![Kind::Command]),
            (true, &|filter| filter.key = Some("ops".to_owned())),
            (false, &|filter| filter.key = Some("op".to_owned())),
            (true, &|filter| filter.address = Some(network("192.0.2.0/24").unwrap())),
            (false, &|filter| filter.id = Some("web".to_owned())),
            (true, &|filter| filter.trigger = Some(Trigger::Push)),
            (false, &|filter| filter.trigger = Some(Trigger::Pull)),
            (true, &|filter| filter.errors = true),
            (false, &|filter| filter.shells = true),
            (false, &|filter| filter.source = Some("we".to_owned())),
        ] {
            assert_eq!(wants(set), passes);
        }
    }
}

//! The names and addresses by which clients may know this host. Asks the kernel and `/etc/hosts`, never the network.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use tokio_rustls::rustls::pki_types::{DnsName, ServerName};

/// Subject names of one certificate. Hosts with more addresses than this (many containers) get the first ones in
/// the order of addresses; a certificate of some kilobytes is sent in each handshake.
const MAX_NAMES: usize = 64;

/// A sorted set of host names and addresses, each valid as a subject name. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Names {
    /// How this host calls itself, or `localhost`.
    host: String,
    all: BTreeSet<String>,
}

impl Names {
    /// Those of this host: its host name, that name with its domain if `/etc/hosts` knows it, `localhost`, the
    /// addresses of all interfaces that mean something on another host (no link-local ones), both loopback
    /// addresses, and `extra`. What cannot be a subject name is left out.
    pub fn of_host(extra: &[String]) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        // Without the interfaces the names still serve, and the next look may find them.
        let addresses = if_addrs::get_if_addrs().unwrap_or_default();
        let addresses = addresses.iter().filter(|one| !one.is_loopback() && !one.is_link_local());
        let addresses = addresses.map(|one| one.ip().to_string());
        let named = with_domain(&host, &hosts).into_iter().chain(extra.iter().cloned());
        Self::new(&host, named.chain(addresses))
    }

    /// `host`, `localhost`, the loopback addresses, and `more`. Extra names come before addresses when there are
    /// more than fit.
    pub(crate) fn new(host: &str, more: impl IntoIterator<Item = String>) -> Self {
        let host = if DnsName::try_from(host).is_ok() { host } else { "localhost" };
        let mut all: BTreeSet<String> =
            [host, "localhost", "127.0.0.1", "::1"].iter().map(|name| (*name).to_owned()).collect();
        let usable = |name: &String| ServerName::try_from(name.as_str()).is_ok();
        let (mut addresses, mut names): (Vec<_>, Vec<_>) =
            more.into_iter().filter(usable).partition(|name| name.parse::<IpAddr>().is_ok());
        addresses.sort_unstable();
        names.append(&mut addresses);
        for name in names {
            if all.len() < MAX_NAMES {
                all.insert(name.to_ascii_lowercase());
            }
        }
        Self { host: host.to_owned(), all }
    }

    /// How this host calls itself, or `localhost`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.all).finish()
    }
}

/// The name of the host with its domain, as the hosts file gives it.
fn with_domain(host: &str, hosts: &str) -> Option<String> {
    let line = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut names = line.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
    let prefix = format!("{host}.");
    names.find_map(|names| {
        let of_host = names.contains(&host);
        names.into_iter().find(|name| of_host && name.starts_with(&prefix)).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_comes_from_the_line_that_names_the_host() {
        let hosts =
            "127.0.0.1 localhost\n# 10.0.0.1 web.example.com web\n127.0.1.1\tweb.example.org web # main\n";
        assert_eq!(with_domain("web", hosts).as_deref(), Some("web.example.org"));
        assert_eq!(with_domain("db", hosts), None);
    }

    #[test]
    fn what_cannot_be_a_subject_name_is_left_out() {
        let more = ["Web.example.org", "has space", "", "10.0.0.1", "2001:db8::1"].map(str::to_owned);
        let names = Names::new("bad host", more);
        assert_eq!(names.host(), "localhost");
        let all: Vec<_> = names.iter().collect();
        assert_eq!(all, ["10.0.0.1", "127.0.0.1", "2001:db8::1", "::1", "localhost", "web.example.org"]);
    }

    #[test]
    fn their_number_is_bounded_and_names_go_before_addresses() {
        let addresses = (0..1000).map(|n| format!("10.0.{}.{}", n / 250, n % 250));
        let names = Names::new("web", addresses.chain(["web.example.org".to_owned()]));
        assert_eq!(names.iter().count(), MAX_NAMES);
        assert!(names.iter().any(|name| name == "web.example.org"));
    }

    #[test]
    fn this_host_has_its_loopback_names() {
        let names = Names::of_host(&["metrics.example.org".to_owned()]);
        for name in ["localhost", "127.0.0.1", "::1", "metrics.example.org", names.host()] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
    }
}

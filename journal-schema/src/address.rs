//! One spelling for each address, because each spelling would be a time series of its own.
//!
//! Programs hand addresses around with a port, in brackets or with a zone. The contract wants the address alone. A
//! writer brings it into that form with [`ip`]; a reader takes the forms off with `plain`, so that no event is lost
//! for the way in which its address was written.

use std::borrow::Cow;
use std::net::IpAddr;

/// The IP address in `text`: alone, with a port, in brackets, with a zone, or all of these. An IPv4 address in an IPv6
/// one is the IPv4 address. `None` if there is no address, or more than one could be meant.
pub fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let right = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            if right { address } else { return None }
        }
        // One colon: a port behind an IPv4 address. An IPv6 address has two at least.
        None => match text.split_once(':') {
            Some((address, port)) if is_port(port) => address,
            _ => text,
        },
    };
    let address = address.split_once('%').map_or(address, |(address, _)| address);
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

/// The label that `text` stands for: without port, brackets and zone if it is an address with one of them, and
/// otherwise as it is.
pub(crate) fn plain(text: Cow<'_, str>) -> Cow<'_, str> {
    // Nearly all are an IPv4 address or empty, and this is asked for each line.
    let is_plain =
        !text.bytes().any(|byte| matches!(byte, b':' | b'[' | b'%')) || text.parse::<IpAddr>().is_ok();
    match ip(&text) {
        Some(address) if !is_plain => Cow::Owned(address.to_string()),
        _ => text,
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_found_in_every_form_that_programs_write() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4000", "192.0.2.7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4000", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:4000", "fe80::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
            (" ::1\n", "::1"),
            // Not an address with a port: it is an address.
            ("::1:80", "::1:80"),
        ] {
            assert_eq!(ip(text).unwrap().to_string(), expected, "{text}");
        }
        for text in
            ["", "host", "host:80", "192.0.2.7:port", "192.0.2.7:70000", "[::1", "[::1]x", "1.2.3", "::1 ::2"]
        {
            assert_eq!(ip(text), None, "{text}");
        }
    }

    #[test]
    fn a_label_loses_its_port_and_nothing_else() {
        for (text, expected) in [
            ("", ""),
            ("192.0.2.7:4000", "192.0.2.7"),
            ("[::1]:4000", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            // Addresses as they are, and what is none.
            ("2001:DB8::7", "2001:DB8::7"),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
            ("host:80", "host:80"),
        ] {
            assert_eq!(plain(Cow::Borrowed(text)), expected, "{text}");
        }
    }
}

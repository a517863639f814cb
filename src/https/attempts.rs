//! How often a client may be wrong, with a key or a token: a limit per address and minute, in bounded memory. It never
//! sees valid ones, so nothing that it counts can lock out a client that has a valid key.
//!
//! All addresses share one window of fixed length, which starts anew for everybody: then nothing has to be aged one
//! by one, and a flood of addresses costs no more than a full table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::peer::network;

/// Length of the window.
const WINDOW: Duration = Duration::from_secs(60);

/// How often an address may be wrong in one window: enough for a person's typing errors and for a scraper that
/// was told a new key too late, too few to guess.
const WRONG_PER_WINDOW: u32 = 10;

/// Addresses counted apart in one window. Those that come later share one count: about 200 KiB is what a flood of
/// addresses can make us hold.
const MAX_ADDRESSES: usize = 4096;

/// What being wrong means for the client that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may try again.
    Within,
    /// It has just used up its last attempt of this window.
    Last,
    /// It is beyond the limit, for the rest of the window: this long.
    Beyond(Duration),
}

/// Counts by address how often somebody was wrong.
#[derive(Debug)]
pub struct Attempts {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    started: Instant,
    /// `None` is the count of all who have no address or no place of their own.
    wrong: HashMap<Option<IpAddr>, u32>,
}

impl Attempts {
    /// Nobody has been wrong yet; the first window starts at `now`.
    pub fn new(now: Instant) -> Self {
        Self { window: Mutex::new(Window { started: now, wrong: HashMap::new() }) }
    }

    /// For how long `client` has no attempt left, if that is so at `now`. Counts nothing.
    pub fn used_up(&self, client: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = WINDOW.checked_sub(now.saturating_duration_since(window.started))?;
        let client = client.map(network);
        let full = window.wrong.len() >= MAX_ADDRESSES;
        let count = window.wrong.get(&client).or_else(|| window.wrong.get(&None).filter(|_| full))?;
        (*count >= WRONG_PER_WINDOW && !rest.is_zero()).then_some(rest)
    }

    /// Counts that `client` was wrong at `now`. Clients without an address are counted as one.
    pub fn wrong(&self, client: Option<IpAddr>, now: Instant) -> Standing {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.started) >= WINDOW {
            // A new map, not a cleared one: the memory of a flood goes with its window.
            *window = Window { started: now, wrong: HashMap::new() };
        }
        let mut client = client.map(network);
        if window.wrong.len() >= MAX_ADDRESSES && !window.wrong.contains_key(&client) {
            client = None;
        }
        let count = window.wrong.entry(client).or_default();
        *count = count.saturating_add(1);
        match (*count).cmp(&WRONG_PER_WINDOW) {
            std::cmp::Ordering::Less => Standing::Within,
            std::cmp::Ordering::Equal => Standing::Last,
            std::cmp::Ordering::Greater => {
                Standing::Beyond(WINDOW.saturating_sub(now.saturating_duration_since(window.started)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn exhaust(attempts: &Attempts, client: Option<IpAddr>, now: Instant) {
        for _ in 1..WRONG_PER_WINDOW {
            assert_eq!(attempts.wrong(client, now), Standing::Within);
        }
        assert_eq!(attempts.wrong(client, now), Standing::Last);
    }

    #[test]
    fn an_address_is_limited_until_its_window_ends() {
        let start = Instant::now();
        let attempts = Attempts::new(start);
        let client = address("192.0.2.1");
        exhaust(&attempts, client, start);
        let later = start + Duration::from_secs(15);
        let rest = Duration::from_secs(45);
        assert_eq!((attempts.used_up(client, later), attempts.used_up(None, later)), (Some(rest), None));
        assert_eq!(attempts.wrong(client, later), Standing::Beyond(rest));
        assert_eq!(attempts.used_up(client, start + WINDOW), None);
        assert_eq!(attempts.wrong(address("192.0.2.2"), later), Standing::Within);
        assert_eq!(attempts.wrong(client, start + WINDOW), Standing::Within);
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_itself() {
        let now = Instant::now();
        let attempts = Attempts::new(now);
        exhaust(&attempts, address("2001:db8::1"), now);
        assert_eq!(attempts.wrong(address("2001:db8::ffff:2"), now), Standing::Beyond(WINDOW));
        assert_eq!(attempts.wrong(address("2001:db8:0:1::1"), now), Standing::Within);
        exhaust(&attempts, address("192.0.2.1"), now);
        assert_eq!(attempts.wrong(address("::ffff:192.0.2.1"), now), Standing::Beyond(WINDOW));
    }

    #[test]
    fn a_flood_of_addresses_fills_the_table_and_no_more() {
        let now = Instant::now();
        let attempts = Attempts::new(now);
        let honest = address("192.0.2.1");
        assert_eq!(attempts.wrong(honest, now), Standing::Within);
        for n in 0..3 * u32::try_from(MAX_ADDRESSES).unwrap() {
            attempts.wrong(Some(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))), now);
        }
        assert_eq!(attempts.window.lock().unwrap().wrong.len(), MAX_ADDRESSES + 1);
        assert_eq!(
            attempts.wrong(honest, now),
            Standing::Within,
            "who was there first keeps a count of its own"
        );
        assert_eq!(attempts.wrong(address("198.51.100.1"), now), Standing::Beyond(WINDOW));
    }
}

//! Numbers of users and groups, from the system's own files. Accounts that only a name service knows are given by
//! number.

use std::fs;
use std::path::Path;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The number of a user, and of its primary group if the user is known.
///
/// # Errors
///
/// A name that is not in the system's file. Says what to do.
pub fn user(name: &str) -> Result<(u32, Option<u32>), String> {
    match (find(USERS, name), name.parse()) {
        (Some(user), _) => Ok((user.number, user.group)),
        (None, Ok(number)) => Ok((number, None)),
        (None, Err(_)) => Err(format!("user `{name}` is not in {USERS}; give its number")),
    }
}

/// The number of a group.
///
/// # Errors
///
/// A name that is not in the system's file. Says what to do.
pub fn group(name: &str) -> Result<u32, String> {
    match (name.parse(), find(GROUPS, name)) {
        (Ok(number), _) => Ok(number),
        (Err(_), Some(group)) => Ok(group.number),
        (Err(_), None) => Err(format!("group `{name}` is not in {GROUPS}; give its number")),
    }
}

struct Entry {
    number: u32,
    group: Option<u32>,
}

/// The entry with this name, or with this number.
fn find(file: impl AsRef<Path>, wanted: &str) -> Option<Entry> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, _password, number, group) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        if name != wanted && number != wanted {
            return None;
        }
        Some(Entry { number: number.parse().ok()?, group: group.and_then(|group| group.parse().ok()) })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn root_is_known_by_name_and_by_number() {
        assert_eq!(user("root").unwrap(), (0, Some(0)));
        assert_eq!(user("0").unwrap(), (0, Some(0)));
        assert_eq!(group("root").unwrap(), 0);
    }

    #[test]
    fn numbers_need_no_entry_and_names_do() {
        assert_eq!(user("4000000000").unwrap(), (4_000_000_000, None));
        assert_eq!(
            user("no-such-user").unwrap_err(),
            "user `no-such-user` is not in /etc/passwd; give its number"
        );
        assert!(group("no-such-group").is_err());
    }
}

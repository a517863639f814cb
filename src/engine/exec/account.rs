//! Users and groups, as the system's name services know them: files, LDAP, sssd. Asked in the child process that becomes
//! the script, so that a name service that hangs costs one script its time and the engine nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Gid, Uid};
use rustix::io;
use rustix::process::{getegid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use uzers::os::unix::UserExt as _;

/// Variables that describe a user. A script that runs as a user gets those of this user, never those of the engine's.
pub(crate) const PERSONAL: [&str; 6] = ["HOME", "USER", "LOGNAME", "SHELL", "MAIL", "XDG_RUNTIME_DIR"];

/// Why there is no such account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    /// No name service knows the user.
    #[error("user `{0}` does not exist on this host")]
    NoUser(String),
    /// No name service knows the group.
    #[error("group `{0}` does not exist on this host")]
    NoGroup(String),
    /// A number that belongs to no account has no primary group; the engine's own may be root's.
    #[error("user {0} has no account on this host, so its group is unknown; set `group`, too")]
    GroupUnknown(u32),
}

/// What a script runs as.
#[derive(Debug)]
pub(crate) struct Account {
    /// The user; nothing if it stays what it is.
    user: Option<u32>,
    /// The group; nothing if it stays what it is.
    group: Option<u32>,
    /// Every group, the primary one included. Only for a user.
    groups: Vec<u32>,
    /// Values of [`PERSONAL`], as far as they are known.
    pub personal: Vec<(&'static str, OsString)>,
}

impl Account {
    /// The account that `user` and `group` name, each by its name or its number.
    ///
    /// # Errors
    ///
    /// A name that does not exist, or a user without an account whose group is not given.
    pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Account, AccountError> {
        let group = group.map(group_number).transpose()?;
        let Some(wanted) = user else {
            return Ok(Account { user: None, group, groups: Vec::new(), personal: Vec::new() });
        };
        let number = wanted.parse::<u32>().ok();
        let found = uzers::get_user_by_name(wanted).or_else(|| number.and_then(uzers::get_user_by_uid));
        match (found, number) {
            (Some(found), _) => Ok(Account::of(&found, group)),
            (None, Some(number)) => {
                let group = group.ok_or(AccountError::GroupUnknown(number))?;
                Ok(Account {
                    user: Some(number),
                    group: Some(group),
                    groups: vec![group],
                    personal: Vec::new(),
                })
            }
            (None, None) => Err(AccountError::NoUser(wanted.to_owned())),
        }
    }

    fn of(found: &uzers::User, group: Option<u32>) -> Account {
        let group = group.unwrap_or(found.primary_group_id());
        let supplementary = uzers::get_user_groups(found.name(), group).unwrap_or_default();
        let mut groups = vec![group];
        groups.extend(supplementary.iter().map(uzers::Group::gid).filter(|other| *other != group));
        let mut personal = vec![
            ("HOME", found.home_dir().as_os_str().to_owned()),
            ("USER", found.name().to_owned()),
            ("LOGNAME", found.name().to_owned()),
        ];
        let shell = found.shell().as_os_str();
        // An empty field of the account means this one.
        let shell = if shell.as_bytes().is_empty() { "/bin/sh".into() } else { shell.to_owned() };
        personal.push(("SHELL", shell));
        Account { user: Some(found.uid()), group: Some(group), groups, personal }
    }

    /// Number of the user.
    pub(crate) fn user(&self) -> Option<u32> {
        self.user
    }

    /// Makes this thread run as the account. The process has to have no other threads, or none that matters: the system
    /// keeps these numbers for each thread.
    ///
    /// # Errors
    ///
    /// Only root may do this, unless the process runs as the account already.
    pub(crate) fn assume(&self) -> io::Result<()> {
        let is_own = self.user.is_none_or(|user| user == geteuid().as_raw())
            && self.group.is_none_or(|group| group == getegid().as_raw());
        if is_own && !geteuid().is_root() {
            return Ok(());
        }
        if self.user.is_some() {
            let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
            set_thread_groups(&groups)?;
        }
        if let Some(group) = self.group {
            let group = Gid::from_raw(group);
            set_thread_res_gid(group, group, group)?;
        }
        if let Some(user) = self.user {
            // Last: the steps before it need root.
            let user = Uid::from_raw(user);
            set_thread_res_uid(user, user, user)?;
        }
        Ok(())
    }
}

fn group_number(wanted: &str) -> Result<u32, AccountError> {
    let by_number = || wanted.parse::<u32>().ok();
    let by_name = || uzers::get_group_by_name(wanted).map(|group| group.gid());
    by_number().or_else(by_name).ok_or_else(|| AccountError::NoGroup(wanted.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn root_is_known_by_name_and_by_number() {
        for name in ["root", "0"] {
            let account = Account::find(Some(name), None).unwrap();
            assert_eq!((account.user, account.group, account.groups[0]), (Some(0), Some(0), 0));
            let home = account.personal.iter().find(|(name, _)| *name == "HOME").unwrap();
            assert_eq!(home.1, "/root");
        }
        assert_eq!(Account::find(None, Some("root")).unwrap().group, Some(0));
    }

    #[test]
    fn a_number_without_an_account_needs_a_group() {
        let why = Account::find(Some("4000000000"), None).unwrap_err().to_string();
        assert_eq!(
            why,
            "user 4000000000 has no account on this host, so its group is unknown; set `group`, too"
        );
        let account = Account::find(Some("4000000000"), Some("4000000001")).unwrap();
        assert_eq!((account.user, account.groups), (Some(4_000_000_000), vec![4_000_000_001]));
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused() {
        let why = |user, group| Account::find(user, group).unwrap_err().to_string();
        assert_eq!(why(Some("no-such-user"), None), "user `no-such-user` does not exist on this host");
        assert_eq!(why(None, Some("no-such-group")), "group `no-such-group` does not exist on this host");
    }
}

//! Which process listens on a port that is already in use, as far as `/proc` shows it. A process without root's rights
//! sees the user that owns the socket, but not the process. Then it can only guess that it is an Etcha agent, whose
//! port the exporter uses.

use std::fmt;
use std::io;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};
use terminal::printable;

/// The name of the program that has the exporter's port where Etcha runs.
const AGENT: &str = "etcha";

/// Who holds a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// This process.
    Process { name: String, pid: i32 },
    /// A process of this user, perhaps the agent with this process id.
    User { id: u32, agent: Option<i32> },
    /// It is not to be seen here, as in another network namespace that shares the port.
    Unknown,
}

impl Occupant {
    /// Who listens on `port`. Looks through all processes: for an error message alone.
    pub(super) fn of(port: u16) -> Occupant {
        let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
        let listens =
            |socket: &TcpNetEntry| socket.state == TcpState::Listen && socket.local_address.port() == port;
        let Some(socket) = sockets.into_iter().find(listens) else { return Occupant::Unknown };
        let all = || procfs::process::all_processes().into_iter().flatten().flatten();
        match all().find(|process| holds(process, socket.inode)) {
            Some(process) => Occupant::Process { name: name(&process).unwrap_or_default(), pid: process.pid },
            None => {
                let agent = all().find(|process| name(process).is_some_and(|name| name == AGENT));
                Occupant::User { id: socket.uid, agent: agent.map(|process| process.pid) }
            }
        }
    }

    /// The same for an error of binding; `None` if that has other reasons.
    pub(super) fn of_error(error: &io::Error, port: u16) -> Option<Occupant> {
        (error.kind() == io::ErrorKind::AddrInUse).then(|| Occupant::of(port))
    }
}

fn holds(process: &Process, inode: u64) -> bool {
    let descriptors = process.fd().into_iter().flatten().flatten();
    descriptors.into_iter().any(|descriptor| matches!(descriptor.target, FDTarget::Socket(of) if of == inode))
}

fn name(process: &Process) -> Option<String> {
    process.stat().ok().map(|stat| stat.comm)
}

impl fmt::Display for Occupant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Occupant::Process { name, pid } => {
                write!(out, "`{}`, process id {pid}, listens there", printable::line(name))
            }
            Occupant::User { id, agent: None } => write!(out, "a process of user id {id} listens there"),
            Occupant::User { id, agent: Some(pid) } => {
                write!(
                    out,
                    "a process of user id {id} listens there, perhaps the agent `{AGENT}`, process id {pid}"
                )
            }
            Occupant::Unknown => write!(out, "another process listens there"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn who_listens_is_found_by_name_and_process_id() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = Occupant::of(port);
        let own = Process::myself().unwrap();
        assert_eq!(found, Occupant::Process { name: name(&own).unwrap(), pid: own.pid });
        assert!(found.to_string().ends_with(&format!("process id {}, listens there", own.pid)));
        drop(listener);
        assert_eq!(Occupant::of(port), Occupant::Unknown);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Occupant::of_error(&denied, port), None);
    }

    #[test]
    fn without_rights_it_says_what_can_be_known() {
        let said = |agent| Occupant::User { id: 0, agent }.to_string();
        assert_eq!(said(None), "a process of user id 0 listens there");
        assert!(said(Some(7)).ends_with("perhaps the agent `etcha`, process id 7"));
    }
}

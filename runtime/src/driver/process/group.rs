//! The group that a launcher's process leads: signalled while it lives, and what it leaves there when it
//! ends. Processes are held by their descriptors, never by a number that could be a stranger's.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal};

use super::Process;
use crate::driver::procfs;

impl Process {
    /// Signals its group, where it leads one and nobody has waited for it; says whether it did.
    pub(super) fn signal_group(&self, signal: Signal) -> bool {
        if !self.leads_group || self.status.get().is_some() || self.hold.is_over().is_err() {
            return false;
        }
        // The number is its own for as long as nobody has waited for it. What there is to say of an
        // empty group is said by its end.
        let group = pid(self.pid);
        group.is_some_and(|group| rustix::process::kill_process_group(group, signal).is_ok())
    }

    /// Remembers who is left in its group. To be called before it is waited for.
    pub(super) fn look_at_group(&self) {
        if self.leads_group {
            self.left.get_or_init(|| others(self.pid));
        }
    }

    /// Asks to end, once it has ended itself, what it has left in its group, also where that is stopped.
    pub(crate) fn end_group(&self) {
        for member in self.left.get().into_iter().flatten() {
            for signal in [Signal::TERM, Signal::CONT] {
                let _ = rustix::process::pidfd_send_signal(member, signal);
            }
        }
    }
}

/// The members of a group beside its leader.
fn others(leader: u32) -> Vec<OwnedFd> {
    let is_member = |one: u32| {
        let group = procfs::stat(one).map(|stat| stat.group.unsigned_abs());
        one != leader && group == Some(leader)
    };
    let hold = |one: u32| {
        let member = rustix::process::pidfd_open(pid(one)?, PidfdFlags::empty()).ok()?;
        // The number may have changed hands before it was opened, not after.
        is_member(one).then_some(member)
    };
    procfs::all().into_iter().filter(|one| is_member(*one)).filter_map(hold).collect()
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

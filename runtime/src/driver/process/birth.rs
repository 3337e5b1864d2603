//! The first microseconds of a process, in which it is still in its parent's group.

use rustix::process::Signal;

use super::{NotStarted, Process};

/// What a terminal, or whoever ends a session, sends to a group.
const FOR_GROUPS: [Signal; 4] = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM];
/// So often a start is begun anew: whoever sends such signals without end wants no child.
const MOST: usize = 3;

/// Starts a process, which `start` does and puts into a group of its own. A signal to this process's
/// group that comes between the two is not meant for the child, which a moment later would not have got
/// it: one that it has ended before it was a program is started once more. What is to be done about the
/// signal is for the tree to decide, in its order.
pub(super) fn born(
    mut start: impl FnMut() -> Result<Process, NotStarted>,
) -> Result<Process, NotStarted> {
    for _ in 0..MOST {
        let process = start()?;
        if !process.hold.was_ended_by(&FOR_GROUPS) {
            return Ok(process);
        }
        tracing::debug!(
            target: "hatchery::runtime",
            pid = process.pid,
            "a process was hit by a signal to its parent's group and is started anew"
        );
    }
    start()
}

#[cfg(test)]
mod tests {
    use async_process::Command;
    use rustix::process::{WaitId, WaitIdOptions};

    use super::super::spawner;
    use super::*;

    /// A process that has ended itself by this signal, also where whoever runs the tests has it ignored.
    fn ended(by: &str) -> Process {
        let child = Command::new("env")
            .args(["--default-signal", "sh", "-c", &format!("kill -{by} $$; exit 3")])
            .kill_on_drop(false)
            .reap_on_drop(false)
            .spawn()
            .unwrap();
        let process = Process::of(child).unwrap();
        let id = WaitId::Pid(rustix::process::Pid::from_raw(process.pid as i32).unwrap());
        rustix::process::waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        process
    }

    #[test]
    fn a_child_that_a_signal_to_its_parents_group_has_met_is_started_anew() {
        for by in ["INT", "QUIT", "HUP", "TERM"] {
            let mut started = Vec::new();
            let process = born(|| {
                let process = ended(if started.len() < 2 { by } else { "USR1" });
                started.push(process.pid);
                Ok(process)
            });
            assert_eq!(started.len(), 3, "{by}");
            assert_eq!(started.last(), Some(&process.unwrap().pid));
        }
        // Not for ever, and not for what was meant for it, or what it has done itself.
        for (by, times) in [("INT", MOST + 1), ("KILL", 1), ("ABRT", 1), ("0", 1)] {
            let mut count = 0;
            let process = born(|| {
                count += 1;
                Ok(ended(by))
            });
            assert!(process.is_ok());
            assert_eq!(count, times, "{by}");
        }
        // Those that came to nothing are waited for as any other that is dropped.
        futures_lite::future::block_on(spawner::settled());
    }
}

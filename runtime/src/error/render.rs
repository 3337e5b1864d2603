//! How errors read: one line for `Display`, the whole report, root cause first, for `Debug`.

use std::fmt;

use hatchery_proto::{ExitReport, Rung};

use super::{Error, ErrorKind};

impl Error {
    fn render(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0.report;
        match &self.0.kind {
            ErrorKind::Panicked => {
                write!(f, "actor {} panicked: {}", report.origin, report.message)?;
            }
            ErrorKind::Failed => {
                write!(f, "actor {} failed: {}", report.origin, report.message)?;
            }
            _ => f.write_str(&report.message)?,
        }
        if !report.type_name.is_empty() {
            write!(f, "\n  type      {}", report.type_name)?;
        }
        if let Some(at) = &report.location {
            write!(f, "\n  at        {at}")?;
        }
        for (index, hop) in report.hops.iter().enumerate() {
            let word = if index == 0 { "in task  " } else { "passed by" };
            write!(f, "\n  {word} `{}` of actor {}", hop.task, hop.actor)?;
        }
        for source in &report.sources {
            write!(f, "\n  caused by {source}")?;
        }
        if let Some(exit) = &report.exit {
            if !matches!(self.0.kind, ErrorKind::Died(_)) {
                write!(f, "\n  process   {exit}")?;
            }
            render_exit(exit, f)?;
        }
        for also in &report.also {
            write!(f, "\n  also      actor {}: {}", also.origin, also.message)?;
            let whole = self.0.others.iter().find(|other| other.as_also() == *also);
            if let Some(exit) = whole.and_then(Self::exit) {
                render_exit(exit, f)?;
            }
        }
        if report.truncated {
            f.write_str("\n  (cut to the limits of the link)")?;
        }
        match &report.backtrace {
            Some(backtrace) => write!(f, "\n{backtrace}"),
            None => Ok(()),
        }
    }
}

/// What is known of a death beside the line that says it.
fn render_exit(exit: &ExitReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if matches!(exit.rung, Rung::Killed | Rung::Terminated) {
        f.write_str("\n  force     it did not end by itself in the time it was given")?;
    }
    if !exit.rungs.is_empty() {
        let rungs = exit.rungs.iter().map(|(rung, took)| format!("{rung} for {took:.0?}"));
        write!(f, "\n  teardown  {}", rungs.collect::<Vec<_>>().join(", "))?;
    }
    if let Some(asked_by) = &exit.asked_by {
        write!(f, "\n  asked by  actor {asked_by}")?;
    }
    if !exit.last_message.is_empty() {
        write!(f, "\n  link      last {}", exit.last_message)?;
    }
    for line in exit.panics.lines() {
        write!(f, "\n  panic     {line}")?;
    }
    if let Some(usage) = &exit.usage {
        write!(f, "\n  used      {:?} user, {:?} system", usage.user, usage.system)?;
    }
    for line in exit.stderr_tail.lines() {
        write!(f, "\n  stderr    {line}")?;
    }
    Ok(())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0.report;
        match &self.0.kind {
            ErrorKind::Panicked => {
                write!(f, "actor {} panicked: {}", report.origin, report.message)
            }
            _ => f.write_str(&report.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f)
    }
}

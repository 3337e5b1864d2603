//! The thread that looks after a child from outside its executor: it sees the end of its parent, or of
//! its link, and SIGTERM. What a signal means is decided by the core; here it is received and carried out.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hatchery_proto::Instant;
use hatchery_proto::actor::plea::{Plea, PleaStep};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
pub(crate) use signal_hook::consts::SIGTERM;

use super::clock;
use super::entry::{Tie, is_parent};

/// How long a child outlives its parent when the kernel does not end it.
const RESPITE: Duration = Duration::from_secs(1);

/// What comes over the watch's own socket: what the signal handler writes, and [`Hearing`].
const HEARD: u8 = b'h';
const ASKED: u8 = b'a';

/// What is looked after.
pub(crate) trait Ward: Send + 'static {
    /// Whether it was asked to end.
    fn is_ending(&self) -> bool;

    /// Has its executor say that it hears, and when it was asked to end.
    fn probe(&self, hearing: Hearing);

    /// Has it end itself.
    fn cancel_itself(&self);

    /// Leaves its end no time.
    fn rush(&self);

    /// Runs the exit hooks that have not run.
    fn run_hooks(&self);
}

/// How the ward's executor speaks to the watch.
#[derive(Clone, Debug)]
pub(crate) struct Hearing(Arc<UnixStream>);

impl Hearing {
    /// It hears.
    pub(crate) fn heard(&self) {
        self.say(HEARD);
    }

    /// It was asked to end.
    pub(crate) fn asked(&self) {
        self.say(ASKED);
    }

    fn say(&self, word: u8) {
        // Full is as good as said; the watch is not gone while the process lives.
        let _ = (&*self.0).write(&[word]);
    }
}

/// A watch that hears already, and that nobody keeps yet.
pub(crate) struct Listening {
    inbox: UnixStream,
    hearing: Hearing,
}

impl Listening {
    /// Has SIGTERM heard from here on, by whoever keeps the watch later.
    pub(crate) fn begin() -> io::Result<Self> {
        let (inbox, outbox) = UnixStream::pair()?;
        inbox.set_nonblocking(true)?;
        outbox.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGTERM, outbox.try_clone()?)?;
        Ok(Self { inbox, hearing: Hearing(Arc::new(outbox)) })
    }

    /// What can be read once something was heard.
    pub(crate) fn heard(&self) -> BorrowedFd<'_> {
        self.inbox.as_fd()
    }

    /// Starts it. Where what it is tied to has gone and nothing else has ended this process within a
    /// second, neither the kernel nor a runtime that sees its link end, it does.
    pub(crate) fn start(self, tie: Tie, ward: impl Ward) -> io::Result<()> {
        let parent = match tie {
            Tie::Parent(pid) => parent_of(pid)?.map(|parent| (parent, PollFlags::IN)),
            // It is told at once, of pipes and of sockets, whatever there is left to be read; of a pipe
            // without being asked for.
            Tie::Link(link) => Some((link, PollFlags::RDHUP)),
        };
        let end = parent.is_none().then(|| clock::now() + RESPITE);
        let Self { inbox, hearing } = self;
        let watch = Watch { parent, end, inbox, hearing, plea: Plea::new(), ward };
        thread::Builder::new()
            .name("hatchery-watch".to_owned())
            .stack_size(64 * 1024)
            .spawn(|| watch.run())?;
        Ok(())
    }
}

/// The parent, while it is there.
fn parent_of(pid: u32) -> io::Result<Option<OwnedFd>> {
    let parent = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    match rustix::process::pidfd_open(parent, PidfdFlags::empty()) {
        // Only while it is the parent does the number stand for the process that was meant.
        Ok(descriptor) if is_parent(pid) => Ok(Some(descriptor)),
        Ok(_) | Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Watch<W> {
    /// What shows the end of what it is tied to, and how; until then.
    parent: Option<(OwnedFd, PollFlags)>,
    /// When this process has to be, then.
    end: Option<Instant>,
    inbox: UnixStream,
    hearing: Hearing,
    plea: Plea,
    ward: W,
}

impl<W: Ward> Watch<W> {
    fn run(mut self) {
        loop {
            let due = [self.end, self.plea.poll_timeout()].into_iter().flatten().min();
            let (parent_gone, word) = self.wait(due);
            if parent_gone {
                self.parent = None;
                self.end = Some(clock::now() + RESPITE);
            }
            if word {
                self.listen();
            }
            let now = clock::now();
            if self.end.is_some_and(|end| now >= end) {
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
            }
            self.plea.handle_timeout(now);
            while let Some(step) = self.plea.poll_step() {
                self.follow(step);
            }
        }
    }

    /// Whether the parent is gone, and whether something was said.
    fn wait(&self, due: Option<Instant>) -> (bool, bool) {
        // Rounded up, not to look before it is due.
        let rest = due.map(|due| due.since(clock::now()) + Duration::from_millis(1));
        let rest = rest.and_then(|rest| Timespec::try_from(rest).ok());
        let inbox = PollFd::new(&self.inbox, PollFlags::IN);
        let ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
        match &self.parent {
            Some((parent, how)) => {
                let mut polled = [inbox, PollFd::from_borrowed_fd(parent.as_fd(), *how)];
                let _ = rustix::event::poll(&mut polled, rest.as_ref());
                (ready(&polled[1]), ready(&polled[0]))
            }
            None => {
                let mut polled = [inbox];
                let _ = rustix::event::poll(&mut polled, rest.as_ref());
                (false, ready(&polled[0]))
            }
        }
    }

    fn listen(&mut self) {
        let mut words = [0; 64];
        while let Ok(count @ 1..) = self.inbox.read(&mut words) {
            for word in words.iter().take(count) {
                let now = clock::now();
                match *word {
                    HEARD => self.plea.handle_heard(now),
                    ASKED => self.plea.handle_asked(),
                    // The signal.
                    _ => self.plea.handle_signal(now, self.ward.is_ending()),
                }
            }
        }
    }

    fn follow(&self, step: PleaStep) {
        match step {
            PleaStep::Probe => self.ward.probe(self.hearing.clone()),
            PleaStep::CancelItself => self.ward.cancel_itself(),
            PleaStep::Rush => self.ward.rush(),
            PleaStep::Die => {
                self.ward.run_hooks();
                let _ = signal_hook::low_level::emulate_default_handler(SIGTERM);
            }
        }
    }
}

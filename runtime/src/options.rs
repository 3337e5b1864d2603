//! What a root is opened with. Nothing is done here.

use std::time::Duration;

use hatchery_proto::{Address, Limits};

use crate::actor::Settings;
#[cfg(feature = "tls")]
use crate::credentials::Credentials;
use crate::discovery::{Registrar, Terms};
use crate::endpoint::Endpoint;

/// How the root actor is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) signals: bool,
    pub(crate) dumps: bool,
    pub(crate) containment: Containment,
    pub(crate) spin: Duration,
    #[cfg(feature = "tls")]
    pub(crate) credentials: Option<Credentials>,
}

/// How surely everything below a root ends with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Containment {
    /// Actors: each is ended by the kernel when its parent is. What they start themselves and leave
    /// behind is not looked after.
    ///
    /// An actor asks the kernel for that in [`init`](crate::init). Before it has come there, it ends
    /// since its parent is gone; if it is stopped by then, the kernel ends it where whoever adopts it is
    /// of another session than the root, as the first process of a system is. Where that is not so, or
    /// it is stopped only then, it ends as soon as it is let go on.
    #[default]
    KernelChain,
    /// Also what actors leave behind: the root adopts it, ends it when its actor is gone, and reaps
    /// it. So does a root that is the first process of a container, unasked.
    ///
    /// What has lived and ended between two looks, a tenth of a second apart, was never seen to be
    /// anybody else's than this program's own child, whose status is not to be taken: it stays a
    /// zombie until this process ends.
    Subreaper,
    /// Also what actors leave behind: a control group (of the second version, `cgroup2`) is made
    /// below the one that the root is in, all actors are put into it, and at the root's end the
    /// kernel ends whatever is left in it. Opening the root is an error where that is not to be had.
    ///
    /// A root that is killed takes its actors along as ever; the group, and in it what is no actor,
    /// stays.
    Cgroup,
}

impl Default for Options {
    /// A root named `root`, without logs, with the default limits and 4.6 s for a teardown.
    fn default() -> Self {
        Self {
            name: "root".to_owned(),
            settings: Settings::default(),
            signals: false,
            dumps: false,
            containment: Containment::default(),
            spin: Duration::ZERO,
            #[cfg(feature = "tls")]
            credentials: None,
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The root actor's name, for reports.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A filter for `tracing` events by target and level (`info`, `warn,hatchery=debug`), printed to
    /// standard error by this process and, unless it is told otherwise, by every actor below it. The
    /// [targets](crate#logs) of the library can be filtered alone. Needs the feature `log`.
    ///
    /// The environment variable `HATCHERY_LOG` wins over it, and over those of single actors. Where the
    /// program has a `tracing` subscriber of its own, that stays and neither is used. A filter that
    /// cannot be understood is an error (`Misuse`) of opening the root; in an actor, a variable that
    /// cannot is a warning.
    #[must_use]
    pub fn log(mut self, filter: impl Into<String>) -> Self {
        self.settings.log = Some(filter.into());
        self
    }

    /// Debug mode, which every actor below inherits. Off by default: a prompt is a person at the
    /// controls, and nobody's time runs while one is open.
    ///
    /// [`pause!`](crate::pause) stops a task and opens a prompt on the terminal of the root; so does an
    /// error or a panic that is about to leave a task, in the actor where it happened, then in each that
    /// it comes through, before it goes on. Prompts open one at a time over the whole tree, in the order
    /// in which they were asked for, and while there are any, nothing is ended by a clock: what is
    /// cancelled ends once they are left. Ctrl-C is the prompt's own then.
    ///
    /// Cancels, links that are lost and what a person has quit open none; which others do not is said by
    /// [`debug_filter`](crate::debug_filter). Where the root's standard input is no terminal it is said
    /// once, in the log, and everything goes on. Panics carry a backtrace whatever `RUST_BACKTRACE` says.
    #[must_use]
    pub fn debug(mut self, on: bool) -> Self {
        self.settings.debug = on;
        self
    }

    /// Narrows what children may call in this actor: named endpoints only. Again: one more.
    ///
    /// By default they may call nothing.
    #[must_use]
    pub fn expose<E: Endpoint>(mut self) -> Self {
        self.settings.exposed.add(E::NAME);
        self
    }

    /// The bounds of every link in the tree, at both of its ends.
    ///
    /// Within them an actor holds on its heap at most 128 KiB for each link, 2 KiB for each context that
    /// it has opened and 4 KiB for each that runs in it, beside what its tasks hold and what has arrived
    /// and was not read yet. `PERFORMANCE.md` has the curves.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// What a child's teardown may take at most, from being asked to having been reaped, whatever
    /// is below it. 4.6 s by default.
    #[must_use]
    pub fn teardown(mut self, budget: Duration) -> Self {
        self.settings.teardown = budget;
        self
    }

    /// How surely everything below the root ends with it.
    ///
    /// [`Containment::Subreaper`] looks at the processes below this one ten times a second. It takes
    /// no exit status from a child that another part of this program has started itself.
    /// [`Containment::Cgroup`] looks at nothing, and costs a move of each child of the root's own.
    #[must_use]
    pub fn containment(mut self, containment: Containment) -> Self {
        self.containment = containment;
        self
    }

    /// How long a thread that the library runs an actor on ([`init`](crate::init), [`run`](crate::run),
    /// `#[hatchery::main]`) looks for more before it sleeps, behind each turn in which its links have
    /// carried something; in this actor and in every one below it, but for what a
    /// [`Launcher`](crate::Launcher) starts. Off by default, which is 0; at most a millisecond, however
    /// much is asked for.
    ///
    /// To wake a thread on another core takes 20 to 50 µs, at both ends of a call; one that looks has the
    /// answer in a few. 50 µs are enough for calls that take little themselves. It is paid with processor
    /// time: up to so much at either end, behind the last message too, and then none. It hurts where
    /// fewer cores are free than actors talk at the same time, since those that look take the time of
    /// those that work; a process that may use one core only never looks. Timers, cancels and other links
    /// are seen while it does, no later than else.
    ///
    /// Without effect where an executor of the program's own runs the actor.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = hatchery::Options::new().spin(Duration::from_micros(50));
    /// # let _ = options;
    /// ```
    #[cfg(feature = "parker")]
    #[must_use]
    pub fn spin(mut self, bound: Duration) -> Self {
        self.spin = bound;
        self
    }

    /// Has the root listen at an address, beside any other: peers may connect to it there. Again: one
    /// more.
    ///
    /// By default an actor listens nowhere, unless it has a [registry](Self::registry).
    #[must_use]
    pub fn listen(mut self, address: Address) -> Self {
        self.settings.places.listen.push(address);
        self
    }

    /// Has the whole tree be found by name at a registrar, and find others there: the one that answers
    /// at this address, or, where nobody does, this root, which is it from then on and listens there.
    /// Again: one more registrar.
    ///
    /// Every actor of the tree is registered before its main task runs, at where it
    /// [listens](crate::ActorBuilder::listen); where nothing was said of that, at a Unix socket in a
    /// directory that is this user's alone.
    #[must_use]
    pub fn registry(self, address: Address) -> Self {
        self.at_registrar(address, Terms::Either)
    }

    /// The same, where there has to be a registrar already: opening the root is an error otherwise.
    #[must_use]
    pub fn join_registry(self, address: Address) -> Self {
        self.at_registrar(address, Terms::Join)
    }

    /// The same, where there must be none yet: opening the root is an error otherwise.
    #[must_use]
    pub fn found_registry(self, address: Address) -> Self {
        self.at_registrar(address, Terms::Found)
    }

    /// Has the root come into another program's tree with what that has issued, where both are linked
    /// over a network: see [`Credentials::issue`]. It has the uuid that they are made out to. Without it,
    /// a root has keys of a tree of its own.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    fn at_registrar(mut self, address: Address, terms: Terms) -> Self {
        self.settings.places.registrars.push(Registrar { address, uuid: None, terms });
        self
    }

    /// Whether SIGINT, SIGTERM and SIGHUP end the tree gracefully, the first of them; a further one
    /// leaves no time. Off by default, since an embedding program may have its own handlers; [`run`](crate::run)
    /// and `#[hatchery::main]` turn it on. Once the root has ended, the three do again what they do by
    /// default.
    ///
    /// In an actor below, SIGINT and SIGHUP do nothing: they are its root's matter, which the terminal
    /// tells as well. SIGTERM ends it in its order, unless its parent is about to; a second one, or one
    /// to an actor that is ending, leaves no time; one that hears nothing runs its exit hooks and dies.
    #[must_use]
    pub fn signals(mut self, on: bool) -> Self {
        self.signals = on;
        self
    }

    /// Whether every actor of the tree says what it is doing when it gets SIGUSR1, for a tree that hangs:
    /// sent to the root, it is passed on from parents to children. Off by default: the signal ends a
    /// process then. The variable `HATCHERY_DUMP` turns it on as well, with a folder for the files or `1`
    /// for the system's temporary one.
    ///
    /// Each writes its tasks and scopes, what is open on each of its links and their last frames, its
    /// children and its threads to standard error, and to the file `hatchery-NAME-PID.txt`, which this user
    /// alone may read and which further dumps are added to. It does so on a thread of its own and waits for
    /// no other: of what is behind a lock that is held, it says so. What a thread is at is told by the
    /// kernel; stacks by `gdb`, where that is installed, which stops the process for a moment, one process
    /// after the other and none for more than 5 s.
    ///
    /// Where what it is was not told to an actor yet, or it is behind a [`Launcher`](crate::Launcher), its
    /// parent does not pass it on.
    #[must_use]
    pub fn dump_on_signal(mut self, on: bool) -> Self {
        self.dumps = on;
        self
    }
}

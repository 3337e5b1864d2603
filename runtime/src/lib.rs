//! Structured concurrency across processes.
//!
//! A program becomes a tree of **actors**: an actor is one operating system process that runs one
//! async runtime. Every actor is born in a **nursery**, every remote task is half of a linked pair,
//! errors travel up, cancellation travels down, and when a block ends, everything below it has
//! ended: returned, failed or cancelled, and been reaped.
//!
//! ```
//! use hatchery::prelude::*;
//!
//! #[hatchery::endpoint]
//! async fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! # fn main() -> hatchery::Result<()> {
//! # hatchery::init();
//! # hatchery::run(async {
//! hatchery::open_nursery(async |nursery| {
//!     let worker = nursery.start_actor("worker").await?; // a process
//!     assert_eq!(worker.run(add(1, 2)).await?, 3); // runs over there
//!     assert_eq!(add(1, 2).await, 3); // runs here
//!     worker.cancel().await
//! })
//! .await // here the worker has ended and been reaped
//! # })
//! # }
//! ```
//!
//! # Who does what
//! - [`open_nursery`] opens a block; its [`Nursery`] starts actors and local tasks.
//! - A [`Portal`] asks an actor to run endpoints: [`run`](Portal::run) for a call,
//!   [`open_context`](Portal::open_context) and [`with_context`](Portal::with_context) for a linked
//!   task with a first value, a [`MsgStream`] and a result, and
//!   [`open_stream_from`](Portal::open_stream_from) for a [`Source`], which only receives.
//! - [`MsgStream::subscribe`] has several tasks read one stream, [`RecvHalf::on_overrun`] says what a
//!   slow reader misses, and a [`Publisher`] has one source serve any number of consumers by topic.
//! - [`gather_contexts`] opens many of them as one block; a [`LocalPortal`] asks the actor itself,
//!   a [`ParentPortal`] the one that has started it.
//! - [`open_cluster`] starts a [`Fleet`] of actors by name, [`open_pool`] one that shares out calls.
//! - [`macro@endpoint`] and [`macro@context`] make functions callable from elsewhere.
//! - [`macro@main`], or [`init`] and [`run`], are the way in; [`open_root_actor`] is what they stand
//!   on, for programs with an executor of their own.
//!
//! # Actors that were not born together
//! Where the root has a registry ([`Options::registry`]), every actor of its tree is known there by its
//! name, and finds others by theirs: [`find_actor`], [`wait_for_actor`], [`query_actor`]. Two programs
//! that name the same registry find each other; the first of them is the registrar, and
//! [`local_address`] names places that are this user's alone. What a [`Portal`] to such an actor may run
//! there is what it exposes; [`Portal::close`] lets go of it, or the end of the block that
//! [`with_actor`] runs, and it lives on. [`run_daemon`] is a program that only serves.
//!
//! ```
//! use hatchery::{Nursery, Options, Result, find_actor, local_address, open_nursery, run_with};
//!
//! #[hatchery::endpoint]
//! async fn price(item: String) -> usize {
//!     item.len()
//! }
//!
//! #[hatchery::endpoint]
//! async fn asks_a_sibling() -> Result<Option<usize>> {
//!     let Some(shop) = find_actor("shop").await? else { return Ok(None) };
//!     Ok(Some(shop.run(price("nail".into())).await?))
//! }
//!
//! # fn main() -> Result<()> {
//! # hatchery::init();
//! # let place = local_address(&format!("docs-{}", std::process::id()))?;
//! run_with(Options::new().registry(place), open_nursery(async |nursery: Nursery| {
//!     nursery.actor("shop").expose::<price>().start().await?;
//!     let customer = nursery.run_in_actor("customer", asks_a_sibling()).await?;
//!     assert_eq!(customer.result::<asks_a_sibling>().await?, Some(4));
//!     find_actor("shop").await?.expect("it is a child").cancel().await
//! }))
//! # }
//! ```
//!
//! # How a child finds its code
//! A child is the running image, executed again, with one end of a socket pair as its standard
//! input. [`init`] notices that, takes the socket off descriptor 0, runs the actor, and ends the
//! process when the actor has ended; so it must come first in `main`. No address is listened on, and
//! nobody else can take the child's place.
//!
//! # Actors elsewhere
//! With a [`Launcher`], an actor is reached through any command line whose standard input and output
//! reach its program, such as `ssh`: see [`CommandLine`] and [`ActorBuilder::launcher`]. The program,
//! built for the machine that it runs on, has to stand there already. It knows that it is an actor by
//! its last argument, prints to its standard error, and ends within a second after its link. Such a link
//! is pinged ([`Limits::liveness`]): an actor that says nothing for a minute, be it that a cable was
//! pulled or that a task blocks its thread, is taken for lost.
//!
//! # Bounding things by time
//! [`timeout`], [`deadline`] and [`cancel_scope`] cancel what is in them gracefully, innermost scope
//! first, and wait for its end; [`shield`] lets clean-up run within the grace. Dropping a future that
//! owns a nursery ends its actors by force: a dropped future is never polled again and cannot wait
//! for anybody.
//!
//! # Threads
//! Tasks run on the thread that polls their root; those of a child on its main thread, which has the
//! actor's name. Nothing is spawned on an executor that is not the actor's own. Beside that a process
//! has these threads for its actors, each once, from its first need until the process ends, so that a
//! second root uses those of the first:
//! - `async-io`, which is that crate's: it waits for sockets and clocks while nobody else does. From
//!   the first root or actor on, or whatever else in the process uses that crate; with the feature
//!   `parker`, in an actor, from the first child on.
//! - `hatchery-spawner` (the kernel shows 15 bytes of a name): starts children, and waits for the end
//!   of those that nobody holds any more. From the first child on; it may not end before the process,
//!   since the kernel takes the thread that has started a child for the child's parent.
//! - `hatchery-watch`, in children only: sees the parent's end, and SIGTERM, though the actor's own
//!   thread hears nothing. From before the actor's first task.
//! - `hatchery-resolve`, one for each name of a host that is looked up, until the system has answered.
//! - `hatchery-dump`, where [`Options::dump_on_signal`] or its variable asks for it: waits for SIGUSR1, and
//!   says then what this process is doing. From the opening of the root, or the start of the child, until
//!   the process ends.
//! - `hatchery-prompt`, in [debug mode](Options::debug), while a prompt of this process is open, and
//!   `hatchery-aside` while [`pause_blocking!`] waits for one: that runs the actor meanwhile.
//!
//! A task that blocks its thread holds up the others of that thread, and what they have said and was
//! not written yet. First values, errors, cancels and the ends of streams are written where they are
//! said, with all that was said before, and so is the first call, result or value of a turn, which is
//! once round all tasks that are ready. Those that are not the first are written at the end of the
//! turn, at 64 KiB of values, when a stream is [flushed](SendHalf::flush), or by another thread that
//! runs the actor: of calls that arrive together, a later result may wait for a task that blocks
//! between. That a task has begun is told before it runs; of a call whose endpoint has returned within
//! a fifth of a millisecond the last time, with its result, or at the end of the turn. Such a call is
//! begun where it was read, where no other thread runs the actor.
//!
//! # Logs
//! The library logs by [`tracing`](https://docs.rs/tracing), into whatever subscriber a program has. With
//! [`Options::log`] it prints what a filter lets through to standard error itself, in every actor of the
//! tree; [`ActorBuilder::log`] is another filter for one actor and what is below it, the environment
//! variable `HATCHERY_LOG` one that wins over both, and [`set_log_filter`] changes it in an actor that
//! runs. Such a line names the actor, its process, and the endpoint of the task, or `-`:
//!
//! ```text
//! 2026-11-22T10:33:02.979239Z  WARN worker[7867] shop::price hatchery::cancel: a nursery was cancelled …
//! ```
//!
//! A filter is a list of levels and of `target=level`, such as `warn,hatchery::transport=trace`. What
//! the library says has one of these targets:
//! - `hatchery::transport`: each frame, each peer that is let in, greets or says goodbye, each link that
//!   closes (`TRACE`); who is turned away, and what goes wrong on the way (`DEBUG` and above).
//! - `hatchery::runtime`: the start and the end of each task, each step of an actor's shutdown order and
//!   of a child's teardown (`DEBUG`); force, what is left behind, and what the system refuses (`INFO` and
//!   above). The spans of tasks, too.
//! - `hatchery::cancel`: who cancels an actor (`DEBUG`), a signal that does (`INFO`), a nursery that ends
//!   by a cancel (`WARN`) or by a failure (`ERROR`). A cancel is never an error, and one that is absorbed
//!   says nothing.
//! - `hatchery::discovery`: registrars, and who is found there.
//! - `hatchery::debugger`: prompts, and why there is none.
//! - `hatchery::stderr`: what actors write to their standard error, where that was asked for
//!   ([`Stderr::Captured`]).
//!
//! Where `hatchery::runtime` is let through at `DEBUG`, each task that another actor asks for runs in a
//! span `task`, with its `actor`, `endpoint` and `caller`, and with `trace_id`, `span_id` and `parent_id`
//! as W3C Trace Context has them: the parent is the span of whoever asks, in whatever process that is, and
//! the trace is the tree's, but where a [`Trace`] was set that is a `traceparent`. What joins them travels
//! with the calls and is nobody's [`Trace`]. Where nobody wants these spans there are none, and nothing
//! travels.
//!
//! # Traces
//! [`with_trace`] has a [`Trace`], such as a `traceparent`, travel with all that is begun in a block,
//! from process to process.
//!
//! # Debugging
//! In [debug mode](Options::debug), [`pause!`] stops a task anywhere in the tree and opens a prompt on the
//! one terminal; an error or a panic that is about to leave a task does the same. [`pause_blocking!`] is
//! for code that is not async, [`pause_shielded!`] for the clean-up of what is cancelled, and
//! [`post_mortem`] shows an error that is handled.
//!
//! # Features
//! - `descriptors`: open files, sockets and pipes in what is sent to another actor, by `Descriptor`.
//! - `log` (on by default): [`Options::log`] and `HATCHERY_LOG` print `tracing` events to standard error.
//! - `messagepack`: the codec [`codec::MessagePack`], for programs that are not rebuilt together.
//! - `parker`: on Linux, the threads that this library runs actors on ([`init`], [`run`], [`macro@main`])
//!   wait for links and processes in a way of their own, by which a round trip asks the kernel for 6
//!   things in place of 16. What a program waits for itself, on a socket or a `Timer` of async-io, that
//!   crate's thread waits for then, and hands it on from one thread to another: 20 to 50 µs each, so it
//!   is nothing for actors that do much of that. Where another thread runs the actor too, its own wait
//!   is woken as well. Under an executor of the program's own, and elsewhere, it changes nothing. It
//!   has `Options::spin`, by which they look for an answer for a while before they sleep.
//! - `tls`: links over a network, `tcp:host:port`, and over Unix sockets that several users share,
//!   `tls+unix:/path`. Both ends prove by TLS that they are of one tree, whose actors have their keys
//!   from their parents over the links that they inherit; another program joins with `Credentials`.
//! - `quic`: the same over QUIC, `quic:host:port`.
//! - `test-support`: [`macro@test`], and the hook by which test binaries can be run as actors.

#![cfg_attr(not(feature = "test-support"), forbid(unsafe_code))]
#![cfg_attr(feature = "test-support", deny(unsafe_code))]

mod actor;
mod blob;
mod broadcast;
mod cache;
mod child;
pub mod codec;
mod context;
#[cfg(feature = "tls")]
mod credentials;
mod current;
mod debug;
#[cfg(feature = "descriptors")]
mod descriptor;
mod dialog;
mod discovery;
mod driver;
mod ending;
mod endpoint;
mod error;
mod exposed;
mod fleet;
mod foreign;
mod gather;
mod hooks;
mod inspect;
mod intake;
mod kind;
mod local;
mod log;
mod nursery;
mod options;
mod parent;
mod passing;
mod peer;
mod pool;
mod portal;
mod reach;
mod root;
mod scope;
mod serving;
mod source;
mod span;
mod spec;
mod stream;
mod supervisor;
mod task;
#[cfg(feature = "test-support")]
#[doc(hidden)]
pub mod testing;
mod topics;
mod trace;
mod turn;
mod wait;
mod ward;

pub use blob::Blob;
pub use broadcast::Subscriber;
pub use cache::{Cache, open_cache};
pub use child::{ActorEnd, ActorLife, init, init_on};
pub use context::{
    CancelStatus, Context, ContextArgument, ContextState, OpenContext, Receives, Sends, Started,
    Starts,
};
#[cfg(feature = "tls")]
pub use credentials::Credentials;
pub use current::CurrentContext;
pub use debug::{debug_filter, post_mortem};
#[cfg(feature = "descriptors")]
pub use descriptor::Descriptor;
pub use discovery::{
    Registry, Watching, connect, find_actor, get_registry, local_address, query_actor, unregister,
    wait_for_actor, with_actor,
};
pub use driver::launcher::{CommandLine, Direct, Launch, Launched, Launcher};
pub use driver::process::Stderr;
pub use endpoint::{
    Call, CallEndpoint, ContextEndpoint, Endpoint, EndpointReturn, ErrorOf, StreamEndpoint, ValueOf,
};
pub use error::{CallError, EndpointError, Error, ErrorKind, Never, Result};
pub use fleet::{Cluster, Fleet, open_cluster};
pub use foreign::{ForeignGone, ForeignTask, foreign};
pub use gather::{Held, gather, gather_contexts};
pub use hatchery_macros::{context, endpoint, main, test};
pub use hatchery_proto::registrar::{Change, Registered};
pub use hatchery_proto::{
    ActorId, Address, Also, Cancelled, Capacity, Cause, Code, ExitReport, ExitStatus, Hop, Limits,
    Location, LostCause, NoAddress, Overrun, Refusal, Report, Rung, Usage,
};
pub use hooks::on_exit;
pub use inspect::live::tree;
pub use inspect::{TreeActor, TreeView};
pub use local::LocalPortal;
pub use log::set_log_filter;
pub use nursery::{ActorBuilder, Nursery, TaskReturn, open_nursery};
pub use options::{Containment, Options};
pub use parent::ParentPortal;
pub use pool::{ActorPool, Jobs, open_pool};
pub use portal::Portal;
pub use root::{
    MainReturn, Root, cancel_soon, containment, open_root_actor, run, run_daemon, run_with,
};
pub use scope::{CancelScope, cancel_scope, deadline, shield, timeout};
pub use source::Source;
pub use stream::{MsgStream, RecvHalf, SendHalf, TrySendError};
pub use topics::{Published, Publisher, Subscription};
pub use trace::{Trace, with_trace};

/// What most programs name. Holds no name that would hide one of the standard library's.
pub mod prelude {
    pub use crate::{
        Context, MsgStream, Nursery, OpenContext, Portal, Receives, Sends, Starts, open_nursery,
    };
}

/// For the macros. No part of it is stable.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub mod debug {
        pub use crate::debug::{Taken, Value, is_on, pause, pause_blocking, taken};
    }

    pub use crate::endpoint::{ENDPOINTS, Entry, Plain, schema};
    pub mod kind {
        pub use crate::kind::*;
    }
    pub use crate::root::main;
    #[cfg(feature = "test-support")]
    pub use crate::testing::{PARKER, TESTS, TestResult, TestReturn, last_steps, spin, test};
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

//! One idea: a tree of processes does a real job, and however it ends, nothing is left behind.
//!
//! The root walks directories; one worker process per core counts lines, words and bytes and
//! hashes every file. Each worker is kept busy through one bidirectional stream: a few jobs go
//! down ahead of the results that come up, and the next job goes to whoever is free first.
//!
//! Prints the totals and the slowest files as tables, or one JSON object with `--json`; what could
//! not be counted is listed with the reason and does not end the run. `--crash N` shows what a
//! failing worker looks like, Ctrl-C how a run is cancelled. `--help` has the rest.
#![allow(clippy::print_stderr, reason = "a program for the command line")]

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::Duration;

use hatchery::{Nursery, Portal};
use indicatif::{ProgressBar, ProgressStyle};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::try_zip;

use crate::args::{Args, Wish};
use crate::tally::Tally;
use crate::walk::{Found, Odd};
use crate::worker::{Done, Job, count_files};

mod args;
mod count;
mod report;
mod tally;
mod walk;
mod worker;

/// So many jobs are with a worker at once: one at work, the others there when it is done.
const UNDER_WAY: usize = 4;

/// The walk is so many jobs ahead of the workers at most.
const AHEAD: usize = 1024;

#[hatchery::main]
async fn main() -> hatchery::Result<ExitCode> {
    let args = match args::parse(env::args_os().skip(1)) {
        Ok(Wish::Census(args)) => args,
        Ok(Wish::Help) => return Ok(print(args::USAGE)),
        Err(error) => {
            eprint!("census: {error}\n\n{}", args::USAGE);
            return Ok(ExitCode::from(2));
        }
    };
    let json = args.json;
    let tally = census(args).await?;
    let text = if json {
        report::json(&tally).map_err(hatchery::Error::new)?
    } else {
        report::tables(&tally)
    };
    // On a thread of its own, so that Ctrl-C is heard while nobody reads the other end of a pipe.
    let printed = smol::unblock(move || print(&text)).await;
    Ok(if tally.missing { ExitCode::FAILURE } else { printed })
}

/// What the root hears of: a file counted, or one that cannot be.
enum News {
    Done(Done),
    Odd(Odd),
}

/// Starts the walk and the workers and adds up what they find.
async fn census(args: Args) -> hatchery::Result<Tally> {
    let here = env::current_dir().map_err(hatchery::Error::new)?;
    hatchery::open_nursery(async move |nursery| {
        let (jobs, to_do) = bounded(AHEAD);
        let (news, heard) = bounded(AHEAD);
        for number in 0..args.workers.get() {
            let work = Work { to_do: to_do.clone(), news: news.clone(), crash: args.crash };
            nursery.spawn(work.with_worker(nursery.clone(), number));
        }
        let mut tally = Tally::new(args.json);
        let found = walk::walk(args.paths, here);
        nursery.spawn(smol::unblock(move || tell(found, &jobs, &news)));
        let progress = Progress::new(&tally);
        while let Ok(news) = heard.recv().await {
            match news {
                News::Done(done) => tally.add(done),
                News::Odd(odd) => tally.add_odd(odd),
            }
            progress.show(&tally);
        }
        Ok(tally)
    })
    .await
}

/// Hands on what the walk finds, until it ends or nobody listens any more.
fn tell(found: impl Iterator<Item = Found>, jobs: &Sender<Job>, news: &Sender<News>) {
    let mut index = 0;
    for found in found {
        let heard = match found {
            Found::Odd(odd) => news.send_blocking(News::Odd(odd)).is_ok(),
            Found::File(path) => {
                let job = Job { index, path: path.into_os_string().into_vec() };
                index += 1;
                jobs.send_blocking(job).is_ok()
            }
        };
        if !heard {
            return;
        }
    }
}

/// One worker's share of the run, as the root sees it.
struct Work {
    to_do: Receiver<Job>,
    news: Sender<News>,
    crash: Option<u64>,
}

impl Work {
    /// Starts a worker, keeps it busy while there are jobs, and lets it go.
    async fn with_worker(self, nursery: Nursery, number: usize) -> hatchery::Result<()> {
        let worker = nursery.start_actor(&format!("worker-{number}")).await?;
        self.keep_busy(&worker).await?;
        worker.cancel().await?;
        Ok(())
    }

    async fn keep_busy(self, worker: &Portal) -> hatchery::Result<()> {
        let Self { to_do, news, crash } = self;
        worker
            .with_context(count_files(crash), async move |mut cx, ()| {
                let (jobs, mut results) = cx.open_stream()?.split();
                let (enter, leave) = bounded(UNDER_WAY);
                let feed = async {
                    while enter.send(()).await.is_ok() {
                        let Ok(job) = to_do.recv().await else { break };
                        jobs.send(job).await?;
                    }
                    jobs.close().await
                };
                let collect = async {
                    while let Some(done) = results.recv().await? {
                        let _ = leave.try_recv();
                        // Nobody listens only if the run is being cancelled.
                        let _ = news.send(News::Done(done)).await;
                    }
                    Ok(())
                };
                try_zip(feed, collect).await?;
                cx.result().await
            })
            .await?;
        Ok(())
    }
}

/// A line that shows how far the run is, and is gone when this is dropped.
///
/// There is none unless both standard output and standard error are terminals.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(tally: &Tally) -> Self {
        if !io::stdout().is_terminal() || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {pos} files, {msg} [{elapsed}]");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let this = Self(Some(bar.clone()));
        this.show(tally);
        bar.enable_steady_tick(Duration::from_millis(100));
        this
    }

    fn show(&self, tally: &Tally) {
        if let Some(bar) = &self.0 {
            bar.set_position(tally.files);
            let mib = tally.bytes / (1024 * 1024);
            bar.set_message(format!("{mib} MiB, {} failed", tally.failed.len()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Prints the result. A reader that has seen enough of it is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("census: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

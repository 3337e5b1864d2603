//! What it costs to be found and linked: `--links`. Each piece of work stands beside a plain connection
//! that was made in the same run by blocking programs: connect, accept, a byte each way.
//!
//! Every sample is a process of its own, with real processes at the other ends, all on one core; rounds
//! are interleaved, medians of them. Nothing is pinned, and nothing here decides whether anything passes.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use hatchery::{
    Address, Error, Nursery, Options, Portal, Result, connect, find_actor, open_nursery,
    query_actor, run_with,
};

use crate::measure::{Found, Plan, in_process};
use crate::shown::shown;
use crate::{page, place};

/// Longer than this no sample takes unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 7;
const QUICK: usize = 5;

/// A piece of work, in µs for each time, and what it stands beside.
struct Row {
    key: &'static str,
    what: &'static str,
    times: u32,
    sample: fn(u32) -> io::Result<Duration>,
    /// The key of its limit; none is one itself.
    limit: Option<&'static str>,
}

const fn row(
    key: &'static str,
    what: &'static str,
    times: u32,
    sample: fn(u32) -> io::Result<Duration>,
    limit: Option<&'static str>,
) -> Row {
    Row { key, what, times, sample, limit }
}

const UNIX: &str = "plain-unix";
#[cfg(feature = "quic")]
const TCP: &str = "plain-tcp";

const ROWS: &[Row] = &[
    row(UNIX, "plain connection, Unix", 300, plain_unix, None),
    row("connect", "`connect` to a Unix address", 300, |n| connects(n, false), Some(UNIX)),
    row("connect-close", "`connect`, and `close`", 300, |n| connects(n, true), Some(UNIX)),
    row("find", "`find_actor` of a sibling that is not linked", 200, finds, Some(UNIX)),
    row("find-linked", "`find_actor` of one that is", 2_000, finds_linked, Some(UNIX)),
    row("query", "`query_actor`, at another actor", 500, queries, Some(UNIX)),
    row("start", "`start_actor` without a registry", 20, |n| starts(n, false), None),
    row("start-known", "`start_actor` in a tree with one", 20, |n| starts(n, true), Some("start")),
    #[cfg(feature = "quic")]
    row(TCP, "plain connection, TCP", 300, plain_tcp, None),
    #[cfg(feature = "quic")]
    row("connect-tls", "`connect` over TCP with TLS", 50, |n| over(n, "tcp"), Some(TCP)),
    #[cfg(feature = "quic")]
    row("connect-quic", "`connect` over QUIC", 50, |n| over(n, "quic"), Some(TCP)),
];

/// In a process of its own: one sample, in µs.
pub(crate) fn sample(key: &str) -> io::Result<ExitCode> {
    let row = ROWS.iter().find(|row| row.key == key);
    let row = row.ok_or_else(|| io::Error::other("no such sample"))?;
    place::end_with_parent()?;
    if let Some(core) = place::cores().last() {
        place::pin_to(*core)?;
    }
    println!("{}", (row.sample)(row.times)?.as_secs_f64() * 1e6 / f64::from(row.times));
    Ok(ExitCode::SUCCESS)
}

/// Measures, and shows the table.
pub(crate) fn run(plan: &Plan) -> io::Result<ExitCode> {
    let mut all: Vec<Found> = ROWS.iter().map(|_| Found::default()).collect();
    for round in 1..=if plan.quick { QUICK } else { ROUNDS } {
        eprintln!("links: round {round}");
        for (row, found) in ROWS.iter().zip(&mut all).filter(|(_, found)| found.failed.is_none()) {
            let told = in_process(&["--link", row.key], PATIENCE)?;
            match told.and_then(|told| told.parse().map_err(|_| format!("no number: {told:?}"))) {
                Ok(value) => found.values.push(value),
                Err(reason) => {
                    eprintln!("links: {}: {reason}", row.key);
                    found.failed = Some(reason);
                }
            }
        }
    }
    all.iter_mut().for_each(|found| found.values.sort_by(f64::total_cmp));
    let (table, below) = (table(&all), summary());
    println!("{table}\n{below}");
    if let Some(path) = &plan.page {
        page::write(path, "finding", table, &below)?;
    }
    let failed = all.iter().any(|found| found.failed.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(all: &[Found]) -> Table {
    let median = |key: &str| {
        let place = ROWS.iter().position(|row| row.key == key)?;
        all.get(place)?.median()
    };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["work", "µs", "limit, µs", "by", "times"]);
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let valued = |value: Option<f64>| value.map_or("-".to_owned(), shown);
    for row in ROWS {
        let (ours, limit) = (median(row.key), row.limit.and_then(median));
        let by = ROWS.iter().find(|known| row.limit == Some(known.key));
        let times = ours.zip(limit).map(|(ours, limit)| ours / limit);
        table.add_row([
            row.what.to_owned(),
            valued(ours),
            valued(limit),
            by.map_or("-", |by| by.what).to_owned(),
            valued(times),
        ]);
    }
    table
}

fn summary() -> String {
    "Both ends on one core; medians, rounds interleaved".to_owned()
}

// The limits: blocking programs.

/// Where the other end of a plain connection listens, which is known by who has started it.
fn plain_path(parent: u32) -> PathBuf {
    env::temp_dir().join(format!("limits-{parent}.sock"))
}

/// In a peer: takes connections, and answers a byte on each. Says at which port when it is up.
pub(crate) fn accept(mut link: UnixStream) -> io::Result<()> {
    let unix = UnixListener::bind(plain_path(std::os::unix::process::parent_id()))?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let port = tcp.local_addr()?.port();
    thread::spawn(move || {
        while let Ok((stream, _)) = tcp.accept() {
            answer(stream).ok();
        }
    });
    thread::spawn(move || {
        while let Ok((stream, _)) = unix.accept() {
            answer(stream).ok();
        }
    });
    link.write_all(&[1])?;
    link.write_all(&port.to_be_bytes())?;
    link.read(&mut [0]).map(drop)
}

fn answer(mut stream: impl Read + Write) -> io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(&[1])
}

/// Connects so often, and asks.
fn plain<S: Read + Write>(
    times: u32,
    connects: impl Fn(&Path, u16) -> io::Result<S>,
) -> io::Result<Duration> {
    let mut peer = place::Peer::start("accept", None)?;
    let mut port = [0; 2];
    peer.link.read_exact(&mut port)?;
    let path = plain_path(std::process::id());
    let asks = || -> io::Result<Duration> {
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let began = Instant::now();
            let mut stream = connects(&path, u16::from_be_bytes(port))?;
            stream.write_all(&[1])?;
            stream.read_exact(&mut [0])?;
            took += began.elapsed();
        }
        Ok(took)
    };
    let took = asks();
    fs::remove_file(&path)?;
    took
}

fn plain_unix(times: u32) -> io::Result<Duration> {
    plain(times, |path, _| UnixStream::connect(path))
}

#[cfg_attr(not(feature = "quic"), allow(dead_code, reason = "nothing stands beside it then"))]
fn plain_tcp(times: u32) -> io::Result<Duration> {
    plain(times, |_, port| {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

// The same in a tree.

/// Opens a tree whose root is the registrar, with two actors in it: one that is found, and one that looks.
fn in_tree(
    listens: &[Address],
    work: impl AsyncFnOnce(&Portal) -> Result<Duration>,
) -> io::Result<Duration> {
    let place = env::temp_dir().join(format!("limits-registrar-{}.sock", std::process::id()));
    let options = Options::new().registry(Address::unix(place.to_string_lossy()));
    let done = run_with(
        options,
        open_nursery(async |nursery: Nursery| {
            let far = nursery.actor("far");
            let far = listens.iter().fold(far, |far, at| far.listen(at.clone())).start().await?;
            let near = nursery.actor("near").start().await?;
            let took = work(&near).await?;
            near.cancel().await?;
            far.cancel().await?;
            Ok::<_, Error>(took)
        }),
    );
    done.map_err(io::Error::other)
}

/// Of those that somebody has, the first of this kind.
async fn address(name: &str, scheme: &str) -> Result<Address> {
    let known = query_actor(name).await?;
    let all = known.into_iter().flat_map(|one| one.addresses);
    let mut fits = all.filter(|address| address.to_string().starts_with(scheme));
    fits.next().ok_or_else(|| Error::message(format!("{name} has no address of {scheme}")))
}

fn connects(times: u32, closes: bool) -> io::Result<Duration> {
    in_tree(&[], async |near| near.run(connects_to("unix".to_owned(), times, closes)).await)
}

#[hatchery::endpoint]
async fn connects_to(scheme: String, times: u32, closes: bool) -> Result<Duration> {
    let at = address("far", &scheme).await?;
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let began = Instant::now();
        let portal = connect(&at).await?;
        if !closes {
            took += began.elapsed();
        }
        portal.close().await;
        if closes {
            took += began.elapsed();
        }
    }
    Ok(took)
}

#[cfg(feature = "quic")]
fn over(times: u32, scheme: &'static str) -> io::Result<Duration> {
    let listens = format!("{scheme}:127.0.0.1:0").parse().map_err(io::Error::other)?;
    in_tree(&[listens], async |near| near.run(connects_to(scheme.to_owned(), times, false)).await)
}

fn finds(times: u32) -> io::Result<Duration> {
    in_tree(&[], async |near| near.run(finds_anew(times)).await)
}

async fn found() -> Result<Portal> {
    find_actor("far").await?.ok_or_else(|| Error::message("nobody is found"))
}

/// Each time over a link that is there for no longer.
#[hatchery::endpoint]
async fn finds_anew(times: u32) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let began = Instant::now();
        let portal = found().await?;
        took += began.elapsed();
        portal.close().await;
    }
    Ok(took)
}

fn finds_linked(times: u32) -> io::Result<Duration> {
    in_tree(&[], async |near| near.run(finds_again(times)).await)
}

#[hatchery::endpoint]
async fn finds_again(times: u32) -> Result<Duration> {
    let held = found().await?;
    let began = Instant::now();
    for _ in 0..times {
        drop(found().await?);
    }
    let took = began.elapsed();
    held.close().await;
    Ok(took)
}

fn queries(times: u32) -> io::Result<Duration> {
    in_tree(&[], async |near| near.run(asks(times)).await)
}

#[hatchery::endpoint]
async fn asks(times: u32) -> Result<Duration> {
    let began = Instant::now();
    for _ in 0..times {
        let _ = query_actor("far").await?;
    }
    Ok(began.elapsed())
}

fn starts(times: u32, is_known: bool) -> io::Result<Duration> {
    let starts = async |nursery: Nursery| {
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let began = Instant::now();
            let child = nursery.start_actor("child").await?;
            took += began.elapsed();
            child.cancel().await?;
        }
        Ok::<_, Error>(took)
    };
    let place = env::temp_dir().join(format!("limits-registrar-{}.sock", std::process::id()));
    let options = match is_known {
        true => Options::new().registry(Address::unix(place.to_string_lossy())),
        false => Options::new(),
    };
    run_with(options, open_nursery(starts)).map_err(io::Error::other)
}

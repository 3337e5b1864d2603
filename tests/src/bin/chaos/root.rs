//! A process that is the root of one tree after another, and looks after each for what is left.
//!
//! Says on its output where it is: `begin`, and `done` with what it found. It may be killed at any
//! moment; whoever started it sees to that.

use std::process::ExitCode;
use std::time::Duration;

use futures_lite::future;
use hatchery::{Options, Result};
use hatchery_tests::leaks::{Baseline, Leak, Leaks};

use crate::Arguments;
use crate::actors;
use crate::plan::{Node, Tree};
use hatchery_tests::strike::{Phase, strike_self};

/// How long what is left of a tree may take to be seen gone (Z).
const SETTLE: Duration = Duration::from_secs(3);

/// Runs trees `first`, `first + step`, … until it is ended.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // What it leaves stopped before its entry is ended by the kernel only where whoever adopts it is
    // of another session (F-10).
    rustix::process::setsid().expect("a session of its own");
    // What the library keeps for the life of a process is not left behind by a tree.
    let warm = Node {
        broods: vec![vec![Node { name: "warm".to_owned(), ..Node::default() }]],
        ..Node::default()
    };
    if let Err(error) = tree(Tree { root: warm, teardown: 4000 }) {
        eprintln!("chaos: a tree that nobody hits has failed: {error:?}");
        return ExitCode::FAILURE;
    }
    let folder = std::env::var_os("CHAOS_FOLDER").unwrap_or_else(|| ".".into());
    let baseline = Baseline::process_wide().only_in(folder);
    let mut index = arguments.first;
    loop {
        let plan = Tree::new(arguments.seed, index);
        println!("begin {index} {}", plan.depth());
        if let Err(error) = tree(plan) {
            actors::judge(&error);
        }
        let left = baseline.check(SETTLE).err().unwrap_or_default();
        println!("done {index} {}", counts(&left));
        if !left.is_empty() {
            eprintln!("chaos: tree {index}: {left}");
            left.end();
            // What was left once would be found again.
            return ExitCode::FAILURE;
        }
        index += arguments.step;
    }
}

/// Zombies, orphans, descriptors, sockets, threads.
fn counts(left: &Leaks) -> String {
    let mut counts = [0; 5];
    for leak in left.iter() {
        let place = match leak {
            Leak::Zombie(_) => 0,
            Leak::Process { .. } => 1,
            Leak::Descriptor { target, .. } if target.starts_with("socket:") => 3,
            Leak::Descriptor { .. } => 2,
            Leak::Thread { .. } => 4,
            _ => 3,
        };
        counts[place] += 1;
    }
    counts.map(|count: u32| count.to_string()).join(" ")
}

/// Runs one tree to its end.
fn tree(plan: Tree) -> Result<()> {
    let options = Options::new().name("root").teardown(Duration::from_millis(plan.teardown));
    let doom = plan.root.hit;
    let life = hatchery::open_root_actor(options, |_root| async {
        match doom {
            None => actors::live(plan.root, None).await,
            Some(hit) => {
                let steps = match hit.phase {
                    Phase::Up => 20,
                    Phase::Started => 200,
                    _ => 1000,
                };
                let life = actors::live(plan.root, None);
                let end = async {
                    for _ in 0..steps {
                        async_io::Timer::after(Duration::from_micros(50)).await;
                    }
                    strike_self(hit);
                    Ok(())
                };
                future::or(life, end).await
            }
        }
    });
    async_io::block_on(life)
}

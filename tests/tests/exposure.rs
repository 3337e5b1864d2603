//! What others can see and use of a tree without being of it: arguments, environments, names.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;

use hatchery::{Context, ErrorKind, Nursery, Options, Result, Starts, find_actor, open_nursery};
use hatchery_tests::procfs::{Process, descendants, descriptors_of, own_pid};
use hatchery_tests::worker::alive;

/// Of 256 bits: so many characters has a secret at least, in whatever way it is written.
const SECRET: usize = 256 / 6;

/// A tree that has secrets: those of links over a network.
fn secured() -> Options {
    Options::new().registry("tcp:127.0.0.1:0".parse().unwrap())
}

/// Has an actor below it.
#[hatchery::context]
async fn branches(cx: Context<Starts<()>>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let _below = nursery.start_actor("below").await?;
        let _started = cx.started(()).await?;
        pending().await
    })
    .await
}

/// What `/proc` has in a file of a process, in parts.
fn parts(pid: i32, file: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("a process of this user");
    let parts = bytes.split(|&byte| byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The socket files of a process by their names, as the system lists them; `@` begins an abstract one.
fn sockets(pid: i32) -> Vec<String> {
    let listed = fs::read_to_string("/proc/net/unix").expect("a list of sockets");
    let names: BTreeMap<_, _> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(6);
            Some((words.next()?, words.next()?))
        })
        .collect();
    let own = descriptors_of(pid);
    let inodes = own.iter().filter_map(|(_, target)| {
        Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    });
    inodes.filter_map(|inode| names.get(inode.as_str()).map(|name| (*name).to_owned())).collect()
}

#[hatchery::test(options = secured())]
async fn arguments_and_environments_hold_no_secret_and_no_socket_is_abstract() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let branch = nursery.actor("branch").expose::<alive>().expose::<branches>().start().await?;
        let (cx, ()) = branch.open_context(branches()).await?;
        assert!(find_actor("below").await?.is_some(), "it is reached by its secrets");
        let own: Vec<_> = parts(own_pid(), "environ");
        let known: Vec<_> = parts(own_pid(), "cmdline");
        let all = descendants(own_pid(), &Process::all());
        assert_eq!(all.len(), 2, "{all:?}");
        for process in all {
            let said =
                parts(process.pid, "cmdline").into_iter().chain(parts(process.pid, "environ"));
            for part in said.filter(|part| !own.contains(part) && !known.contains(part)) {
                // Numbers and ids of processes, several with colons between them.
                assert!(part.split(['=', ':']).all(|one| one.len() < SECRET), "{part}");
            }
            let sockets = sockets(process.pid);
            assert!(sockets.iter().all(|name| !name.starts_with('@')), "{sockets:?}");
        }
        drop(cx);
        branch.cancel().await
    })
    .await
}

#[hatchery::test]
async fn names_have_255_bytes_and_no_more() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let longest = "n".repeat(255);
        let actor = nursery.actor(&longest).expose::<alive>().start().await?;
        assert_eq!(actor.id().name, longest);
        assert!(actor.run(alive()).await?);
        actor.cancel().await
    })
    .await?;
    for (name, why) in [("n".repeat(256), "256 bytes"), (String::new(), "empty")] {
        let refused = open_nursery(async |nursery: Nursery| {
            let started = nursery.start_actor(&name).await;
            // It would be waited for.
            match started {
                Ok(actor) => actor.cancel().await,
                Err(error) => Err(error),
            }
        });
        let error = refused.await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Misuse), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    Ok(())
}
